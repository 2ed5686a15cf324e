//! `/v1/terminals`, `/v1/terminal/actions`, `/v1/locations` and what belongs to them, as the second
//! public API has it. Everything ends in the same database and on the same links.

pub(super) mod actions;
pub(super) mod activate;
mod config_check;
pub(super) mod configuration;
pub(super) mod events;
pub(super) mod locations;
pub(super) mod terminals;
pub(super) mod webhooks;

use axum::http::HeaderMap;
use uuid::Uuid;

use super::{
    auth::authorise,
    error::{ApiError, FieldError},
};
use crate::{
    db::{
        locations::{self as stored_locations, Location},
        terminals::{self as stored_terminals, Terminal},
        tokens::NewToken,
    },
    state::Shared,
    vinr::Kind,
};

/// The caller, and the terminal that a path names.
async fn caller_and_terminal(
    shared: &Shared,
    headers: &HeaderMap,
    scopes: &[&str],
    id: &str,
) -> Result<(NewToken, Terminal), ApiError> {
    let caller = authorise(shared, headers, scopes).await?;
    let unknown = || ApiError::not_found(format!("terminal {id:.64} is not known"));
    let uuid = Kind::Terminal.parse(id).ok_or_else(unknown)?;
    let found = shared.db.read(move |db| stored_terminals::by_id(db, uuid)).await?;
    let terminal = found.filter(|terminal| terminal.account_id == caller.account_id);
    Ok((caller, terminal.ok_or_else(unknown)?))
}

/// The caller, and the location that a path names.
async fn caller_and_location(
    shared: &Shared,
    headers: &HeaderMap,
    scopes: &[&str],
    id: &str,
) -> Result<(NewToken, Location), ApiError> {
    let caller = authorise(shared, headers, scopes).await?;
    let unknown = || ApiError::not_found(format!("location {id:.64} is not known"));
    let uuid = Kind::Location.parse(id).ok_or_else(unknown)?;
    let account = caller.account_id.clone();
    let found = shared.db.read(move |db| stored_locations::find(db, &account, uuid)).await?;
    Ok((caller, found.ok_or_else(unknown)?))
}

/// Whether a location that a body names exists.
async fn check_location(
    shared: &Shared,
    account_id: &str,
    location: Option<Uuid>,
) -> Result<(), ApiError> {
    let Some(id) = location else { return Ok(()) };
    let account = account_id.to_owned();
    let found = shared.db.read(move |db| stored_locations::find(db, &account, id)).await?;
    if found.is_some() {
        return Ok(());
    }
    let message = format!("got {:?}, want a location of this account", Kind::Location.id(id));
    Err(ApiError::invalid(vec![FieldError { path: "locationId".to_owned(), message }]))
}

/// What can no longer be changed or told to do something.
fn check_in_use(terminal: &Terminal) -> Result<(), ApiError> {
    if terminal.deleted.is_none() {
        return Ok(());
    }
    let message = format!("terminal {} is deactivated", Kind::Terminal.id(terminal.id));
    Err(ApiError::conflict("TERMINAL_DEACTIVATED", message))
}
