//! `/dashboard`: three files, no build step, nothing from elsewhere.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};

/// Nothing but these files and this server's own API.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; form-action 'none'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// `GET /dashboard`.
pub(super) async fn page() -> Response {
    file("text/html; charset=utf-8", include_str!("../dashboard/index.html"))
}

/// `GET /dashboard/app.js`.
pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../dashboard/app.js"))
}

/// `GET /dashboard/style.css`.
pub(super) async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../dashboard/style.css"))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, HeaderValue); 3] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (headers, text).into_response()
}
