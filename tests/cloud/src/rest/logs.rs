//! Logs that terminals have sent over their links.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{
    auth::{READ, authorise_terminal},
    error::{ApiError, operation_id},
    query,
};
use crate::{
    db::logs::{self, StoredLog},
    link::log_store,
    state::Shared,
};

/// `GET /v1/terminals/{terminal_id}/logs`: newest first.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<StoredLog>>, ApiError> {
    query::none(query.as_deref())?;
    let (_, terminal) = authorise_terminal(&shared, &headers, READ, &id).await?;
    Ok(Json(shared.db.read(move |db| logs::list(db, &terminal.terminal_id)).await?))
}

/// `GET /v1/terminals/{terminal_id}/logs/{operation_id}`: the bytes as they were sent.
pub(super) async fn fetch(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Path((terminal, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let (_, terminal) = authorise_terminal(&shared, &headers, READ, &terminal).await?;
    let id = operation_id(&id)?;
    let terminal_id = terminal.terminal_id.clone();
    let log = shared.db.read(move |db| logs::find(db, &terminal_id, id)).await?;
    let log = log.ok_or_else(|| ApiError::not_found(format!("no log of operation {id}")))?;
    let path = log_store::path(&shared.config.data_dir, &terminal.terminal_id, id);
    file(&path, &log.sha256).await
}

/// A stored file, bounded by what the stores take.
pub(super) async fn file(path: &std::path::Path, sha256: &str) -> Result<Response, ApiError> {
    let bytes = tokio::fs::read(path).await.map_err(|error| {
        tracing::error!(%error, "reading a stored file");
        ApiError::not_found("the file is gone")
    })?;
    let headers = [
        (header::CONTENT_TYPE, "application/gzip".to_owned()),
        (header::HeaderName::from_static("x-sha256"), sha256.to_owned()),
    ];
    Ok((StatusCode::OK, headers, Body::from(bytes)).into_response())
}
