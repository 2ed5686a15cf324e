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
    problems::Fields,
    query::check_cursor,
};
use crate::{
    db::{
        cursor::Cursor,
        locations::{self as stored_locations, Location},
        terminals::Terminal,
        tokens::NewToken,
    },
    state::Shared,
    vinr::Kind,
};

/// Most rows of a page.
const LIMIT_MAX: u32 = 100;

/// Which page of a list is wanted.
#[derive(Clone, Copy)]
struct Page {
    limit: u32,
    starting_after: Option<Uuid>,
}

impl Page {
    /// Reads `limit` and `starting_after`, an id of a kind.
    fn read(fields: &mut Fields, kind: Kind, limit_default: u32) -> Self {
        Self {
            starting_after: fields.id("starting_after", kind),
            limit: fields.integer("limit", 1, LIMIT_MAX).unwrap_or(limit_default),
        }
    }

    /// Refuses a `starting_after` that is no row of the account.
    async fn check(
        self,
        shared: &Shared,
        cursor: Cursor,
        account_id: &str,
    ) -> Result<(), ApiError> {
        let Some(id) = self.starting_after else { return Ok(()) };
        let kind = match cursor {
            Cursor::Terminals | Cursor::TerminalIds => Kind::Terminal,
            Cursor::Operations => Kind::Action,
            Cursor::Locations => Kind::Location,
            Cursor::Events => Kind::Event,
        };
        check_cursor(shared, cursor, account_id, id.to_string(), &kind.id(id)).await
    }

    /// Rows to look up: one more tells whether there are more.
    const fn rows(self) -> u32 {
        self.limit + 1
    }
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
