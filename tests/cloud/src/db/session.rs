//! What a link leaves in the database: hello, status, the end.

use rusqlite::{Connection, params};
use serde_json::Value;
use terminal_core::protocol::{Hello, ReportId, Seq, StatusFrame, UnfinishedState};
use terminal_hal::Timestamp;

use super::{DbError, events, execute, ms, now, pending::LinkKey, reports, sequence, verdict};

/// What `welcome` says.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) ack_seq: Seq,
    pub(crate) ack_report_id: Option<ReportId>,
    pub(crate) config_revision: u64,
}

/// Makes this link the terminal's only one and learns what it still has in hand; `None` for a
/// terminal that has been taken out of use.
pub(crate) fn hello(
    connection: &Connection,
    link: &LinkKey,
    hello: &Hello,
    at: Timestamp,
) -> Result<Option<Greeting>, DbError> {
    let revision = i64::try_from(hello.config_revision).unwrap_or(i64::MAX - 1);
    // A terminal ahead of a cloud that went back to an older state: issue above it.
    let found = execute(
        connection,
        "UPDATE terminals SET session_id = ?2, hello = ?3, last_seen_at = ?4,
         model = ?6, software_version = ?7, config_seen = max(config_seen, ?5),
         config_in_force = ?5,
         config_revision = CASE WHEN config IS NOT NULL AND ?5 > config_revision THEN ?5 + 1
                                ELSE config_revision END
         WHERE terminal_id = ?1 AND deleted_at IS NULL",
        params![
            link.terminal_id,
            link.session.to_string(),
            serde_json::to_string(hello)?,
            ms(at),
            revision,
            hello.model,
            hello.software_version,
        ],
    )?;
    if found == 0 {
        return Ok(None);
    }
    events::online(connection, &link.terminal_id, at)?;
    for unfinished in &hello.unfinished {
        let started = match unfinished.state {
            UnfinishedState::Accepted => None,
            UnfinishedState::Started => Some(ms(at)),
        };
        execute(
            connection,
            "UPDATE operations SET dispatched_session = ?3, redispatch_at = NULL,
             accepted_at = coalesce(accepted_at, ?4), started_at = coalesce(started_at, ?5)
             WHERE id = ?1 AND terminal_id = ?2",
            params![
                unfinished.id.to_string(),
                link.terminal_id,
                link.session.to_string(),
                ms(at),
                started,
            ],
        )?;
    }
    let (ack_seq, verdicts) =
        sequence::announced(connection, &link.terminal_id, link.epoch, hello.outbox, at)?;
    for id in verdicts {
        verdict::acked(connection, id, at)?;
    }
    let ack_report_id = reports::report_id(connection, &link.terminal_id, link.epoch, ack_seq)?;
    let config_revision: i64 = connection.query_row(
        "SELECT config_revision FROM terminals WHERE terminal_id = ?1",
        [&link.terminal_id],
        |row| row.get(0),
    )?;
    let config_revision = u64::try_from(config_revision).unwrap_or_default();
    Ok(Some(Greeting { ack_seq, ack_report_id, config_revision }))
}

/// The last heartbeat.
pub(crate) fn status(
    connection: &Connection,
    terminal_id: &str,
    frame: &StatusFrame,
) -> Result<(), DbError> {
    let revision = i64::try_from(frame.config_revision).unwrap_or(i64::MAX - 1);
    let body: Value = serde_json::to_value(frame)?;
    execute(
        connection,
        "UPDATE terminals SET status = ?2, config_seen = max(config_seen, ?3), config_in_force = ?3,
         software_version = ?4, battery_level = ?5 WHERE terminal_id = ?1",
        params![
            terminal_id,
            body.to_string(),
            revision,
            frame.software_version,
            body.get("battery_level").and_then(Value::as_u64).map(|level| level.min(100)),
        ],
    )?;
    Ok(())
}

/// Something came from the terminal.
pub(crate) fn seen(
    connection: &Connection,
    terminal_id: &str,
    at: Timestamp,
) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE terminals SET last_seen_at = ?2 WHERE terminal_id = ?1",
        params![terminal_id, ms(at)],
    )?;
    Ok(())
}

/// The link has ended; nothing changes when another one has taken over.
pub(crate) fn ended(connection: &Connection, link: &LinkKey, at: Timestamp) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE terminals SET session_id = NULL, link_ended_at = ?3
         WHERE terminal_id = ?1 AND session_id = ?2",
        params![link.terminal_id, link.session.to_string(), ms(at)],
    )?;
    Ok(())
}

/// A cloud that starts has no links, whatever the one before had.
pub(crate) fn forget_links(connection: &Connection) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE terminals SET session_id = NULL, link_ended_at = ?1 WHERE session_id IS NOT NULL",
        [ms(now())],
    )?;
    execute(connection, "UPDATE enrolments SET link = NULL WHERE link IS NOT NULL", [])?;
    Ok(())
}
