//! Reports: the sequence of each store epoch, in order of arrival.

use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;
use terminal_core::protocol::{ReportId, Seq, StoreEpoch};
use terminal_hal::{OperationId, Timestamp, text::bounded};

use super::{
    DbError,
    arrived::{Arrived, Content, ReportHead},
    execute, json as document, ms, row, rows,
    sequence::{Acks, to_i64},
    time, uuid, verdict,
};

/// A report as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredReport {
    /// Order of first arrival, across all terminals.
    pub arrival: i64,
    /// The sequence.
    pub store_epoch: StoreEpoch,
    /// Place in it.
    pub seq: u64,
    /// Identity.
    pub report_id: ReportId,
    /// operation, configuration, event, dropped, or what an unreadable one said.
    pub kind: String,
    /// Of an operation report.
    pub operation_id: Option<OperationId>,
    /// The whole frame.
    pub body: Value,
    /// What is wrong with its content. A verdict whose id and status can be read counts all the
    /// same; anything else is only kept.
    pub problem: Option<String>,
    /// When it came first.
    pub received_at: Timestamp,
    /// How often it came.
    pub copies: u32,
}

/// Reports that never came: the terminal no longer has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The sequence.
    pub store_epoch: StoreEpoch,
    /// First one missing.
    pub first_seq: u64,
    /// Last one missing.
    pub last_seq: u64,
    /// When it was noticed.
    pub found_at: Timestamp,
}

/// Stores a report and what follows from it. False when its seq is none that can be stored.
pub(crate) fn store(
    connection: &Connection,
    terminal_id: &str,
    arrived: &Arrived,
    at: Timestamp,
    acks: &mut Acks,
) -> Result<bool, DbError> {
    let head = &arrived.head;
    let Ok(seq) = i64::try_from(head.seq.0) else { return Ok(false) };
    if seq == 0 {
        return Ok(false);
    }
    let known = acks.may_be_stored(connection, terminal_id, head.store_epoch, head.seq)?
        && count_copy(connection, terminal_id, head, seq)?;
    let verdict = if known { None } else { insert(connection, terminal_id, arrived, at)? };
    acks.stored(connection, terminal_id, head.store_epoch, head.seq, verdict)?;
    Ok(true)
}

/// Counts a report that is stored already; false when it is not.
fn count_copy(
    connection: &Connection,
    terminal_id: &str,
    head: &ReportHead,
    seq: i64,
) -> Result<bool, DbError> {
    let found = execute(
        connection,
        "UPDATE reports SET copies = copies + 1, problem = CASE WHEN report_id = ?4 THEN problem
             ELSE 'the same seq came with another report_id' END
         WHERE terminal_id = ?1 AND store_epoch = ?2 AND seq = ?3",
        params![terminal_id, head.store_epoch.to_string(), seq, head.report_id.to_string()],
    )?;
    Ok(found > 0)
}

/// Stores a report that is new; returns the operation whose verdict it is.
fn insert(
    connection: &Connection,
    terminal_id: &str,
    arrived: &Arrived,
    at: Timestamp,
) -> Result<Option<OperationId>, DbError> {
    let head = &arrived.head;
    let operation_id = match &arrived.content {
        Content::Verdict(verdict) => Some(verdict.id),
        Content::Configuration(_) | Content::Nothing => None,
    };
    let refusal = use_content(connection, terminal_id, arrived, at)?;
    execute(
        connection,
        "INSERT INTO reports (terminal_id, store_epoch, seq, report_id, kind, operation_id, body,
         problem, received_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            terminal_id,
            head.store_epoch.to_string(),
            to_i64(head.seq)?,
            head.report_id.to_string(),
            bounded(&arrived.kind, 32),
            operation_id.map(|id| id.to_string()),
            arrived.text,
            refusal.or(arrived.problem.as_deref()),
            ms(at),
        ],
    )?;
    Ok(operation_id.filter(|_| refusal.is_none()))
}

/// Does what follows from a report; returns why nothing did.
fn use_content(
    connection: &Connection,
    terminal_id: &str,
    arrived: &Arrived,
    at: Timestamp,
) -> Result<Option<&'static str>, DbError> {
    match &arrived.content {
        Content::Verdict(verdict) => verdict::apply(connection, terminal_id, arrived, verdict, at),
        Content::Configuration(report) => {
            execute(
                connection,
                // A report may be older than what `hello` said.
                "UPDATE terminals SET config_report = ?2, config_in_force = CASE ?2 ->> 'status'
                     WHEN 'APPLIED' THEN max(config_in_force, ?2 ->> 'revision')
                     ELSE config_in_force END
                 WHERE terminal_id = ?1",
                params![terminal_id, report],
            )?;
            Ok(None)
        }
        Content::Nothing => Ok(None),
    }
}

/// The report under a seq.
pub(crate) fn report_id(
    connection: &Connection,
    terminal_id: &str,
    epoch: StoreEpoch,
    seq: Seq,
) -> Result<Option<ReportId>, DbError> {
    let found = row(
        connection,
        "SELECT report_id FROM reports WHERE terminal_id = ?1 AND store_epoch = ?2 AND seq = ?3",
        params![terminal_id, epoch.to_string(), to_i64(seq)?],
        |row| uuid(row, "report_id"),
    )?;
    Ok(found.flatten().map(ReportId))
}

/// All reports of a terminal in order of arrival, or the newest `limit` of a kind.
pub(crate) fn list(
    connection: &Connection,
    terminal_id: &str,
    kind: Option<&str>,
    limit: Option<u32>,
) -> Result<Vec<StoredReport>, DbError> {
    let mut found = rows(
        connection,
        "SELECT * FROM reports WHERE terminal_id = ?1 AND kind = coalesce(?2, kind)
         ORDER BY arrival DESC LIMIT ?3",
        params![terminal_id, kind, limit.map_or(-1, i64::from)],
        |row| {
            Ok(StoredReport {
                arrival: row.get("arrival")?,
                store_epoch: StoreEpoch(uuid(row, "store_epoch")?.unwrap_or_default()),
                seq: u64::try_from(row.get::<_, i64>("seq")?).unwrap_or_default(),
                report_id: ReportId(uuid(row, "report_id")?.unwrap_or_default()),
                kind: row.get("kind")?,
                operation_id: uuid(row, "operation_id")?.map(OperationId),
                body: document(row, "body")?.unwrap_or_default(),
                problem: row.get("problem")?,
                received_at: time(row.get("received_at")?),
                copies: row.get("copies")?,
            })
        },
    )?;
    found.reverse();
    Ok(found)
}

/// How many reports are stored.
pub(crate) fn count(connection: &Connection, terminal_id: &str) -> Result<u64, DbError> {
    let count: i64 = connection.query_row(
        "SELECT count(*) FROM reports WHERE terminal_id = ?1",
        [terminal_id],
        |row| row.get(0),
    )?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// What never came.
pub(crate) fn gaps(connection: &Connection, terminal_id: &str) -> Result<Vec<Gap>, DbError> {
    rows(
        connection,
        "SELECT * FROM gaps WHERE terminal_id = ?1 ORDER BY found_at, first_seq LIMIT 1000",
        [terminal_id],
        |row| {
            Ok(Gap {
                store_epoch: StoreEpoch(uuid(row, "store_epoch")?.unwrap_or_default()),
                first_seq: u64::try_from(row.get::<_, i64>("first_seq")?).unwrap_or_default(),
                last_seq: u64::try_from(row.get::<_, i64>("last_seq")?).unwrap_or_default(),
                found_at: time(row.get("found_at")?),
            })
        },
    )
}

/// Goes back to an older state, as after a restored backup: reports above `seq` were never seen,
/// and what they decided is open again.
pub(crate) fn forget_after(
    connection: &Connection,
    terminal_id: &str,
    seq: u64,
) -> Result<(), DbError> {
    let seq = i64::try_from(seq).map_err(|_| DbError::Range("seq"))?;
    execute(
        connection,
        "UPDATE operations SET status = 'PENDING', result = NULL, error = NULL,
         late_result = NULL, verdict = NULL, verdict_report_id = NULL, dispatched_session = NULL
         WHERE id IN (SELECT operation_id FROM reports WHERE terminal_id = ?1 AND seq > ?2)",
        params![terminal_id, seq],
    )?;
    execute(
        connection,
        "DELETE FROM reports WHERE terminal_id = ?1 AND seq > ?2",
        params![terminal_id, seq],
    )?;
    execute(
        connection,
        "DELETE FROM gaps WHERE terminal_id = ?1 AND first_seq > ?2",
        params![terminal_id, seq],
    )?;
    execute(
        connection,
        "UPDATE gaps SET last_seq = min(last_seq, ?2) WHERE terminal_id = ?1",
        params![terminal_id, seq],
    )?;
    execute(
        connection,
        "UPDATE streams SET ack_seq = min(ack_seq, ?2) WHERE terminal_id = ?1",
        params![terminal_id, seq],
    )?;
    Ok(())
}
