//! Terminals: retrieve, update, list, deactivate.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::HeaderMap,
};
use serde_json::Value;

use super::{Page, check_in_use, check_location};
use crate::{
    db::{
        cursor::Cursor,
        terminals::{self, Changes, Filter, Standing},
    },
    rest::{
        auth::{READ, WRITE, authorise, authorise_terminal},
        error::ApiError,
        problems::Fields,
        terminals::deactivate as take_out_of_use,
    },
    state::Shared,
    vinr::{self, Kind},
};

const LIMIT_DEFAULT: u32 = 10;
const DISPLAY_NAME_CHARS_MAX: usize = 64;

/// `GET /v1/terminals/{id}`.
pub(in crate::rest) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (_, terminal) = authorise_terminal(&shared, &headers, READ, &id).await?;
    Ok(Json(vinr::terminal(&terminal)))
}

/// `GET /v1/terminals`: newest first.
pub(in crate::rest) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let mut fields = Fields::query(query.as_deref());
    let names = Standing::NAMES.map(|(name, _)| (name, name));
    let location_id = fields.id("locationId", Kind::Location);
    let standing = fields.choice("status", &names);
    let page = Page::read(&mut fields, Kind::Terminal, LIMIT_DEFAULT);
    fields.finish(Some(()))?;
    page.check(&shared, Cursor::Terminals, &caller.account_id).await?;
    let filter = Filter {
        account_id: caller.account_id,
        location_id,
        standing,
        starting_after: page.starting_after,
        limit: page.rows(),
    };
    let found = shared.db.read(move |db| terminals::newest(db, &filter)).await?;
    Ok(Json(vinr::list(found.iter().map(vinr::terminal).collect(), page.limit)))
}

/// `POST /v1/terminals/{id}`: another location, another name.
pub(in crate::rest) async fn update(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let (caller, terminal) = authorise_terminal(&shared, &headers, WRITE, &id).await?;
    check_in_use(&terminal)?;
    let mut fields = Fields::form_or_json(&headers, &body)?;
    let changes = Changes {
        location_id: fields.id("locationId", Kind::Location),
        display_name: fields.line("displayName", DISPLAY_NAME_CHARS_MAX),
    };
    let changes = fields.finish(Some(changes))?;
    check_location(&shared, &caller.account_id, changes.location_id).await?;
    let terminal_id = terminal.terminal_id.clone();
    let changed = shared
        .db
        .write(move |db| {
            terminals::update(db, &terminal_id, &changes)?;
            terminals::by_id(db, terminal.id)
        })
        .await?;
    // Another location may have brought another configuration.
    shared.hub.wake(&terminal.terminal_id);
    let changed = changed.ok_or_else(|| ApiError::not_found("the terminal is gone"))?;
    Ok(Json(vinr::terminal(&changed)))
}

/// `POST /v1/terminals/{id}/deactivate` (ours): takes it out of use.
pub(in crate::rest) async fn deactivate(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (caller, terminal) = authorise_terminal(&shared, &headers, WRITE, &id).await?;
    let terminal = take_out_of_use(&shared, terminal.terminal_id, caller.subject).await?;
    Ok(Json(vinr::terminal(&terminal)))
}
