//! Events for webhooks: written with the change that they tell of, in the same transaction.

use rusqlite::{Connection, Row, params};
use serde_json::{Value, json};
use terminal_hal::{OperationId, Timestamp};
use uuid::Uuid;

use super::{
    DbError, deliveries, execute, json as document, ms, operations, row, rows,
    terminals::{self, Terminal},
    time, uuid,
};
use crate::vinr::{self, Kind};

/// What there is to subscribe to.
pub(crate) const TYPES: [&str; 3] =
    ["terminal_action.completed", "terminal.online", "terminal.offline"];
/// An event is kept so long.
const KEEP_MS: u64 = 30 * 86_400_000;

/// An operation has reached its end; nothing when it is no terminal action.
pub(crate) fn action_ended(
    connection: &Connection,
    id: OperationId,
    at: Timestamp,
) -> Result<(), DbError> {
    let Some(operation) = operations::find(connection, None, id)? else { return Ok(()) };
    if !vinr::ACTIONS.iter().any(|kind| kind.as_str() == operation.operation) {
        return Ok(());
    }
    let Some(terminal) = terminals::find(connection, &operation.terminal_id)? else {
        return Ok(());
    };
    let data = json!({ "object": vinr::action(&operation, terminal.id) });
    add(connection, &terminal, "terminal_action.completed", data, at)
}

/// A terminal has got a link; told once until it is told to be offline.
pub(crate) fn online(
    connection: &Connection,
    terminal_id: &str,
    at: Timestamp,
) -> Result<(), DbError> {
    let sql = "UPDATE terminals SET announced = 1 WHERE terminal_id = ?1 AND announced = 0";
    if execute(connection, sql, [terminal_id])? > 0 {
        presence(connection, terminal_id, "terminal.online", at)?;
    }
    Ok(())
}

/// Tells of terminals whose link ended at or before `before` and that have not come back.
pub(crate) fn offline(
    connection: &Connection,
    before: Timestamp,
    at: Timestamp,
) -> Result<(), DbError> {
    let gone = rows(
        connection,
        "UPDATE terminals SET announced = 0
         WHERE announced AND session_id IS NULL AND link_ended_at <= ?1 RETURNING terminal_id",
        [ms(before)],
        |row| Ok(row.get::<_, String>(0)?),
    )?;
    for terminal_id in gone {
        presence(connection, &terminal_id, "terminal.offline", at)?;
    }
    Ok(())
}

/// When the first link ended of those that are not told yet.
pub(crate) fn next_offline(connection: &Connection) -> Result<Option<Timestamp>, DbError> {
    let ended: Option<i64> = connection.query_row(
        "SELECT min(link_ended_at) FROM terminals WHERE announced AND session_id IS NULL",
        [],
        |row| row.get(0),
    )?;
    Ok(ended.map(time))
}

fn presence(
    connection: &Connection,
    terminal_id: &str,
    kind: &'static str,
    at: Timestamp,
) -> Result<(), DbError> {
    let Some(terminal) = terminals::find(connection, terminal_id)? else { return Ok(()) };
    let data = json!({
        "id": Kind::Terminal.id(terminal.id),
        "locationId": terminal.location_id.map(|id| Kind::Location.id(id)),
        "lastSeen": terminal.last_seen_at.map(vinr::seconds),
    });
    add(connection, &terminal, kind, data, at)
}

fn add(
    connection: &Connection,
    terminal: &Terminal,
    kind: &'static str,
    data: Value,
    at: Timestamp,
) -> Result<(), DbError> {
    let id = Uuid::new_v4();
    let body = json!({
        "id": Kind::Event.id(id), "type": kind, "created": vinr::seconds(at), "data": data,
    });
    execute(
        connection,
        "INSERT INTO events (id, account_id, terminal_id, type, body, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            id.to_string(),
            terminal.account_id,
            terminal.terminal_id,
            kind,
            body.to_string(),
            ms(at)
        ],
    )?;
    let event = connection.last_insert_rowid();
    deliveries::plan(connection, event, terminal, kind, at)?;
    forget(connection, at)
}

/// Deletes events that are too old, with their deliveries, whatever became of these.
fn forget(connection: &Connection, at: Timestamp) -> Result<(), DbError> {
    let old = ms(at) - i64::try_from(KEEP_MS).unwrap_or(i64::MAX);
    // Numbers grow with time: the oldest are looked at, not all.
    let forgotten = rows(
        connection,
        "DELETE FROM events WHERE ordinal IN
            (SELECT ordinal FROM events ORDER BY ordinal LIMIT 64) AND created_at < ?1
         RETURNING ordinal",
        [old],
        |row| Ok(row.get(0)?),
    )?;
    forgotten.into_iter().try_for_each(|event| deliveries::forget(connection, event))
}

/// What a list of events is restricted to.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    pub(crate) account_id: String,
    pub(crate) kind: Option<&'static str>,
    pub(crate) starting_after: Option<Uuid>,
    pub(crate) limit: u32,
}

/// Bodies, newest first.
pub(crate) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Value>, DbError> {
    rows(
        connection,
        "SELECT body FROM events WHERE account_id = ?1 AND (?2 IS NULL OR type = ?2)
         AND (?3 IS NULL OR ordinal < (SELECT ordinal FROM events WHERE id = ?3))
         ORDER BY ordinal DESC LIMIT ?4",
        params![
            filter.account_id,
            filter.kind,
            filter.starting_after.map(|id| id.to_string()),
            filter.limit
        ],
        body,
    )
}

/// One body.
pub(crate) fn find(
    connection: &Connection,
    account_id: &str,
    id: Uuid,
) -> Result<Option<Value>, DbError> {
    row(
        connection,
        "SELECT body FROM events WHERE account_id = ?1 AND id = ?2",
        params![account_id, id.to_string()],
        body,
    )
}

fn body(row: &Row<'_>) -> Result<Value, DbError> {
    Ok(document(row, "body")?.unwrap_or_default())
}

/// The id of the event in a row of deliveries.
pub(super) fn id(row: &Row<'_>) -> Result<Uuid, DbError> {
    uuid(row, "event_id")?.ok_or(DbError::Range("event id"))
}
