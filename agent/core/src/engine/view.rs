//! The engine's state for people: what `terminal-agent status` shows.

use std::collections::BTreeMap;

use terminal_hal::{BootId, OperationId, Timestamp};

use super::{
    ConfigurationRecord, Engine, LinkView, MembershipView, Meta, Moment, Monotonic,
    OperationRecord, OperationState, Write, running::Live,
};
use crate::protocol::{Origin, ReportId, Seq, StatusFrame, StoreEpoch};

/// The engine's state at one moment.
#[derive(Clone, Debug)]
pub struct EngineView {
    /// The link.
    pub link: LinkView,
    /// As the cloud knows this terminal; empty before it is enrolled.
    pub terminal_id: String,
    /// Who this terminal is to the cloud.
    pub membership: MembershipView,
    /// The same as the cloud gets.
    pub status: StatusFrame,
    /// Identity of the store.
    pub store_epoch: StoreEpoch,
    /// Of this boot.
    pub boot_id: BootId,
    /// Milliseconds by which the cloud's clock is ahead of the wall clock, once it is known.
    pub cloud_offset_ms: Option<i64>,
    /// Without a verdict, in order of arrival.
    pub operations: Vec<OperationView>,
    /// Newest verdicts, oldest first.
    pub finished: Vec<FinishedView>,
    /// Reports of owners before, which are never sent.
    pub held: usize,
}

/// An operation without a verdict.
#[derive(Clone, Debug)]
pub struct OperationView {
    /// Which.
    pub id: OperationId,
    /// Name of the kind.
    pub operation: String,
    /// `queued`, `running`, `verifying` or `restarting`.
    pub state: &'static str,
    /// 0 while it has not begun.
    pub attempt: u32,
    /// Whether the cloud or the terminal has begun it.
    pub origin: Origin,
    /// Who asked.
    pub created_by: String,
}

/// Where the report of a verdict is.
#[derive(Clone, Copy, Debug)]
pub struct FinishedView {
    /// Which.
    pub id: OperationId,
    /// Place of the report in the store.
    pub place: Seq,
    /// Whether the cloud has it.
    pub acked: bool,
}

/// What the engine remembers beside what is going on: everything that a crash must not change.
#[derive(Debug)]
pub struct Memory<'a> {
    /// The single facts.
    pub meta: &'a Meta,
    /// Without a verdict.
    pub operations: &'a BTreeMap<OperationId, OperationRecord>,
    /// Remembered verdicts: place of the report and end of the memory.
    pub finished: BTreeMap<OperationId, (Seq, Timestamp)>,
    /// Reports without an ack, by place; empty places are absent.
    pub waiting: BTreeMap<Seq, ReportId>,
    /// Place up to which reports are acked.
    pub acked: Seq,
    /// Place up to which reports have been sent on this link.
    pub sent: Seq,
    /// Place of the newest report.
    pub last: Seq,
    /// Wanted and in force.
    pub configuration: &'a ConfigurationRecord,
    /// Removals that wait for the next commit.
    pub removals: &'a [Write],
    /// Whether the newest ack waits for the next commit.
    pub ack_is_lazy: bool,
    /// Calls that have outlived their deadline.
    pub overdue: usize,
}

impl Engine {
    /// What it remembers, to be compared with what the store holds.
    pub fn memory(&self) -> Memory<'_> {
        let finished = self.finished.iter().map(|(id, f)| (*id, (f.seq, f.not_after)));
        Memory {
            meta: &self.meta,
            operations: &self.operations,
            finished: finished.collect(),
            waiting: self.outbox.waiting().collect(),
            acked: self.outbox.acked(),
            sent: self.outbox.sent(),
            last: self.outbox.last(),
            configuration: &self.configuration.record,
            removals: &self.lazy.removals,
            ack_is_lazy: self.lazy.meta,
            overdue: self.overdue.len(),
        }
    }

    /// The state for people.
    pub fn view(&self, moment: &Moment) -> EngineView {
        let mut records: Vec<_> = self.operations.values().collect();
        records.sort_by_key(|record| record.arrival);
        let operations = records.into_iter().map(|record| {
            let (state, attempt) = match record.state {
                OperationState::Queued { attempts } => ("queued", attempts),
                OperationState::Running { attempt, .. } => (self.live_name(record.id), attempt),
                OperationState::Finished { .. } => ("finished", 0),
            };
            OperationView {
                id: record.id,
                operation: record.operation.clone(),
                state,
                attempt,
                origin: record.origin,
                created_by: record.created_by.clone(),
            }
        });
        let acked = self.outbox.acked();
        let finished = self.newest_finished.iter().map(|(id, place)| FinishedView {
            id: *id,
            place: *place,
            acked: *place <= acked,
        });
        EngineView {
            link: self.session.view(moment.monotonic),
            terminal_id: self.identity.terminal_id.clone(),
            membership: self.membership.view(moment.monotonic),
            status: self.status(moment),
            store_epoch: self.meta.store_epoch,
            boot_id: self.identity.boot_id,
            cloud_offset_ms: self.cloud_offset_ms(moment),
            operations: operations.collect(),
            finished: finished.collect(),
            held: self.outbox.held().len(),
        }
    }

    fn cloud_offset_ms(&self, moment: &Moment) -> Option<i64> {
        self.cloud_clock?;
        let cloud = i64::try_from(self.cloud_now(moment)?.unix_ms()).ok()?;
        Some(cloud - i64::try_from(moment.wall.unix_ms()).ok()?)
    }

    fn live_name(&self, id: OperationId) -> &'static str {
        match self.live.get(&id) {
            Some(Live::Verifying { .. }) => "verifying",
            Some(Live::Restarting { .. }) => "restarting",
            Some(Live::Executing { .. } | Live::Deferred { .. }) | None => "running",
        }
    }

    /// The next moment at which an operation needs a look.
    pub(super) fn operations_deadline(&self) -> impl Iterator<Item = Monotonic> {
        let expiries = self
            .operations
            .values()
            .filter(|record| matches!(record.state, OperationState::Queued { .. }))
            .filter_map(|record| self.expires_at(record));
        let live = self.live.values().filter_map(Live::next_look);
        let overdue = self.overdue.iter().map(|call| call.look_at);
        expiries.chain(live).chain(overdue)
    }
}
