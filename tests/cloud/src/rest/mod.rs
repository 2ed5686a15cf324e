//! The HTTP end: the public API of terminal operations, and what people and tests need beside it.

pub(crate) mod auth;
mod dashboard;
mod debug;
pub(crate) mod error;
mod faults;
mod feed;
mod logs;
mod new_operation;
pub(crate) mod openapi;
mod operations;
mod problems;
mod query;
mod routes;
pub(crate) mod terminals;
pub(crate) mod uploads;
mod vinr;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};

use self::{error::ApiError, routes::Routes};
use crate::{
    link::upgrade::{upgrade, upgrade_to_enrol},
    state::Shared,
};

/// Largest JSON body.
const BODY_BYTES_MAX: usize = 64 << 10;
/// A request that is not answered by then is given up, whatever it waits for.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// All routes.
pub(crate) fn router(shared: &Arc<Shared>) -> Router {
    let mut router = [operations_routes(), vinr_routes(), other_routes()]
        .into_iter()
        .fold(Router::new(), |router, routes| router.merge(routes.router))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(in_time))
        .layer(middleware::map_response(in_words))
        // Streams to a file, with a limit of its own.
        .merge(upload_routes().router);
    if shared.config.test_switches {
        router = router.merge(test_routes().router);
    }
    router
        .fallback(|| async { ApiError::not_found("no such resource") })
        .with_state(Arc::clone(shared))
}

/// The public API of operations, and the accounts that their terminals belong to.
fn operations_routes() -> Routes {
    let terminal = "/v1/accounts/{aid}/terminals/{terminal_id}";
    Routes::default()
        .post("/v1/admin/terminals/operations", operations::create)
        .get("/v1/admin/terminals/operations", operations::list)
        .get("/v1/admin/terminals/operations/{id}/timeline", debug::timeline)
        .post("/v1/admin/terminals/operations/{id}/cancel", operations::cancel)
        .get("/v1/admin/terminals/{id}", debug::terminal)
        .post("/v1/accounts/{aid}/terminals", terminals::create)
        .get("/v1/accounts/{aid}/terminals", terminals::list)
        .delete(terminal, terminals::delete)
        .post("/v1/accounts/{aid}/terminals/{terminal_id}/credentials", terminals::credentials)
        .post(
            "/v1/accounts/{aid}/terminals/{terminal_id}/enrolment-secret",
            terminals::enrolment_secret,
        )
}

/// The public API of terminals, their actions and locations, and its webhooks.
fn vinr_routes() -> Routes {
    Routes::default()
        .post("/v1/terminals/activate", vinr::activate::activate)
        .get("/v1/terminals", vinr::terminals::list)
        .get("/v1/terminals/{id}", vinr::terminals::retrieve)
        .post("/v1/terminals/{id}", vinr::terminals::update)
        .post("/v1/terminals/{id}/deactivate", vinr::terminals::deactivate)
        .post("/v1/terminals/{id}/configure", vinr::configuration::configure)
        .get("/v1/terminals/{id}/configuration", vinr::configuration::retrieve)
        .post("/v1/terminals/{id}/actions", vinr::actions::create)
        .get("/v1/terminal/actions", vinr::actions::list)
        .get("/v1/terminal/actions/{id}", vinr::actions::retrieve)
        .get("/v1/locations", vinr::locations::list)
        .post("/v1/locations", vinr::locations::create)
        .get("/v1/locations/{id}", vinr::locations::retrieve)
        .get("/v1/locations/{id}/terminal-config", vinr::configuration::template)
        .put("/v1/locations/{id}/terminal-config", vinr::configuration::set_template)
        .post("/v1/locations/{id}/terminal-actions", vinr::actions::create_at_location)
        .get("/v1/webhook-endpoints", vinr::webhooks::list)
        .post("/v1/webhook-endpoints", vinr::webhooks::create)
        .get("/v1/webhook-endpoints/{id}", vinr::webhooks::retrieve)
        .delete("/v1/webhook-endpoints/{id}", vinr::webhooks::delete)
        .get("/v1/webhook-endpoints/{id}/deliveries", vinr::webhooks::deliveries)
        .get("/v1/events", vinr::events::list)
        .get("/v1/events/{id}", vinr::events::retrieve)
}

/// The links, and what is ours alone.
fn other_routes() -> Routes {
    Routes::default()
        .get("/v1/terminal/ws", upgrade)
        .get("/v1/terminal/enrol", upgrade_to_enrol)
        .put("/v1/terminals/{id}/configuration", terminals::configure)
        .get("/v1/terminals/{id}/logs", logs::list)
        .get("/v1/terminals/{id}/logs/{operation_id}", logs::fetch)
        .post("/v1/uploads", uploads::mint_url)
        .get("/v1/uploads/{name}", uploads::fetch)
        .get("/v1/feed", feed::feed)
        .get("/dashboard", dashboard::page)
        .get("/dashboard/app.js", dashboard::script)
        .get("/dashboard/style.css", dashboard::style)
        .get("/openapi.json", openapi::serve)
        .get("/healthz", || async { "ok\n" })
}

fn upload_routes() -> Routes {
    Routes::default()
        .put("/upload/{name}", uploads::receive)
        .post("/upload/{name}", uploads::receive)
}

fn test_routes() -> Routes {
    Routes::default().post("/test/faults", faults::throw)
}

/// What was refused before it reached a handler is refused in the same form as everything else.
async fn in_words(response: Response) -> Response {
    let status = response.status();
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_json = content_type.is_some_and(|value| value.as_bytes() == b"application/json");
    if is_json || !status.is_client_error() {
        return response;
    }
    let (code, message) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => ("PAYLOAD_TOO_LARGE", "body: want at most 65536 bytes"),
        StatusCode::METHOD_NOT_ALLOWED => ("METHOD_NOT_ALLOWED", "see Allow for what is possible"),
        _ => ("BAD_REQUEST", "the request cannot be read"),
    };
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut answer = ApiError::new(status, code, message).into_response();
    if let Some(allow) = allow {
        answer.headers_mut().insert(header::ALLOW, allow);
    }
    answer
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", "took more than 60 s")
            .into_response(),
    }
}
