//! Frames that the terminal sends.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terminal_hal::{
    BootId, Failure, OperationId, Timestamp,
    operation::{SettingProblem, configure::PROBLEMS_MAX},
    status::TerminalHealth,
    text::{NAME_CHARS_MAX, REASON_CHARS_MAX},
};

use uuid::Uuid;

use super::{
    ErrorFrame, ReportId, Seq, SessionId, StoreEpoch,
    check::{Check, check_line, check_range, check_sha256},
};
use crate::engine::limits::{
    ATTEMPTS_MAX, CREATED_BY_CHARS_MAX, OPERATION_NAME_CHARS_MAX, PHASE_CHARS_MAX, UNFINISHED_MAX,
};
#[cfg(feature = "schema")]
use terminal_hal::schema::LINE;

/// Any frame from the terminal.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hello {
    /// Major version of the protocol, 1.
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
    #[cfg_attr(feature = "schema", schemars(length(max = UNFINISHED_MAX)))]
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

impl Check for Hello {
    fn check(&self) -> Result<(), String> {
        check_range("unfinished", self.unfinished.len(), 0..=UNFINISHED_MAX as u64)
    }
}

/// An operation without a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Unfinished {
    /// Which.
    pub id: OperationId,
    /// How far.
    pub state: UnfinishedState,
}

/// How far an operation without a verdict has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum UnfinishedState {
    /// Waits for its turn.
    Accepted,
    /// Has begun.
    Started,
}

/// Reports that wait for an ack; `last_seq` below `first_seq` means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Outbox {
    /// Oldest unacked.
    pub first_seq: Seq,
    /// Newest.
    pub last_seq: Seq,
}

/// What the terminal takes; above it answers `error{OVERLOADED}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClockSource {
    /// The kernel says that it is synchronised.
    Synchronised,
    /// Running, but nobody vouches for it.
    System,
}

/// The intent is on the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Accepted {
    /// Which.
    pub id: OperationId,
    /// Whether it had been accepted before.
    pub duplicate: bool,
}

impl Check for Accepted {}

/// An attempt has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Started {
    /// Which.
    pub id: OperationId,
    /// From 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = ATTEMPTS_MAX)))]
    pub attempt: u32,
}

impl Check for Started {
    fn check(&self) -> Result<(), String> {
        check_range("attempt", self.attempt, 1..=ATTEMPTS_MAX.into())
    }
}

/// How far an operation has come; at least 1 s apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressFrame {
    /// Which.
    pub id: OperationId,
    /// At most 32 characters.
    #[cfg_attr(feature = "schema", schemars(length(max = PHASE_CHARS_MAX), regex(pattern = LINE)))]
    pub phase: String,
    /// 0 to 100, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub percent: Option<u8>,
}

impl Check for ProgressFrame {
    fn check(&self) -> Result<(), String> {
        check_line("phase", &self.phase, 0..=PHASE_CHARS_MAX)?;
        check_range("percent", self.percent.unwrap_or(0), 0..=100)
    }
}

/// A verdict or an event, durable at the terminal until it is acked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// Place in the sequence, from 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
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

impl Check for Report {
    fn check(&self) -> Result<(), String> {
        check_range("seq", self.seq.0, 1..=u64::MAX)?;
        match &self.body {
            ReportBody::Operation(report) => report.check(),
            ReportBody::Configuration(report) => report.check(),
            ReportBody::Event(_) | ReportBody::Dropped => Ok(()),
        }
    }
}

/// What is reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperationReport {
    /// Which.
    pub id: OperationId,
    /// Name of the kind.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = OPERATION_NAME_CHARS_MAX),
            regex(pattern = LINE)
        )
    )]
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
    /// Who began it at the terminal; empty where the cloud did, which knows.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = CREATED_BY_CHARS_MAX), regex(pattern = LINE))
    )]
    pub created_by: String,
}

impl Check for OperationReport {
    fn check(&self) -> Result<(), String> {
        check_line("operation", &self.operation, 0..=OPERATION_NAME_CHARS_MAX)?;
        check_line("created_by", &self.created_by, 0..=CREATED_BY_CHARS_MAX)?;
        self.outcome.check()
    }
}

/// Completed with a result or failed with an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = super::schema::one_of_result_and_error)
)]
pub struct Outcome {
    /// Which of the two.
    pub status: VerdictStatus,
    /// Of the kind; not null exactly with `COMPLETED`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Map<String, Value>>"))]
    pub result: Option<Value>,
    /// Not null exactly with `FAILED`.
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

impl Check for Outcome {
    fn check(&self) -> Result<(), String> {
        let contradiction = match (self.status, &self.result, &self.error) {
            (VerdictStatus::Completed, Some(Value::Object(_)), None) => return Ok(()),
            (VerdictStatus::Failed, None, Some(failure)) => {
                let reason = &failure.failure_reason;
                return check_line("error.failure_reason", reason, 1..=REASON_CHARS_MAX);
            }
            (VerdictStatus::Completed, _, Some(_)) => "COMPLETED with an error",
            (VerdictStatus::Completed, _, None) => "COMPLETED without a result that is an object",
            (VerdictStatus::Failed, Some(_), _) => "FAILED with a result",
            (VerdictStatus::Failed, None, None) => "FAILED without an error",
        };
        Err(contradiction.to_owned())
    }
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum VerdictStatus {
    /// It took effect.
    Completed,
    /// It did not, or nobody knows: see `side_effects`.
    Failed,
}

/// Who asked for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The cloud.
    Cloud,
    /// The terminal itself: its menu, its schedule, its command line.
    Local,
}

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigurationReport {
    /// Which revision.
    pub revision: u64,
    /// In force or refused.
    pub status: ConfigurationStatus,
    /// Why it was refused.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = PROBLEMS_MAX)))]
    pub errors: Vec<SettingProblem>,
    /// Of the effective configuration, 64 lower-case hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub sha256: Option<String>,
}

impl Check for ConfigurationReport {
    fn check(&self) -> Result<(), String> {
        check_range("errors", self.errors.len(), 0..=PROBLEMS_MAX as u64)?;
        if self.errors.iter().any(|problem| *problem != problem.bounded()) {
            return Err("errors: path, code or message is beyond its limit".to_owned());
        }
        check_line("sha256", self.sha256.as_deref().unwrap_or(""), 0..=NAME_CHARS_MAX)
    }
}

/// Whether a configuration is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum ConfigurationStatus {
    /// In force.
    Applied,
    /// Refused as a whole; the one before is in force.
    Rejected,
}

/// Something happened on the terminal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventReport {
    /// What.
    pub event: EventName,
    /// When.
    pub at: Timestamp,
    /// Details by name.
    #[serde(default)]
    pub data: Map<String, Value>,
}

/// What can happen on a terminal. A newer one may say something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = super::schema::open_to_unknown)
)]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

impl Check for StatusFrame {
    fn check(&self) -> Result<(), String> {
        if self.health.is_bounded() {
            return Ok(());
        }
        Err("battery_level, temperature_c, network.rssi_dbm, offline_queue.currency, batch.id or \
             screen.text is beyond its limit"
            .to_owned())
    }
}

/// What the terminal is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogEnd {
    /// Operation of the upload.
    pub id: OperationId,
    /// Its attempt.
    pub attempt: u32,
    /// Bytes in all.
    pub length: u64,
    /// Of all bytes, 64 lower-case hex digits.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = terminal_hal::schema::SHA256)))]
    pub sha256: String,
}

impl Check for LogEnd {
    fn check(&self) -> Result<(), String> {
        check_sha256("sha256", &self.sha256)
    }
}
