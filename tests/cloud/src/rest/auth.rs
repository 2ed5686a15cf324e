//! API tokens, as `Authorization: Bearer` or `X-Api-Key`, and their scopes.

use axum::http::{HeaderMap, header};

use super::error::ApiError;
use crate::{
    db::{
        terminals::{self, Terminal},
        tokens::{self, NewToken},
    },
    state::Shared,
};

/// Creates, cancels, registers operations and their terminals.
pub(crate) const WRITE: &[&str] = &["admin:checkout", "write:checkout:/admin/terminals"];
/// Reads them.
pub(crate) const READ: &[&str] = &["admin:checkout", "read:checkout:/admin/terminals"];
/// Registers terminals in an account.
pub(crate) const WRITE_ACCOUNT: &[&str] =
    &["admin:accounts", "write:accounts", "admin:checkout", "write:checkout:/admin/terminals"];
/// Lists them.
pub(crate) const READ_ACCOUNT: &[&str] =
    &["admin:accounts", "read:accounts", "admin:checkout", "read:checkout:/admin/terminals"];

/// The token of `Authorization: Bearer`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The caller, when one of `scopes` is among those of the token.
pub(crate) async fn authorise(
    shared: &Shared,
    headers: &HeaderMap,
    scopes: &[&str],
) -> Result<NewToken, ApiError> {
    let key = headers.get("x-api-key").and_then(|key| key.to_str().ok()).map(str::trim);
    let token = match (bearer(headers), key) {
        (Some(token), Some(key)) if token != key => {
            return Err(ApiError::unauthorized("Authorization and X-Api-Key differ; send one"));
        }
        (Some(token), _) | (None, Some(token)) => token.to_owned(),
        (None, None) => {
            let message = "want Authorization: Bearer <token>, or X-Api-Key: <token>";
            return Err(ApiError::unauthorized(message));
        }
    };
    let caller = shared.db.read(move |db| tokens::find(db, &token)).await?;
    let caller = caller.ok_or_else(|| ApiError::unauthorized("the token is not known"))?;
    if scopes.iter().any(|scope| caller.scopes.iter().any(|has| has == scope)) {
        return Ok(caller);
    }
    let has = if caller.scopes.is_empty() { "none".to_owned() } else { caller.scopes.join(", ") };
    Err(ApiError::forbidden(format!("the token has {has}; want one of {}", scopes.join(", "))))
}

/// The same for a resource of an account.
pub(crate) async fn authorise_account(
    shared: &Shared,
    headers: &HeaderMap,
    scopes: &[&str],
    account_id: &str,
) -> Result<NewToken, ApiError> {
    let caller = authorise(shared, headers, scopes).await?;
    if caller.account_id == account_id {
        return Ok(caller);
    }
    let message = format!("the token belongs to {}, not to {account_id}", caller.account_id);
    Err(ApiError::forbidden(message))
}

/// The same for a terminal; those of other accounts do not exist for the caller.
pub(crate) async fn authorise_terminal(
    shared: &Shared,
    headers: &HeaderMap,
    scopes: &[&str],
    terminal_id: &str,
) -> Result<Terminal, ApiError> {
    let caller = authorise(shared, headers, scopes).await?;
    let id = terminal_id.to_owned();
    let terminal = shared.db.read(move |db| terminals::find(db, &id)).await?;
    terminal
        .filter(|terminal| terminal.account_id == caller.account_id)
        .ok_or_else(|| ApiError::not_found(format!("terminal_id: {terminal_id} is not known")))
}
