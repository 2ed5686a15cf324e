//! What happened to an operation, step by step, for people.

use rusqlite::{Connection, params};
use serde_json::Value;
use terminal_hal::{OperationId, Timestamp};

use super::{DbError, execute, json, ms, operations::TimelineEntry, rows, time};

/// Rows that one operation may have: progress beyond it is not kept.
const ENTRIES_MAX: i64 = 1000;

/// Adds a step.
pub(crate) fn add(
    connection: &Connection,
    id: OperationId,
    at: Timestamp,
    event: &str,
    detail: &Value,
) -> Result<(), DbError> {
    let detail = if detail.is_null() { None } else { Some(detail.to_string()) };
    execute(
        connection,
        "INSERT INTO timeline (operation_id, at, event, detail) SELECT ?1, ?2, ?3, ?4
         WHERE (SELECT count(*) FROM timeline WHERE operation_id = ?1) < ?5",
        params![id.to_string(), ms(at), event, detail, ENTRIES_MAX],
    )?;
    Ok(())
}

/// Adds a step, unless it is there already with the same detail.
pub(crate) fn add_new(
    connection: &Connection,
    id: OperationId,
    at: Timestamp,
    event: &str,
    detail: &Value,
) -> Result<(), DbError> {
    let known = list(connection, id)?;
    if known.iter().any(|entry| entry.event == event && entry.detail == *detail) {
        return Ok(());
    }
    add(connection, id, at, event, detail)
}

/// All steps in order.
pub(crate) fn list(
    connection: &Connection,
    id: OperationId,
) -> Result<Vec<TimelineEntry>, DbError> {
    rows(
        connection,
        "SELECT at, event, detail FROM timeline WHERE operation_id = ?1 ORDER BY ordinal",
        [id.to_string()],
        |row| {
            Ok(TimelineEntry {
                at: time(row.get("at")?),
                event: row.get("event")?,
                detail: json(row, "detail")?.unwrap_or(Value::Null),
            })
        },
    )
}
