//! What the terminal says about an operation: accepted, started, progress, and the one verdict.

use rusqlite::{Connection, params};
use serde_json::{Value, json};
use terminal_core::protocol::{Accepted, ProgressFrame, Started};
use terminal_hal::{OperationId, OperationKind, Timestamp, text::bounded};

use super::{
    DbError,
    arrived::{Arrived, Verdict},
    events, execute, ms,
    operations::{LateResult, OperationStatus},
    row, timeline,
};

/// The intent is on the terminal's medium.
pub(crate) fn accepted(
    connection: &Connection,
    terminal_id: &str,
    frame: Accepted,
    at: Timestamp,
) -> Result<(), DbError> {
    let sql = "UPDATE operations SET accepted_at = coalesce(accepted_at, ?3), redispatch_at = NULL
               WHERE id = ?1 AND terminal_id = ?2";
    if execute(connection, sql, params![frame.id.to_string(), terminal_id, ms(at)])? > 0 {
        let detail = json!({ "duplicate": frame.duplicate });
        timeline::add(connection, frame.id, at, "accepted", &detail)?;
    }
    Ok(())
}

/// An attempt has begun. A terminal says so again on every link; that is no news.
pub(crate) fn started(
    connection: &Connection,
    terminal_id: &str,
    frame: Started,
    at: Timestamp,
) -> Result<(), DbError> {
    let sql = "UPDATE operations SET started_at = coalesce(started_at, ?3)
               WHERE id = ?1 AND terminal_id = ?2";
    if execute(connection, sql, params![frame.id.to_string(), terminal_id, ms(at)])? > 0 {
        let detail = json!({ "attempt": frame.attempt });
        timeline::add_new(connection, frame.id, at, "started", &detail)?;
    }
    Ok(())
}

/// How far it has come.
pub(crate) fn progress(
    connection: &Connection,
    terminal_id: &str,
    frame: &ProgressFrame,
    at: Timestamp,
) -> Result<(), DbError> {
    let detail = json!({ "phase": frame.phase, "percent": frame.percent });
    let sql = "UPDATE operations SET progress = ?3 WHERE id = ?1 AND terminal_id = ?2";
    let params = params![frame.id.to_string(), terminal_id, detail.to_string()];
    if execute(connection, sql, params)? > 0 {
        timeline::add(connection, frame.id, at, "progress", &detail)?;
    }
    Ok(())
}

/// Applies a verdict; returns why it is not used. The first one wins.
pub(crate) fn apply(
    connection: &Connection,
    terminal_id: &str,
    report: &Arrived,
    verdict: &Verdict,
    at: Timestamp,
) -> Result<Option<&'static str>, DbError> {
    let known = row(
        connection,
        "SELECT terminal_id, kind, status, verdict_report_id FROM operations WHERE id = ?1",
        [verdict.id.to_string()],
        |row| {
            Ok(Known {
                terminal_id: row.get(0)?,
                kind: row.get(1)?,
                status: row.get(2)?,
                report_id: row.get(3)?,
            })
        },
    )?;
    let late = match &known {
        None => {
            adopt(connection, terminal_id, verdict, at)?;
            false
        }
        Some(known) if known.terminal_id != terminal_id => {
            return Ok(Some("operation of another terminal"));
        }
        Some(known) if verdict.operation.as_ref().is_some_and(|kind| *kind != known.kind) => {
            return Ok(Some("operation of another kind"));
        }
        Some(known) if known.report_id.is_some() => {
            let report_id = report.head.report_id.to_string();
            let same = known.report_id.as_ref() == Some(&report_id);
            let event = if same { "report_again" } else { "second_verdict" };
            timeline::add(connection, verdict.id, at, event, &json!({ "seq": report.head.seq }))?;
            return Ok(None);
        }
        Some(known) => known.status != OperationStatus::Pending.as_str(),
    };
    keep(connection, terminal_id, report, verdict, late, at)?;
    note_updates(connection, terminal_id, verdict)?;
    Ok(None)
}

struct Known {
    terminal_id: String,
    kind: String,
    status: String,
    report_id: Option<String>,
}

/// An operation that began on the terminal, or that this cloud has forgotten.
fn adopt(
    connection: &Connection,
    terminal_id: &str,
    verdict: &Verdict,
    at: Timestamp,
) -> Result<(), DbError> {
    let origin = if verdict.is_local { "local" } else { "cloud" };
    let created_by = bounded(verdict.created_by.as_deref().unwrap_or(terminal_id), 128);
    execute(
        connection,
        "INSERT INTO operations (id, account_id, terminal_id, kind, parameters, policy, ttl_s,
         deadline_s, not_after, timeout_at, origin, created_at, created_by, updated_at, updated_by,
         status)
         SELECT ?1, account_id, terminal_id, ?3, '{}', '{}', 0, 0, ?4, ?4, ?5, ?6, ?7,
         ?4, terminal_id, 'PENDING' FROM terminals WHERE terminal_id = ?2",
        params![
            verdict.id.to_string(),
            terminal_id,
            bounded(verdict.operation.as_deref().unwrap_or("unknown"), 64),
            ms(at),
            origin,
            ms(verdict.started_at.unwrap_or(at)),
            created_by,
        ],
    )?;
    let detail = json!({ "origin": origin, "by": created_by });
    timeline::add(connection, verdict.id, at, "adopted", &detail)
}

fn keep(
    connection: &Connection,
    terminal_id: &str,
    report: &Arrived,
    verdict: &Verdict,
    late: bool,
    at: Timestamp,
) -> Result<(), DbError> {
    let Verdict { status, result, error, .. } = verdict;
    let id = verdict.id.to_string();
    let report_id = report.head.report_id.to_string();
    if late {
        let (result, error) = (result.clone(), error.clone());
        let late = LateResult { status: *status, result, error, received_at: at };
        let late = serde_json::to_string(&late)?;
        execute(
            connection,
            "UPDATE operations SET late_result = ?2, verdict = ?3, verdict_report_id = ?4,
             updated_at = ?5, updated_by = ?6 WHERE id = ?1",
            params![id, late, report.text, report_id, ms(at), terminal_id],
        )?;
    } else {
        execute(
            connection,
            "UPDATE operations SET status = ?2, result = ?3, error = ?4, verdict = ?5,
             verdict_report_id = ?6, updated_at = ?7, updated_by = ?8, finished_at = ?9,
             redispatch_at = NULL WHERE id = ?1",
            params![
                id,
                status.as_str(),
                result.as_ref().map(Value::to_string),
                error.as_ref().map(Value::to_string),
                report.text,
                report_id,
                ms(at),
                terminal_id,
                ms(verdict.finished_at.unwrap_or(at)),
            ],
        )?;
        events::action_ended(connection, verdict.id, at)?;
    }
    let detail = json!({
        "seq": report.head.seq, "status": status, "late": late, "attempt": verdict.attempt,
        "duration_ms": verdict.duration_ms,
    });
    timeline::add(connection, verdict.id, at, "report", &detail)
}

/// A terminal with a mandatory update needs somebody's attention until it is installed.
fn note_updates(
    connection: &Connection,
    terminal_id: &str,
    verdict: &Verdict,
) -> Result<(), DbError> {
    let kind = verdict.operation.as_deref().and_then(OperationKind::from_name);
    let mandatory = match (kind, &verdict.result) {
        (Some(OperationKind::CheckUpdate), Some(result)) => result
            .get("updates")
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|one| one.get("mandatory") == Some(&json!(true)))),
        (Some(OperationKind::Update), Some(_)) => false,
        _ => return Ok(()),
    };
    execute(
        connection,
        "UPDATE terminals SET update_mandatory = ?2 WHERE terminal_id = ?1",
        params![terminal_id, mandatory],
    )?;
    Ok(())
}

/// Marks that the ack of a verdict has been handed to the link.
pub(crate) fn acked(
    connection: &Connection,
    id: OperationId,
    at: Timestamp,
) -> Result<(), DbError> {
    timeline::add(connection, id, at, "acked", &Value::Null)
}
