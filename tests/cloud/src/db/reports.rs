//! Reports: the sequence of each store epoch, in order of arrival.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use terminal_core::protocol::{Ack, Report, ReportBody, ReportId, Seq, StoreEpoch};
use terminal_hal::{OperationId, Timestamp, text::bounded};

use super::{DbError, execute, json as document, ms, row, rows, time, uuid, verdict};

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
    /// Why its content was not used, when it was quarantined.
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

/// What a report is about when its content cannot be read: enough to store and ack it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReportHead {
    pub(crate) seq: Seq,
    pub(crate) store_epoch: StoreEpoch,
    pub(crate) report_id: ReportId,
    #[serde(default)]
    pub(crate) kind: String,
}

/// A report that has arrived.
#[derive(Clone, Debug)]
pub(crate) enum Arrived {
    /// Readable; the text is kept as it came, with fields that this cloud does not know.
    Whole { report: Box<Report>, text: String },
    /// To be quarantined.
    Unreadable { head: ReportHead, text: String, problem: String },
}

/// What is to be acked after the commit, by epoch.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    pub(crate) by_epoch: BTreeMap<StoreEpoch, Seq>,
    pub(crate) verdicts: Vec<OperationId>,
}

impl Acks {
    pub(crate) fn frames(&self) -> impl Iterator<Item = Ack> + '_ {
        self.by_epoch.iter().map(|(epoch, seq)| Ack { store_epoch: *epoch, seq: *seq })
    }
}

/// Stores a report and what follows from it. False when its seq is none that can be stored.
pub(crate) fn store(
    connection: &Connection,
    terminal_id: &str,
    arrived: &Arrived,
    at: Timestamp,
    acks: &mut Acks,
) -> Result<bool, DbError> {
    let head = arrived.head();
    let Ok(seq) = i64::try_from(head.seq.0) else { return Ok(false) };
    if seq == 0 {
        return Ok(false);
    }
    let acked = match acks.by_epoch.get(&head.store_epoch) {
        Some(acked) => *acked,
        None => ack_seq(connection, terminal_id, head.store_epoch)?,
    };
    // Nothing is stored above what is acked: most reports need no look.
    if head.seq <= acked && count_copy(connection, terminal_id, &head, seq)? {
        acks.by_epoch.insert(head.store_epoch, acked);
        return Ok(true);
    }
    if head.seq > acked.next() {
        execute(
            connection,
            "INSERT INTO gaps (terminal_id, store_epoch, first_seq, last_seq, found_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![terminal_id, head.store_epoch.to_string(), to_i64(acked)? + 1, seq - 1, ms(at)],
        )?;
    }
    insert(connection, terminal_id, arrived, &head, at, acks)?;
    acks.by_epoch.insert(head.store_epoch, acked.max(head.seq));
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

/// Stores how far each sequence has come; belongs into the transaction of the reports.
pub(crate) fn advance(
    connection: &Connection,
    terminal_id: &str,
    acks: &Acks,
) -> Result<(), DbError> {
    for ack in acks.frames() {
        execute(
            connection,
            "INSERT INTO streams (terminal_id, store_epoch, ack_seq) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET ack_seq = excluded.ack_seq",
            params![terminal_id, ack.store_epoch.to_string(), to_i64(ack.seq)?],
        )?;
    }
    Ok(())
}

fn insert(
    connection: &Connection,
    terminal_id: &str,
    arrived: &Arrived,
    head: &ReportHead,
    at: Timestamp,
    acks: &mut Acks,
) -> Result<(), DbError> {
    let mut operation_id = None;
    let (body, problem) = match arrived {
        Arrived::Unreadable { text, problem, .. } => (text, Some(problem.clone())),
        Arrived::Whole { report, text } => {
            let problem = match &report.body {
                ReportBody::Operation(body) => {
                    operation_id = Some(body.id);
                    verdict::apply(connection, terminal_id, report, body, at)?
                }
                ReportBody::Configuration(_) => {
                    execute(
                        connection,
                        "UPDATE terminals SET config_report = ?2 WHERE terminal_id = ?1",
                        params![terminal_id, serde_json::to_string(&report.body)?],
                    )?;
                    None
                }
                ReportBody::Event(_) | ReportBody::Dropped => None,
            };
            (text, problem.map(str::to_owned))
        }
    };
    if problem.is_none() {
        acks.verdicts.extend(operation_id);
    }
    execute(
        connection,
        "INSERT INTO reports (terminal_id, store_epoch, seq, report_id, kind, operation_id, body,
         problem, received_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            terminal_id,
            head.store_epoch.to_string(),
            to_i64(head.seq)?,
            head.report_id.to_string(),
            bounded(&head.kind, 32),
            operation_id.map(|id| id.to_string()),
            body,
            problem,
            ms(at),
        ],
    )?;
    Ok(())
}

impl Arrived {
    fn head(&self) -> ReportHead {
        match self {
            Self::Unreadable { head, .. } => head.clone(),
            Self::Whole { report, .. } => ReportHead {
                seq: report.seq,
                store_epoch: report.store_epoch,
                report_id: report.report_id,
                kind: match report.body {
                    ReportBody::Operation(_) => "operation",
                    ReportBody::Configuration(_) => "configuration",
                    ReportBody::Event(_) => "event",
                    ReportBody::Dropped => "dropped",
                }
                .to_owned(),
            },
        }
    }
}

/// Highest seq that is stored or known to be lost, 0 for none.
pub(crate) fn ack_seq(
    connection: &Connection,
    terminal_id: &str,
    epoch: StoreEpoch,
) -> Result<Seq, DbError> {
    let stored = row(
        connection,
        "SELECT ack_seq FROM streams WHERE terminal_id = ?1 AND store_epoch = ?2",
        params![terminal_id, epoch.to_string()],
        |row| Ok(row.get::<_, i64>(0)?),
    )?;
    Ok(Seq(u64::try_from(stored.unwrap_or_default()).unwrap_or_default()))
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
        "UPDATE streams SET ack_seq = min(ack_seq, ?2) WHERE terminal_id = ?1",
        params![terminal_id, seq],
    )?;
    Ok(())
}

fn to_i64(seq: Seq) -> Result<i64, DbError> {
    i64::try_from(seq.0).map_err(|_| DbError::Range("seq"))
}
