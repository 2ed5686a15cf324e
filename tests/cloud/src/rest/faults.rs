//! `POST /test/faults`: only there with `--test-switches`, and without authentication.

use std::sync::Arc;

use axum::{body::Bytes, extract::State, http::StatusCode};

use super::error::ApiError;
use crate::{
    faults::{self, FaultError, FaultSwitches},
    state::Shared,
};

/// Throws the switches of one JSON object.
pub(super) async fn throw(
    State(shared): State<Arc<Shared>>,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let switches: FaultSwitches = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad_request(format!("body: {error}")))?;
    match faults::apply(&shared, switches).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error @ FaultError::NoLink(_)) => Err(ApiError::conflict("NO_LINK", error.to_string())),
        Err(error @ FaultError::Hex) => Err(ApiError::bad_request(error.to_string())),
        Err(FaultError::Db(error)) => Err(error.into()),
    }
}
