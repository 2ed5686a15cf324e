//! Locations. The public pages take them for granted; these calls make and show them.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::HeaderMap,
};
use serde_json::Value;

use super::{Page, caller_and_location};
use crate::{
    db::{cursor::Cursor, locations},
    rest::{
        auth::{READ, WRITE, authorise},
        error::ApiError,
        problems::Fields,
    },
    state::Shared,
    vinr::{self, Kind},
};

const LIMIT_DEFAULT: u32 = 10;

/// `POST /v1/locations` (ours).
pub(in crate::rest) async fn create(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, WRITE).await?;
    let mut fields = Fields::form_or_json(&headers, &body)?;
    let (store_id, name) = (fields.line("storeId", 64), fields.line("displayName", 64));
    let (store_id, name) = fields.finish(Some((store_id, name)))?;
    let made = shared
        .db
        .write(move |db| {
            locations::create(db, &caller.account_id, store_id.as_deref(), name.as_deref())
        })
        .await?;
    let taken = || ApiError::conflict("STORE_ID_TAKEN", "storeId: the account has that location");
    Ok(Json(vinr::location(&made.ok_or_else(taken)?)))
}

/// `GET /v1/locations` (ours): newest first.
pub(in crate::rest) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let caller = authorise(&shared, &headers, READ).await?;
    let mut fields = Fields::query(query.as_deref());
    let page = Page::read(&mut fields, Kind::Location, LIMIT_DEFAULT);
    fields.finish(Some(()))?;
    page.check(&shared, Cursor::Locations, &caller.account_id).await?;
    let found = shared
        .db
        .read(move |db| locations::list(db, &caller.account_id, page.rows(), page.starting_after))
        .await?;
    Ok(Json(vinr::list(found.iter().map(vinr::location).collect(), page.limit)))
}

/// `GET /v1/locations/{id}` (ours).
pub(in crate::rest) async fn retrieve(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let (_, location) = caller_and_location(&shared, &headers, READ, &id).await?;
    Ok(Json(vinr::location(&location)))
}
