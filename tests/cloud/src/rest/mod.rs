//! The HTTP end: the public API of terminal operations, and what people and tests need beside it.

pub(crate) mod auth;
mod debug;
pub(crate) mod error;
mod faults;
mod logs;
mod new_operation;
mod operations;
mod problems;
mod terminals;
pub(crate) mod uploads;
mod vinr;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{delete, get, post, put},
};

use self::error::ApiError;
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
    let mut router = Router::new()
        .route("/v1/terminal/ws", get(upgrade))
        .route("/v1/terminal/enrol", get(upgrade_to_enrol))
        .route("/v1/admin/terminals/operations", post(operations::create).get(operations::list))
        .route("/v1/admin/terminals/operations/{id}/timeline", get(debug::timeline))
        .route("/v1/admin/terminals/operations/{id}/cancel", post(operations::cancel))
        .route("/v1/accounts/{aid}/terminals", post(terminals::create).get(terminals::list))
        .route(
            "/v1/accounts/{aid}/terminals/{terminal_id}/credentials",
            post(terminals::credentials),
        )
        .route(
            "/v1/accounts/{aid}/terminals/{terminal_id}/enrolment-secret",
            post(terminals::enrolment_secret),
        )
        .route("/v1/accounts/{aid}/terminals/{terminal_id}", delete(terminals::delete))
        .route("/v1/admin/terminals/{id}", get(debug::terminal))
        .route("/v1/terminals/activate", post(vinr::activate::activate))
        .route("/v1/terminals", get(vinr::terminals::list))
        .route("/v1/terminals/{id}", get(vinr::terminals::retrieve).post(vinr::terminals::update))
        .route("/v1/terminals/{id}/deactivate", post(vinr::terminals::deactivate))
        .route("/v1/terminals/{id}/configure", post(vinr::configuration::configure))
        .route("/v1/terminals/{id}/actions", post(vinr::actions::create))
        .route("/v1/terminal/actions", get(vinr::actions::list))
        .route("/v1/terminal/actions/{id}", get(vinr::actions::retrieve))
        .route("/v1/locations", get(vinr::locations::list).post(vinr::locations::create))
        .route("/v1/locations/{id}", get(vinr::locations::retrieve))
        .route(
            "/v1/locations/{id}/terminal-config",
            get(vinr::configuration::template).put(vinr::configuration::set_template),
        )
        .route("/v1/locations/{id}/terminal-actions", post(vinr::actions::create_at_location))
        .route(
            "/v1/terminals/{id}/configuration",
            get(vinr::configuration::retrieve).put(terminals::configure),
        )
        .route("/v1/terminals/{id}/logs", get(logs::list))
        .route("/v1/terminals/{id}/logs/{operation_id}", get(logs::fetch))
        .route("/v1/webhook-endpoints", get(vinr::webhooks::list).post(vinr::webhooks::create))
        .route(
            "/v1/webhook-endpoints/{id}",
            get(vinr::webhooks::retrieve).delete(vinr::webhooks::delete),
        )
        .route("/v1/webhook-endpoints/{id}/deliveries", get(vinr::webhooks::deliveries))
        .route("/v1/events", get(vinr::events::list))
        .route("/v1/events/{id}", get(vinr::events::retrieve))
        .route("/v1/uploads", post(uploads::mint_url))
        .route("/v1/uploads/{name}", get(uploads::fetch))
        .route("/healthz", get(|| async { "ok\n" }))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn(in_time))
        // Streams to a file, with a limit of its own.
        .route("/upload/{name}", put(uploads::receive).post(uploads::receive));
    if shared.config.test_switches {
        router = router.route("/test/faults", post(faults::throw));
    }
    router
        .fallback(|| async { ApiError::not_found("no such resource") })
        .with_state(Arc::clone(shared))
}

async fn in_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::new(StatusCode::REQUEST_TIMEOUT, "TIMEOUT", "took more than 60 s")
            .into_response(),
    }
}
