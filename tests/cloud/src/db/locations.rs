//! Locations: where terminals stand, and the configuration that those inherit.
//!
//! A location of one API is a store of the other: `store_id` is the name that the client gave it.

use rusqlite::{Connection, Row, params};
use serde_json::{Map, Value};
use terminal_hal::Timestamp;
use uuid::Uuid;

use super::{DbError, execute, json as document, ms, now, row, rows, time, uuid};

/// A place with terminals.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Location {
    pub(crate) id: Uuid,
    pub(crate) store_id: String,
    pub(crate) display_name: Option<String>,
    /// Configuration that its terminals inherit.
    pub(crate) template: Map<String, Value>,
    pub(crate) created_at: Timestamp,
}

/// The location of that name, made when there is none.
pub(crate) fn of_store(
    connection: &Connection,
    account_id: &str,
    store_id: &str,
) -> Result<Location, DbError> {
    execute(
        connection,
        "INSERT OR IGNORE INTO locations (id, account_id, store_id, created_at)
         VALUES (?1, ?2, ?3, ?4)",
        params![Uuid::new_v4().to_string(), account_id, store_id, ms(now())],
    )?;
    row(
        connection,
        "SELECT * FROM locations WHERE account_id = ?1 AND store_id = ?2",
        [account_id, store_id],
        read,
    )?
    .ok_or(DbError::Range("location"))
}

/// Makes a location; `None` when the account has one of that name.
pub(crate) fn create(
    connection: &Connection,
    account_id: &str,
    store_id: Option<&str>,
    display_name: Option<&str>,
) -> Result<Option<Location>, DbError> {
    let id = Uuid::new_v4();
    let store_id = store_id.map_or_else(|| id.to_string(), str::to_owned);
    let made = execute(
        connection,
        "INSERT OR IGNORE INTO locations (id, account_id, store_id, display_name, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![id.to_string(), account_id, store_id, display_name, ms(now())],
    )?;
    if made == 0 { Ok(None) } else { find(connection, account_id, id) }
}

/// One location of an account.
pub(crate) fn find(
    connection: &Connection,
    account_id: &str,
    id: Uuid,
) -> Result<Option<Location>, DbError> {
    row(
        connection,
        "SELECT * FROM locations WHERE account_id = ?1 AND id = ?2",
        params![account_id, id.to_string()],
        read,
    )
}

/// Newest first.
pub(crate) fn list(
    connection: &Connection,
    account_id: &str,
    limit: u32,
    starting_after: Option<Uuid>,
) -> Result<Vec<Location>, DbError> {
    rows(
        connection,
        "SELECT * FROM locations WHERE account_id = ?1
         AND (?2 IS NULL OR ordinal < (SELECT ordinal FROM locations WHERE id = ?2))
         ORDER BY ordinal DESC LIMIT ?3",
        params![account_id, starting_after.map(|id| id.to_string()), limit],
        read,
    )
}

fn read(row: &Row<'_>) -> Result<Location, DbError> {
    Ok(Location {
        id: uuid(row, "id")?.ok_or(DbError::Range("location id"))?,
        store_id: row.get("store_id")?,
        display_name: row.get("display_name")?,
        template: document(row, "template")?.unwrap_or_default(),
        created_at: time(row.get("created_at")?),
    })
}
