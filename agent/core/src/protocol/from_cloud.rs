//! Frames that the cloud sends.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terminal_hal::{OperationId, Timestamp, operation::IfPaymentActive};

use super::{
    Enrolled, ErrorFrame, ReportId, Seq, SessionId, StoreEpoch,
    check::{Check, check_range},
};

/// Any frame from the cloud.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CloudFrame {
    /// Answers `hello`.
    Welcome(Welcome),
    /// Dispatches an operation.
    Operation(Box<OperationFrame>),
    /// Reports up to this seq are stored.
    Ack(Ack),
    /// Withdraws an operation.
    Cancel(Cancel),
    /// Desired configuration.
    Configuration(ConfigurationFrame),
    /// Drain: come back later.
    Reconnect(Reconnect),
    /// Log data up to this offset is stored.
    LogAck(LogAck),
    /// A renewed certificate; answers `enrol_begin`.
    Enrolled(Box<Enrolled>),
    /// Something about one message.
    Error(ErrorFrame),
}

/// Answers `hello`; nothing else comes before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Welcome {
    /// Of this link.
    pub session_id: SessionId,
    /// The cloud's clock.
    pub server_time: Timestamp,
    /// Seconds between `status` frames, 5 to 3,600.
    pub heartbeat_s: u32,
    /// Highest report stored for the `store_epoch` of `hello`, 0 for none.
    pub ack_seq: Seq,
    /// The report that is stored under that seq.
    #[serde(default)]
    pub ack_report_id: Option<ReportId>,
    /// Newest configuration revision of the cloud, 0 for none.
    #[serde(default)]
    pub config_revision: u64,
}

/// Dispatches an operation. Sent again, with the same `id`, until a verdict is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperationFrame {
    /// Identity, for ever.
    pub id: OperationId,
    /// Name of the kind; an unknown one is answered with `UNSUPPORTED_OPERATION`.
    pub operation: String,
    /// As the kind defines them.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// When the cloud created it.
    pub created_at: Timestamp,
    /// Who created it, for the audit trail.
    #[serde(default)]
    pub created_by: String,
    /// Store epoch of the first dispatch; absent at the first dispatch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_epoch: Option<StoreEpoch>,
    /// Seconds from now within which it must have started.
    pub ttl_s: u32,
    /// After this instant the terminal may forget the id; at most 30 days ahead.
    pub not_after: Timestamp,
    /// Longest time that it may run, 1 to 86,400 s.
    pub deadline_s: u32,
    /// What to do when the terminal is busy.
    #[serde(default)]
    pub policy: Policy,
}

/// What to do when the terminal is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Policy {
    /// With another operation.
    pub if_busy: IfBusy,
    /// With a payment.
    pub if_payment_active: IfPaymentActive,
    /// Longest wait for a payment, 0 to 3,600 s.
    pub wait_max_s: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { if_busy: IfBusy::Queue, if_payment_active: IfPaymentActive::Wait, wait_max_s: 300 }
    }
}

/// What to do while another operation runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum IfBusy {
    /// Wait in arrival order.
    #[default]
    Queue,
    /// Fail with `BUSY_OPERATION`.
    Reject,
}

/// Reports up to and including `seq` are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ack {
    /// The sequence that `seq` belongs to.
    pub store_epoch: StoreEpoch,
    /// Cumulative.
    pub seq: Seq,
}

/// Withdraws an operation that was dispatched before on this link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cancel {
    /// Which.
    pub id: OperationId,
}

/// Desired configuration, whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigurationFrame {
    /// Grows with every change, from 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub revision: u64,
    /// The desired state.
    pub config: Map<String, Value>,
}

impl Check for ConfigurationFrame {
    fn check(&self) -> Result<(), String> {
        check_range("revision", self.revision, 1..=u64::MAX)
    }
}

/// Close the link and come back after `after_s` plus a random part of `spread_s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Reconnect {
    /// Least wait, at most 3,600 s.
    pub after_s: u32,
    /// Random addition, at most 3,600 s.
    #[serde(default)]
    pub spread_s: u32,
}

/// Log data is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LogAck {
    /// Operation of the upload.
    pub id: OperationId,
    /// Its attempt.
    pub attempt: u32,
    /// Bytes stored, from 0.
    pub offset: u64,
    /// True once length and digest of `log_end` have been verified.
    #[serde(default)]
    pub complete: bool,
}

impl Check for Welcome {}
impl Check for OperationFrame {}
impl Check for Ack {}
impl Check for Cancel {}
impl Check for Reconnect {}
impl Check for LogAck {}
