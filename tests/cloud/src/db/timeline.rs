//! What happened to an operation, step by step, for people.

use rusqlite::{Connection, params};
use serde_json::Value;
use terminal_hal::{OperationId, Timestamp};

use super::{DbError, execute, json, ms, operations::TimelineEntry, rows, time};

/// Rows of progress that one operation may have, and rows of everything else.
const ENTRIES_MAX: i64 = 1000;
/// How an operation ends is kept beside any number of them: it happens once.
const ENDS: [&str; 3] = ["report", "timeout", "acked"];

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
         WHERE ?6 OR ?5 > (SELECT count(*) FROM timeline WHERE operation_id = ?1
                           AND (event = 'progress') = (?3 = 'progress'))",
        params![id.to_string(), ms(at), event, detail, ENTRIES_MAX, ENDS.contains(&event)],
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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn however_often_something_is_said_how_it_ended_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let db = super::super::open(&dir.path().join("cloud.db")).unwrap();
        let id = OperationId(Uuid::nil());
        let add = |event| add(&db, id, Timestamp::default(), event, &json!({}));
        for event in ["progress", "accepted"] {
            (0..=ENTRIES_MAX).try_for_each(|_| add(event)).unwrap();
        }
        for event in ENDS {
            add(event).unwrap();
        }
        let kept = list(&db, id).unwrap();
        let count = |event| kept.iter().filter(|entry| entry.event == event).count();
        assert_eq!((count("progress"), count("accepted")), (1000, 1000));
        assert_eq!(ENDS.map(count), [1; ENDS.len()]);
    }
}
