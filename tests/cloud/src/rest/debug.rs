//! Views for people (ours, not part of the public API): a terminal with everything that it said,
//! and the life of an operation step by step.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    http::HeaderMap,
};
use serde_json::{Value, json};

use super::{
    auth::{READ, authorise, authorise_terminal},
    error::{ApiError, operation_id},
    terminals::shape,
};
use crate::{
    db::{operations, reports, timeline},
    state::Shared,
};

/// Events that a view shows.
const EVENTS_MAX: u32 = 50;

/// `GET /v1/admin/terminals/{terminal_id}`.
pub(super) async fn terminal(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(terminal_id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let terminal = authorise_terminal(&shared, &headers, READ, &terminal_id).await?;
    let (events, gaps, count) = shared
        .db
        .read(move |db| {
            let events = reports::list(db, &terminal_id, Some("event"), Some(EVENTS_MAX))?;
            Ok((events, reports::gaps(db, &terminal_id)?, reports::count(db, &terminal_id)?))
        })
        .await?;
    Ok(Json(json!({
        "terminal": shape(&terminal),
        "online": terminal.online,
        "last_seen_at": terminal.last_seen_at,
        "hello": terminal.hello,
        "status": terminal.status,
        "configuration": {
            "revision": terminal.config_revision,
            "report": terminal.config_report,
        },
        "reports": count,
        "gaps": gaps,
        "events": events,
    })))
}

/// `GET /v1/admin/terminals/operations/{id}/timeline`.
pub(super) async fn timeline(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let id = operation_id(&id)?;
    let found = shared
        .db
        .read(move |db| {
            let operation = operations::find(db, Some(&caller.account_id), id)?;
            Ok((operation, timeline::list(db, id)?))
        })
        .await?;
    let (Some(operation), entries) = found else {
        return Err(ApiError::not_found(format!("operation {id} is not known")));
    };
    Ok(Json(json!({ "operation": operation, "timeline": entries })))
}
