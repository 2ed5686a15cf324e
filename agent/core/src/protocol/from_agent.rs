//! Frames that the terminal sends.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terminal_hal::{
    BootId, Failure, OperationId, Timestamp, operation::SettingProblem, status::TerminalHealth,
};

use uuid::Uuid;

use super::{ErrorFrame, ReportId, Seq, SessionId, StoreEpoch};

/// Any frame from the terminal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentFrame {
    /// First frame of every link.
    Hello(Box<Hello>),
    /// The intent is on the medium.
    Accepted(Accepted),
    /// The attempt is on the medium and has begun.
    Started(Started),
    /// How far it has come; may be lost.
    Progress(ProgressFrame),
    /// A verdict or an event; resent until acked.
    Report(Box<Report>),
    /// Heartbeat.
    Status(Box<StatusFrame>),
    /// All log data has been sent.
    LogEnd(LogEnd),
    /// Something about one message.
    Error(ErrorFrame),
}

/// First frame of every link: who this is and what it remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`super::PROTOCOL_VERSION`].
    pub protocol: u32,
    /// Must be the authenticated one.
    pub terminal_id: String,
    /// Printed on the device.
    pub serial_number: String,
    /// Hardware model.
    pub model: String,
    /// Version of the agent.
    pub agent_version: String,
    /// Version of the terminal's software.
    pub software_version: String,
    /// Of this boot.
    pub boot_id: BootId,
    /// Of this store.
    pub store_epoch: StoreEpoch,
    /// Of the link before, if any.
    #[serde(default)]
    pub session_id: Option<SessionId>,
    /// Names of the kinds that this terminal can run; a newer one may know more than its reader.
    pub operations: Vec<String>,
    /// Operations without a verdict.
    pub unfinished: Vec<Unfinished>,
    /// Reports that wait for an ack.
    pub outbox: Outbox,
    /// What the terminal takes.
    pub caps: Caps,
    /// Whether it is locked.
    pub locked: bool,
    /// Configuration revision in force, 0 for none.
    pub config_revision: u64,
    /// What it knows about time.
    pub clock: ClockState,
}

/// An operation without a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Which.
    pub id: OperationId,
    /// How far.
    pub state: UnfinishedState,
}

/// How far an operation without a verdict has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnfinishedState {
    /// Waits for its turn.
    Accepted,
    /// Has begun.
    Started,
}

/// Reports that wait for an ack; `last_seq` below `first_seq` means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// Oldest unacked.
    pub first_seq: Seq,
    /// Newest.
    pub last_seq: Seq,
}

/// What the terminal takes; above it answers `error{OVERLOADED}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caps {
    /// Operations without a verdict.
    pub unfinished: u32,
    /// Reports without an ack.
    pub unacked: u32,
    /// Bytes of a text frame.
    pub frame_bytes: u32,
}

/// What the terminal knows about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockState {
    /// Its wall clock.
    pub now: Timestamp,
    /// Whether it is synchronised.
    pub trusted: bool,
    /// Where it comes from.
    pub source: ClockSource,
}

/// Where the wall clock comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockSource {
    /// The kernel says that it is synchronised.
    Synchronised,
    /// Running, but nobody vouches for it.
    System,
}

/// The intent is on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Which.
    pub id: OperationId,
    /// Whether it had been accepted before.
    pub duplicate: bool,
}

/// An attempt has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Which.
    pub id: OperationId,
    /// From 1.
    pub attempt: u32,
}

/// How far an operation has come; at least 1 s apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressFrame {
    /// Which.
    pub id: OperationId,
    /// 1 to 32 characters.
    pub phase: String,
    /// 0 to 100, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

/// A verdict or an event, durable at the terminal until it is acked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Place in the sequence.
    pub seq: Seq,
    /// The sequence that it belongs to.
    pub store_epoch: StoreEpoch,
    /// Identity.
    pub report_id: ReportId,
    /// What is reported.
    #[serde(flatten)]
    pub body: ReportBody,
}

impl Report {
    /// Keeps the place of a report that is not in the store any more.
    pub fn dropped(seq: Seq, store_epoch: StoreEpoch) -> Self {
        let report_id = ReportId(Uuid::new_v5(&store_epoch.0, &seq.0.to_be_bytes()));
        Self { seq, store_epoch, report_id, body: ReportBody::Dropped }
    }
}

/// What is reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReportBody {
    /// The verdict of an operation.
    Operation(Box<OperationReport>),
    /// What became of a configuration.
    Configuration(ConfigurationReport),
    /// Something happened.
    Event(EventReport),
    /// An event that had to be dropped for space; keeps its place in the sequence.
    Dropped,
}

/// The verdict of an operation: one per id, for ever.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationReport {
    /// Which.
    pub id: OperationId,
    /// Name of the kind.
    pub operation: String,
    /// Completed with a result or failed with an error.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// When the first attempt began; absent when it never did.
    pub started_at: Option<Timestamp>,
    /// When the verdict was reached.
    pub finished_at: Timestamp,
    /// Monotonic, from the start of the attempt that ended.
    pub duration_ms: u64,
    /// 0 when it never began.
    pub attempt: u32,
    /// Boot in which the verdict was reached.
    pub boot_id: BootId,
    /// Whether the times can be believed.
    pub clock_trusted: bool,
    /// Who asked.
    pub origin: Origin,
}

/// Completed with a result or failed with an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which of the two.
    pub status: VerdictStatus,
    /// Only with `COMPLETED`.
    pub result: Option<Value>,
    /// Only with `FAILED`.
    pub error: Option<Failure>,
}

impl Outcome {
    /// Completed.
    pub const fn completed(result: Value) -> Self {
        Self { status: VerdictStatus::Completed, result: Some(result), error: None }
    }

    /// Failed.
    pub const fn failed(failure: Failure) -> Self {
        Self { status: VerdictStatus::Failed, result: None, error: Some(failure) }
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum VerdictStatus {
    /// It took effect.
    Completed,
    /// It did not, or nobody knows: see `side_effects`.
    Failed,
}

/// Who asked for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The cloud.
    Cloud,
    /// The terminal itself: its menu, its schedule, its command line.
    Local,
}

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationReport {
    /// Which revision.
    pub revision: u64,
    /// In force or refused.
    pub status: ConfigurationStatus,
    /// Why it was refused.
    #[serde(default)]
    pub errors: Vec<SettingProblem>,
    /// Of the effective configuration, 64 lower-case hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Whether a configuration is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConfigurationStatus {
    /// In force.
    Applied,
    /// Refused as a whole; the one before is in force.
    Rejected,
}

/// Something happened on the terminal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventReport {
    /// What.
    pub event: EventName,
    /// When.
    pub at: Timestamp,
    /// Details by name.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// What can happen on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventName {
    /// The device has booted since the agent ran last.
    Booted,
    /// The store was damaged and moved aside; a new epoch began.
    StoreDamaged,
    /// The store came from another device or an older copy; a new epoch began.
    EpochChanged,
    /// A call came back after its deadline had been reported.
    LateOutcome,
    /// The payment application answered nothing: a restart went on without holding payments.
    ApplicationHangs,
    /// Storage is available again.
    StorageRecovered,
    /// Most of the life of the certificate is over, and it could not be renewed.
    CertificateExpiring,
    /// Sent by a newer terminal.
    #[serde(other)]
    Unknown,
}

/// Heartbeat: sent every `heartbeat_s` and when something in it has changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusFrame {
    /// When the state was read.
    pub observed_at: Timestamp,
    /// Of this boot.
    pub boot_id: BootId,
    /// Milliseconds since boot, suspend included.
    pub uptime_ms: u64,
    /// What the terminal is doing.
    pub state: TerminalState,
    /// What a person should look at.
    pub needs_attention: Vec<Attention>,
    /// Version of the terminal's software.
    pub software_version: String,
    /// Operation that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_operation: Option<OperationId>,
    /// Operations that wait.
    pub queued: u32,
    /// Reports without an ack.
    pub unacked: u64,
    /// Configuration revision in force, 0 for none.
    pub config_revision: u64,
    /// What it knows about time.
    pub clock: ClockState,
    /// State of the hardware.
    #[serde(flatten)]
    pub health: TerminalHealth,
}

/// What the terminal is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TerminalState {
    /// Nothing.
    Idle,
    /// A payment.
    Payment,
    /// An operation.
    Operation,
    /// Locked.
    Locked,
    /// About to restart.
    Restarting,
}

/// What a person should look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Attention {
    /// Charge below 15 percent and no mains.
    LowBattery,
    /// The printer has no paper.
    NoPaper,
    /// The tamper detection has fired.
    Tampered,
    /// Payments have waited for more than a day to be forwarded.
    OfflineQueueOld,
    /// Nobody vouches for the clock.
    ClockUntrusted,
    /// Free storage is below the reserve.
    StorageLow,
    /// Most of the life of the certificate is over.
    CertExpiring,
    /// The terminal has to be locked, and its payment application has not confirmed that it is.
    LockUnconfirmed,
}

/// All log data of an upload has been sent; answered by `log_ack{complete: true}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnd {
    /// Operation of the upload.
    pub id: OperationId,
    /// Its attempt.
    pub attempt: u32,
    /// Bytes in all.
    pub length: u64,
    /// Of all bytes, 64 lower-case hex digits.
    pub sha256: String,
}
