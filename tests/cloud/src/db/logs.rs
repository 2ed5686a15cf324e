//! Completed logs and uploads; their bytes are files.

use rusqlite::{Connection, Row, params};
use serde::Serialize;
use terminal_hal::{OperationId, Timestamp};

use super::{DbError, execute, ms, now, row, rows, time, uuid};

/// A log that has arrived whole over the link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredLog {
    /// Operation of the upload.
    pub operation_id: OperationId,
    /// Its attempt.
    pub attempt: u32,
    /// Bytes as stored.
    pub bytes: u64,
    /// Of the bytes, 64 lower-case hex digits.
    pub sha256: String,
    /// When it was verified.
    pub completed_at: Timestamp,
}

/// Whose operation an id is, and of which kind.
pub(crate) fn owner(
    connection: &Connection,
    id: OperationId,
) -> Result<Option<(String, String)>, DbError> {
    row(
        connection,
        "SELECT terminal_id, kind FROM operations WHERE id = ?1",
        [id.to_string()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// Records a verified log; a newer attempt replaces an older one.
pub(crate) fn complete(
    connection: &Connection,
    terminal_id: &str,
    log: &StoredLog,
) -> Result<(), DbError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO logs
         (operation_id, terminal_id, attempt, bytes, sha256, completed_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            log.operation_id.to_string(),
            terminal_id,
            log.attempt,
            i64::try_from(log.bytes).map_err(|_| DbError::Range("log length"))?,
            log.sha256,
            ms(log.completed_at),
        ],
    )?;
    Ok(())
}

/// Forgets a log whose file has made room for another.
pub(crate) fn dropped(
    connection: &Connection,
    terminal_id: &str,
    id: OperationId,
) -> Result<(), DbError> {
    execute(
        connection,
        "DELETE FROM logs WHERE terminal_id = ?1 AND operation_id = ?2",
        params![terminal_id, id.to_string()],
    )?;
    Ok(())
}

/// The verified log of an operation.
pub(crate) fn find(
    connection: &Connection,
    terminal_id: &str,
    id: OperationId,
) -> Result<Option<StoredLog>, DbError> {
    row(
        connection,
        "SELECT * FROM logs WHERE terminal_id = ?1 AND operation_id = ?2",
        params![terminal_id, id.to_string()],
        read,
    )
}

/// Newest first, at most 100.
pub(crate) fn list(connection: &Connection, terminal_id: &str) -> Result<Vec<StoredLog>, DbError> {
    rows(
        connection,
        "SELECT * FROM logs WHERE terminal_id = ?1 ORDER BY completed_at DESC LIMIT 100",
        [terminal_id],
        read,
    )
}

/// Records a received upload.
pub(crate) fn uploaded(
    connection: &Connection,
    account_id: &str,
    name: &str,
    bytes: u64,
    sha256: &str,
) -> Result<(), DbError> {
    execute(
        connection,
        "INSERT OR REPLACE INTO uploads (name, account_id, bytes, sha256, received_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            name,
            account_id,
            i64::try_from(bytes).map_err(|_| DbError::Range("upload length"))?,
            sha256,
            ms(now()),
        ],
    )?;
    Ok(())
}

/// Digest of an upload that has arrived.
pub(crate) fn upload(
    connection: &Connection,
    account_id: &str,
    name: &str,
) -> Result<Option<String>, DbError> {
    row(
        connection,
        "SELECT sha256 FROM uploads WHERE account_id = ?1 AND name = ?2",
        [account_id, name],
        |row| Ok(row.get(0)?),
    )
}

fn read(row: &Row<'_>) -> Result<StoredLog, DbError> {
    Ok(StoredLog {
        operation_id: OperationId(uuid(row, "operation_id")?.ok_or(DbError::Range("log id"))?),
        attempt: row.get("attempt")?,
        bytes: u64::try_from(row.get::<_, i64>("bytes")?).unwrap_or_default(),
        sha256: row.get("sha256")?,
        completed_at: time(row.get("completed_at")?),
    })
}
