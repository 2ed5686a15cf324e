//! The sequence of a store epoch: how far it is stored without a gap, and what of it was lost.
//!
//! An ack never passes a report that may still come. Only what lies below the oldest report that
//! `hello` announces is lost.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};
use terminal_core::protocol::{Ack, Outbox, Seq, StoreEpoch};
use terminal_hal::{OperationId, Timestamp};

use super::{DbError, execute, ms, row, uuid};

/// What is to be acked after the commit, by epoch.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    sequences: BTreeMap<StoreEpoch, Sequence>,
    /// Operations whose verdict is acked now.
    pub(crate) verdicts: Vec<OperationId>,
}

/// How far one sequence has come.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    /// Everything up to here is stored or known to be lost.
    acked: Seq,
    /// Nothing is stored above.
    highest: Seq,
    /// There is something to ack.
    due: bool,
}

impl Acks {
    pub(crate) fn frames(&self) -> impl Iterator<Item = Ack> + '_ {
        let due = self.sequences.iter().filter(|(_, sequence)| sequence.due);
        due.map(|(epoch, sequence)| Ack { store_epoch: *epoch, seq: sequence.acked })
    }

    /// Whether a report may be stored already: most are new and need no look.
    pub(crate) fn may_be_stored(
        &mut self,
        connection: &Connection,
        terminal_id: &str,
        epoch: StoreEpoch,
        seq: Seq,
    ) -> Result<bool, DbError> {
        Ok(seq <= self.sequence(connection, terminal_id, epoch)?.highest)
    }

    /// A report is stored, for the first time or again; `verdict` is what it settled just now.
    pub(crate) fn stored(
        &mut self,
        connection: &Connection,
        terminal_id: &str,
        epoch: StoreEpoch,
        seq: Seq,
        verdict: Option<OperationId>,
    ) -> Result<(), DbError> {
        let mut verdicts = Vec::new();
        let sequence = self.sequence(connection, terminal_id, epoch)?;
        if seq == sequence.acked.next() {
            sequence.acked = seq;
            if seq < sequence.highest {
                sequence.acked = contiguous(connection, terminal_id, epoch, seq, &mut verdicts)?;
            }
        }
        sequence.highest = sequence.highest.max(seq);
        if seq <= sequence.acked {
            sequence.due = true;
            verdicts.extend(verdict);
        }
        self.verdicts.extend(verdicts);
        Ok(())
    }

    /// Stores how far each sequence has come; belongs into the transaction of the reports.
    pub(crate) fn keep(&self, connection: &Connection, terminal_id: &str) -> Result<(), DbError> {
        for ack in self.frames() {
            execute(
                connection,
                "INSERT INTO streams (terminal_id, store_epoch, ack_seq) VALUES (?1, ?2, ?3)
                 ON CONFLICT DO UPDATE SET ack_seq = excluded.ack_seq",
                params![terminal_id, ack.store_epoch.to_string(), to_i64(ack.seq)?],
            )?;
        }
        Ok(())
    }

    fn sequence(
        &mut self,
        connection: &Connection,
        terminal_id: &str,
        epoch: StoreEpoch,
    ) -> Result<&mut Sequence, DbError> {
        use std::collections::btree_map::Entry;
        Ok(match self.sequences.entry(epoch) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(load(connection, terminal_id, epoch)?),
        })
    }
}

/// Learns from `hello` what the terminal no longer has: records it and acks past it. Returns how
/// far the sequence has come.
pub(crate) fn announced(
    connection: &Connection,
    terminal_id: &str,
    epoch: StoreEpoch,
    outbox: Outbox,
    at: Timestamp,
) -> Result<(Seq, Vec<OperationId>), DbError> {
    let mut acks = Acks::default();
    let mut verdicts = Vec::new();
    let sequence = acks.sequence(connection, terminal_id, epoch)?;
    let below = outbox.first_seq.0.saturating_sub(1).min(outbox.last_seq.0);
    let lost = Seq(below.min(i64::MAX.unsigned_abs()));
    if lost > sequence.acked {
        while sequence.acked < lost {
            let from = sequence.acked;
            let next = next_stored(connection, terminal_id, epoch, from)?;
            let last = next.map_or(lost, |next| lost.min(Seq(next.0.saturating_sub(1))));
            if last > from {
                record_gap(connection, terminal_id, epoch, from.next(), last, at)?;
            }
            sequence.acked = contiguous(connection, terminal_id, epoch, last, &mut verdicts)?;
        }
        sequence.due = true;
    }
    let acked = sequence.acked;
    acks.keep(connection, terminal_id)?;
    Ok((acked, verdicts))
}

fn record_gap(
    connection: &Connection,
    terminal_id: &str,
    epoch: StoreEpoch,
    first: Seq,
    last: Seq,
    at: Timestamp,
) -> Result<(), DbError> {
    execute(
        connection,
        "INSERT INTO gaps (terminal_id, store_epoch, first_seq, last_seq, found_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![terminal_id, epoch.to_string(), to_i64(first)?, to_i64(last)?, ms(at)],
    )?;
    Ok(())
}

fn load(
    connection: &Connection,
    terminal_id: &str,
    epoch: StoreEpoch,
) -> Result<Sequence, DbError> {
    let found = row(
        connection,
        "SELECT (SELECT ack_seq FROM streams WHERE terminal_id = ?1 AND store_epoch = ?2),
         (SELECT max(seq) FROM reports WHERE terminal_id = ?1 AND store_epoch = ?2)",
        params![terminal_id, epoch.to_string()],
        |row| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?)),
    )?;
    let (acked, highest) = found.unwrap_or_default();
    let seq = |stored: Option<i64>| Seq(u64::try_from(stored.unwrap_or_default()).unwrap_or(0));
    Ok(Sequence { acked: seq(acked), highest: seq(highest), due: false })
}

/// The first report that is stored above `after`.
fn next_stored(
    connection: &Connection,
    terminal_id: &str,
    epoch: StoreEpoch,
    after: Seq,
) -> Result<Option<Seq>, DbError> {
    row(
        connection,
        "SELECT seq FROM reports WHERE terminal_id = ?1 AND store_epoch = ?2 AND seq > ?3
         ORDER BY seq LIMIT 1",
        params![terminal_id, epoch.to_string(), to_i64(after)?],
        |row| Ok(Seq(u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default())),
    )
}

/// The last report that is stored after `acked` without a gap, or `acked`; adds the operations
/// whose verdicts lie between.
fn contiguous(
    connection: &Connection,
    terminal_id: &str,
    epoch: StoreEpoch,
    mut acked: Seq,
    verdicts: &mut Vec<OperationId>,
) -> Result<Seq, DbError> {
    let mut statement = connection.prepare_cached(
        "SELECT report.seq, operation.id AS operation_id FROM reports report
         LEFT JOIN operations operation ON operation.id = report.operation_id
             AND operation.verdict_report_id = report.report_id
         WHERE report.terminal_id = ?1 AND report.store_epoch = ?2 AND report.seq > ?3
         ORDER BY report.seq",
    )?;
    let mut rows = statement.query(params![terminal_id, epoch.to_string(), to_i64(acked)?])?;
    while let Some(row) = rows.next()? {
        if row.get::<_, i64>(0)? != to_i64(acked.next())? {
            break;
        }
        acked = acked.next();
        verdicts.extend(uuid(row, "operation_id")?.map(OperationId));
    }
    Ok(acked)
}

/// A seq as SQLite stores it.
pub(crate) fn to_i64(seq: Seq) -> Result<i64, DbError> {
    i64::try_from(seq.0).map_err(|_| DbError::Range("seq"))
}
