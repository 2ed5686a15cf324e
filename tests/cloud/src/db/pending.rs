//! Operations on their way: what a link has to send, what runs into its TIMEOUT, what is withdrawn.

use rusqlite::{Connection, Row, params};
use serde_json::json;
use terminal_core::protocol::{
    Cancel, CloudFrame, ConfigurationFrame, ErrorFrame, OperationFrame, SessionId, StoreEpoch,
    error_code,
};
use terminal_hal::{ErrorCode, Failure, OperationId, Timestamp};

use super::{
    DbError, events, execute, json as document, ms, operations::OperationStatus, row, rows, time,
    timeline, uuid,
};

/// Frames that one look into the database yields; the link asks again while there are more.
const FRAMES_MAX: usize = 64;
/// How often `OVERLOADED` or `STORAGE_FULL` is answered with another dispatch.
const OVERLOADS_MAX: u32 = 100;

/// What a link has to send now.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) frames: Vec<CloudFrame>,
    /// Look again at this instant.
    pub(crate) next_at: Option<Timestamp>,
    /// Look again at once.
    pub(crate) more: bool,
}

/// A link, as the database knows it.
#[derive(Clone, Debug)]
pub(crate) struct LinkKey {
    pub(crate) terminal_id: String,
    pub(crate) session: SessionId,
    pub(crate) epoch: StoreEpoch,
}

/// Decides and records what this link sends next; nothing when another link has taken over.
pub(crate) fn plan(
    connection: &Connection,
    link: &LinkKey,
    at: Timestamp,
    config_sent: u64,
) -> Result<Plan, DbError> {
    let mut plan = Plan::default();
    let current = row(
        connection,
        "SELECT config, config_revision,
         coalesce(json_extract(config_report, '$.status') = 'REJECTED'
             AND json_extract(config_report, '$.revision') = config_revision, 0) AS rejected
         FROM terminals WHERE terminal_id = ?1 AND session_id = ?2",
        params![link.terminal_id, link.session.to_string()],
        |row| {
            let revision = row.get::<_, i64>("config_revision")?;
            Ok((document(row, "config")?, revision, row.get::<_, bool>("rejected")?))
        },
    )?;
    let Some((config, revision, is_rejected)) = current else { return Ok(plan) };
    let revision = u64::try_from(revision).unwrap_or_default();
    if let (Some(config), true) = (config, revision > config_sent && !is_rejected) {
        plan.frames.push(CloudFrame::Configuration(ConfigurationFrame { revision, config }));
    }
    dispatch(connection, link, at, &mut plan)?;
    cancel(connection, link, at, &mut plan)?;
    Ok(plan)
}

fn dispatch(
    connection: &Connection,
    link: &LinkKey,
    at: Timestamp,
    plan: &mut Plan,
) -> Result<(), DbError> {
    // One that has never been sent and can no longer start in time is left to its TIMEOUT. One that
    // was sent may have a verdict by now, also after its TIMEOUT: the terminal answers with it.
    let waiting = rows(
        connection,
        "SELECT * FROM operations WHERE terminal_id = ?1 AND verdict IS NULL AND origin = 'cloud'
         AND (dispatched_session IS NULL OR dispatched_session <> ?2)
         AND CASE status
             WHEN 'PENDING' THEN first_epoch IS NOT NULL OR ?4 - created_at < ttl_s * 1000
             WHEN 'TIMEOUT' THEN first_epoch IS NOT NULL AND ?4 < not_after END
         ORDER BY ordinal LIMIT ?3",
        params![link.terminal_id, link.session.to_string(), FRAMES_MAX as i64, ms(at)],
        |row| Ok((row.get::<_, Option<i64>>("redispatch_at")?.map(time), frame(row, at)?)),
    )?;
    plan.more = waiting.len() == FRAMES_MAX;
    for (redispatch_at, frame) in waiting {
        if let Some(later) = redispatch_at.filter(|later| *later > at) {
            // Creation order holds: what comes after it waits with it.
            plan.next_at = Some(later);
            plan.more = false;
            break;
        }
        execute(
            connection,
            "UPDATE operations SET dispatched_session = ?2, dispatches = dispatches + 1,
             dispatched_at = coalesce(dispatched_at, ?3), first_epoch = coalesce(first_epoch, ?4),
             redispatch_at = NULL WHERE id = ?1",
            params![frame.id.to_string(), link.session.to_string(), ms(at), link.epoch.to_string()],
        )?;
        let detail = json!({ "session_id": link.session, "ttl_s": frame.ttl_s });
        timeline::add(connection, frame.id, at, "dispatched", &detail)?;
        plan.frames.push(CloudFrame::Operation(Box::new(frame)));
    }
    Ok(())
}

fn frame(row: &Row<'_>, at: Timestamp) -> Result<OperationFrame, DbError> {
    let created_at = time(row.get("created_at")?);
    // What is a TIMEOUT here is not to begin any more.
    let is_pending = row.get::<_, String>("status")? == OperationStatus::Pending.as_str();
    let ttl_s: u32 = if is_pending { row.get("ttl_s")? } else { 0 };
    let spent_s = u32::try_from(at.ms_since(created_at) / 1000).unwrap_or(u32::MAX);
    Ok(OperationFrame {
        id: OperationId(uuid(row, "id")?.ok_or(DbError::Range("operation id"))?),
        operation: row.get("kind")?,
        parameters: document(row, "parameters")?.unwrap_or_default(),
        created_at,
        created_by: row.get("created_by")?,
        first_epoch: uuid(row, "first_epoch")?.map(StoreEpoch),
        ttl_s: ttl_s.saturating_sub(spent_s),
        not_after: time(row.get("not_after")?),
        deadline_s: row.get("deadline_s")?,
        policy: document(row, "policy")?.unwrap_or_default(),
    })
}

/// A withdrawal follows its operation on the same link; what was withdrawn by TIMEOUT is left
/// alone once it has started.
fn cancel(
    connection: &Connection,
    link: &LinkKey,
    at: Timestamp,
    plan: &mut Plan,
) -> Result<(), DbError> {
    let session = link.session.to_string();
    let ids = rows(
        connection,
        "SELECT id FROM operations WHERE terminal_id = ?1 AND verdict IS NULL
         AND dispatched_session = ?2 AND (cancel_session IS NULL OR cancel_session <> ?2)
         AND (cancel = 'requested' OR (cancel = 'withdrawn' AND started_at IS NULL))
         ORDER BY ordinal LIMIT ?3",
        params![link.terminal_id, session, FRAMES_MAX as i64],
        |row| uuid(row, "id"),
    )?;
    plan.more |= ids.len() == FRAMES_MAX;
    for id in ids.into_iter().flatten().map(OperationId) {
        execute(
            connection,
            "UPDATE operations SET cancel_session = ?2 WHERE id = ?1",
            params![id.to_string(), session],
        )?;
        timeline::add(connection, id, at, "cancel_sent", &serde_json::Value::Null)?;
        plan.frames.push(CloudFrame::Cancel(Cancel { id }));
    }
    Ok(())
}

/// When the next operation becomes a TIMEOUT.
pub(crate) fn next_timeout(connection: &Connection) -> Result<Option<Timestamp>, DbError> {
    let next = connection.query_row(
        "SELECT min(timeout_at) FROM operations WHERE status = 'PENDING'",
        [],
        |row| row.get::<_, Option<i64>>(0),
    )?;
    Ok(next.map(time))
}

/// Turns what has waited too long into TIMEOUT; returns the terminals with something to withdraw.
pub(crate) fn sweep(connection: &Connection, at: Timestamp) -> Result<Vec<String>, DbError> {
    let due = rows(
        connection,
        "SELECT id, terminal_id FROM operations WHERE status = 'PENDING' AND timeout_at <= ?1",
        [ms(at)],
        |row| Ok((uuid(row, "id")?, row.get::<_, String>("terminal_id")?)),
    )?;
    let mut terminals = Vec::new();
    for (id, terminal_id) in due {
        let Some(id) = id.map(OperationId) else { continue };
        execute(
            connection,
            "UPDATE operations SET status = 'TIMEOUT', updated_at = ?2,
             updated_by = 'terminal-cloud', redispatch_at = NULL,
             cancel = CASE WHEN cancel IS NULL AND dispatched_at IS NOT NULL
                           AND started_at IS NULL THEN 'withdrawn' ELSE cancel END
             WHERE id = ?1",
            params![id.to_string(), ms(at)],
        )?;
        timeline::add(connection, id, at, "timeout", &serde_json::Value::Null)?;
        events::action_ended(connection, id, at)?;
        terminals.push(terminal_id);
    }
    Ok(terminals)
}

/// Asks for a withdrawal. One that was never dispatched ends here. False when it is not PENDING.
pub(crate) fn request_cancel(
    connection: &Connection,
    account_id: Option<&str>,
    id: OperationId,
    by: &str,
    at: Timestamp,
) -> Result<bool, DbError> {
    let dispatched = row(
        connection,
        "SELECT dispatched_at FROM operations WHERE id = ?1 AND status = 'PENDING'
         AND account_id = coalesce(?2, account_id)",
        params![id.to_string(), account_id],
        |row| Ok(row.get::<_, Option<i64>>(0)?.is_some()),
    )?;
    let Some(dispatched) = dispatched else { return Ok(false) };
    timeline::add(connection, id, at, "cancel_requested", &json!({ "by": by }))?;
    if dispatched {
        execute(
            connection,
            "UPDATE operations SET cancel = 'requested' WHERE id = ?1",
            [id.to_string()],
        )?;
        return Ok(true);
    }
    let error = Failure::new(ErrorCode::Canceled, "withdrawn before it was dispatched");
    let error = serde_json::to_string(&error)?;
    execute(
        connection,
        "UPDATE operations SET status = 'FAILED', error = ?2, verdict = ?2, updated_at = ?3,
         updated_by = ?4 WHERE id = ?1",
        params![id.to_string(), error, ms(at), by],
    )?;
    events::action_ended(connection, id, at)?;
    Ok(true)
}

/// Keeps an `error` frame with the operation that it is about. True when the operation is to be
/// dispatched again after `delay_ms`.
pub(crate) fn refused(
    connection: &Connection,
    link: &LinkKey,
    error: &ErrorFrame,
    at: Timestamp,
    delay_ms: u64,
) -> Result<bool, DbError> {
    let id = error.reference.as_deref().and_then(|text| uuid::Uuid::parse_str(text).ok());
    let Some(id) = id.map(OperationId) else { return Ok(false) };
    let detail = json!({ "code": error.code, "message": error.message, "at": at });
    let found = execute(
        connection,
        "UPDATE operations SET last_error = ?3 WHERE id = ?1 AND terminal_id = ?2",
        params![id.to_string(), link.terminal_id, detail.to_string()],
    )?;
    if found == 0 {
        return Ok(false);
    }
    timeline::add(connection, id, at, "error", &detail)?;
    if error.code != error_code::OVERLOADED && error.code != error_code::STORAGE_FULL {
        return Ok(false);
    }
    let again = execute(
        connection,
        "UPDATE operations SET dispatched_session = NULL, redispatch_at = ?2,
         overloads = overloads + 1
         WHERE id = ?1 AND verdict IS NULL AND accepted_at IS NULL AND overloads < ?3",
        params![id.to_string(), ms(at.plus_ms(delay_ms)), OVERLOADS_MAX],
    )?;
    Ok(again > 0)
}
