//! What every list refuses in a query: parameters that it does not have, a cursor that is no row.

use super::{
    error::{ApiError, FieldError},
    problems::{Fields, show},
};
use crate::{
    db::cursor::{self, Cursor},
    state::Shared,
};

/// A list that takes no parameters.
pub(super) fn none(query: Option<&str>) -> Result<(), ApiError> {
    Fields::query(query).finish(Some(()))
}

/// Whether `starting_after` is a row of the account; `shown` is it as the client wrote it.
pub(super) async fn check_cursor(
    shared: &Shared,
    cursor: Cursor,
    account_id: &str,
    id: String,
    shown: &str,
) -> Result<(), ApiError> {
    let account = account_id.to_owned();
    if shared.db.read(move |db| cursor::is_known(db, cursor, &account, &id)).await? {
        return Ok(());
    }
    let message = format!("got {}, want the last id of the page before", show(&shown));
    Err(ApiError::invalid(vec![FieldError { path: "starting_after".to_owned(), message }]))
}
