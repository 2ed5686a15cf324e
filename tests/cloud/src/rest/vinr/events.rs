//! Events, as webhooks carry them.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::HeaderMap,
};
use serde_json::Value;

use super::Page;
use crate::{
    db::{
        cursor::Cursor,
        events::{self, Filter, TYPES},
    },
    rest::{
        auth::{READ, authorise},
        error::ApiError,
        problems::Fields,
    },
    state::Shared,
    vinr::{self, Kind},
};

const LIMIT_DEFAULT: u32 = 20;

/// `GET /v1/events`: newest first, of the last 30 days.
pub(in crate::rest) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let mut fields = Fields::query(query.as_deref());
    let kind = fields.choice("type", &TYPES.map(|name| (name, name)));
    let page = Page::read(&mut fields, Kind::Event, LIMIT_DEFAULT);
    fields.finish(Some(()))?;
    page.check(&shared, Cursor::Events, &caller.account_id).await?;
    let Page { starting_after, .. } = page;
    let filter = Filter { account_id: caller.account_id, kind, starting_after, limit: page.rows() };
    let found = shared.db.read(move |db| events::list(db, &filter)).await?;
    Ok(Json(vinr::list(found, page.limit)))
}

/// `GET /v1/events/{id}`.
pub(in crate::rest) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let unknown = || ApiError::not_found(format!("event {id:.64} is not known"));
    let uuid = Kind::Event.parse(&id).ok_or_else(unknown)?;
    let found = shared.db.read(move |db| events::find(db, &caller.account_id, uuid)).await?;
    found.map(Json).ok_or_else(unknown)
}
