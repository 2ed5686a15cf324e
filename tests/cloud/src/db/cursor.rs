//! Cursors of lists: a page goes on after a row that the account has.

use rusqlite::Connection;

use super::DbError;

/// A table and the column that its cursor names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cursor {
    Terminals,
    TerminalIds,
    Operations,
    Locations,
    Events,
}

/// Whether an account has a row of that id.
pub(crate) fn is_known(
    connection: &Connection,
    cursor: Cursor,
    account_id: &str,
    id: &str,
) -> Result<bool, DbError> {
    let (table, column) = match cursor {
        Cursor::Terminals => ("terminals", "id"),
        Cursor::TerminalIds => ("terminals", "terminal_id"),
        Cursor::Operations => ("operations", "id"),
        Cursor::Locations => ("locations", "id"),
        Cursor::Events => ("events", "id"),
    };
    let sql =
        format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE account_id = ?1 AND {column} = ?2)");
    Ok(connection.query_row(&sql, [account_id, id], |row| row.get(0))?)
}
