//! What survives a restart, as the engine sees it. The store maps these to versioned disk types.

use serde_json::{Map, Value};
use terminal_hal::{BootId, OperationId, Timestamp, operation::RebootParameters};

use super::Monotonic;
use crate::protocol::{Origin, Policy, Report, ReportId, Seq, StoreEpoch};

/// One change of the store. All changes of an [`super::Effect::Append`] become durable together.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Replaces the one record of its kind.
    PutMeta(Meta),
    /// Replaces the operation with that id.
    PutOperation(Box<OperationRecord>),
    /// Forgets an operation for ever.
    RemoveOperation(OperationId),
    /// Replaces the report with that seq.
    PutReport(Box<Report>),
    /// Forgets a report.
    RemoveReport(Seq),
    /// Replaces the configuration.
    PutConfiguration(Box<ConfigurationRecord>),
}

/// Everything that the store holds, read once when it is opened. Bodies of reports stay in the
/// store: the engine knows their places only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Absent in a new store.
    pub meta: Option<Meta>,
    /// In any order.
    pub operations: Vec<OperationRecord>,
    /// In the order of their seqs.
    pub reports: Vec<StoredReport>,
    /// Absent until the first configuration.
    pub configuration: Option<ConfigurationRecord>,
}

/// What the engine keeps in memory of a stored report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredReport {
    /// Its place in the store.
    pub seq: Seq,
    /// Its identity.
    pub report_id: ReportId,
    /// Whether it is a verdict: those are kept for deduplication after the ack.
    pub is_verdict: bool,
}

/// The single facts of a store.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// Made when the store was created, or when its memory turned out to be another's.
    pub store_epoch: StoreEpoch,
    /// Device that the store was made on.
    pub serial_number: String,
    /// Place before the first report of this epoch. Reports keep their place in the store for
    /// ever; on the wire they are counted from here, so that a new epoch renumbers them all with
    /// one small write.
    pub epoch_base: Seq,
    /// Place of the highest report that the cloud has acked.
    pub acked_seq: Seq,
    /// Its identity.
    pub acked_report_id: Option<ReportId>,
    /// Boot in which the agent ran last.
    pub boot_id: BootId,
    /// Whether that boot ended with an orderly stop.
    pub clean_stop: bool,
    /// The `terminal_id` under which everything is accepted; absent until there was one.
    pub owner: Option<String>,
    /// Reports up to this place were accepted under another: kept, never sent.
    pub held_up_to: Seq,
}

/// An operation from `accepted` until it is pruned.
#[derive(Clone, Debug, PartialEq)]
pub struct OperationRecord {
    /// Identity.
    pub id: OperationId,
    /// Name of the kind, as it was asked for.
    pub operation: String,
    /// As they were asked for.
    pub parameters: Map<String, Value>,
    /// Who asked.
    pub origin: Origin,
    /// For the audit trail.
    pub created_by: String,
    /// After this the id may be forgotten.
    pub not_after: Timestamp,
    /// Longest run, in seconds.
    pub deadline_s: u32,
    /// What to do when the terminal is busy.
    pub policy: Policy,
    /// Place in the order of arrival.
    pub arrival: u64,
    /// Must have started before this.
    pub expiry: Expiry,
    /// First dispatched to a store epoch that this terminal has lost.
    pub may_have_run: bool,
    /// Whether the cloud has withdrawn it.
    pub cancel_requested: bool,
    /// How far it is.
    pub state: OperationState,
}

/// When an operation that has not started is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Boot that `monotonic` belongs to.
    pub boot_id: BootId,
    /// On the boot clock of that boot.
    pub monotonic: Monotonic,
    /// On the cloud's clock, for another boot.
    pub cloud: Timestamp,
}

/// How far an operation is.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationState {
    /// Waits for its turn.
    Queued {
        /// Attempts that were cut off before, 0 for none.
        attempts: u32,
    },
    /// An attempt has begun. Journalled before it does.
    Running {
        /// From 1.
        attempt: u32,
        /// When the first attempt began.
        started_at: Timestamp,
        /// When this attempt began, on the boot clock of `boot_id`.
        since: Monotonic,
        /// Boot of this attempt.
        boot_id: BootId,
        /// A restart that is part of the operation has been called for.
        restart: Option<RestartCall>,
    },
    /// Has its verdict.
    Finished {
        /// Place of its report.
        seq: Seq,
    },
}

/// The record that a restart was called for; durable before the call.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartCall {
    /// What is restarted.
    pub parameters: RebootParameters,
    /// Boot in which it was called for.
    pub boot_id: BootId,
    /// Instance of the payment application at that time.
    pub instance: Option<String>,
}

/// The configuration that is wanted and the one that is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigurationRecord {
    /// Wanted, until it has been applied or rejected.
    pub desired: Option<Configuration>,
    /// In force.
    pub applied: Option<Configuration>,
}

/// One revision of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    /// From 1.
    pub revision: u64,
    /// The whole state.
    pub config: Map<String, Value>,
}
