//! What crosses the socket: messages, limits and the shapes that `VENDOR.md` describes.
//!
//! Fields that a reader does not know are ignored. What is sent has every required field.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    BootId, Failure, OperationId, Timestamp,
    api::{LogLine, PaymentActivity},
    operation::{
        ConfigureResult, EndOfDayParameters, EndOfDayResult, IfPaymentActive, OpenMenuParameters,
        SettingProblem, UpdateParameters, UpdateResult,
        check_update::{Channel, ComponentVersion},
        reboot::BootReason,
        send_logs::LogLevel,
    },
};

pub use crate::answer::{FailureData, WireFailure};

/// Version of this protocol.
pub const PROTOCOL_VERSION: u32 = 1;
/// Most bytes of one message, the line feed included.
pub const FRAME_BYTES_MAX: usize = 256 << 10;
/// Most requests that the agent has open at one time.
pub const REQUESTS_MAX: usize = 16;
/// Milliseconds that the application may take to answer `hello`.
pub const HELLO_MS_MAX: u64 = 5_000;
/// Milliseconds that a question may take which asks for no operation.
pub const ANSWER_MS_MAX: u64 = 5_000;
/// Milliseconds that the peer may take to read what has been written to it.
pub const WRITE_MS_MAX: u64 = 10_000;
/// Most log lines of one page.
pub const LOG_PAGE_LINES_MAX: usize = 256;
/// Most characters of a log line's message; the rest is cut.
pub const LOG_MESSAGE_CHARS_MAX: usize = crate::api::LOG_MESSAGE_CHARS_MAX;
/// Most characters of the name of a phase.
pub const PHASE_CHARS_MAX: usize = 32;
/// Most characters of an instance, of a cursor and of names in `hello`.
pub const NAME_CHARS_MAX: usize = 64;
/// Most characters of a cursor.
pub const CURSOR_CHARS_MAX: usize = 256;

/// Codes of JSON-RPC error objects.
pub mod rpc {
    /// The line is not JSON.
    pub const PARSE_ERROR: i64 = -32_700;
    /// It is JSON, but no request.
    pub const INVALID_REQUEST: i64 = -32_600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i64 = -32_601;
    /// A parameter is missing or cannot be used.
    pub const INVALID_PARAMS: i64 = -32_602;
    /// A fault of the application itself.
    pub const INTERNAL_ERROR: i64 = -32_603;
    /// The operation failed; `data` says why.
    pub const OPERATION_FAILED: i64 = -32_000;
    /// The first request was not `hello`.
    pub const HELLO_FIRST: i64 = -32_001;
}

/// Names of the methods.
#[expect(missing_docs, reason = "each is described in VENDOR.md")]
pub mod method {
    pub const HELLO: &str = "hello";
    pub const ACTIVITY: &str = "payments.activity";
    pub const HOLD: &str = "payments.hold";
    pub const RELEASE: &str = "payments.release";
    pub const CLOSE: &str = "payments.close";
    pub const QUERY_CLOSE: &str = "payments.query_close";
    pub const SET_LOCKED: &str = "payments.set_locked";
    pub const APPLY_SETTINGS: &str = "payments.apply_settings";
    pub const OPEN_MENU: &str = "screen.open_menu";
    pub const SHOW_MESSAGE: &str = "screen.show_message";
    pub const READ_LOGS: &str = "logs.read";
    pub const VERSIONS: &str = "firmware.versions";
    pub const CHECK: &str = "firmware.check";
    pub const INSTALL: &str = "firmware.install";
    pub const QUERY_UPDATE: &str = "firmware.query_update";
    pub const BOOT: &str = "power.boot";
    pub const REBOOT: &str = "power.reboot";
    pub const RESTART_APPLICATION: &str = "power.restart_application";
    pub const HEALTH: &str = "health.read";
    /// Notifications of the agent.
    pub const CANCEL: &str = "cancel";
    /// Notifications of the application.
    pub const PROGRESS: &str = "progress";
    pub const EVENT: &str = "event";
    pub const OPERATION_REQUEST: &str = "operation_request";

    /// Every request.
    pub const REQUESTS: [&str; 19] = [
        HELLO,
        ACTIVITY,
        HOLD,
        RELEASE,
        CLOSE,
        QUERY_CLOSE,
        SET_LOCKED,
        APPLY_SETTINGS,
        OPEN_MENU,
        SHOW_MESSAGE,
        READ_LOGS,
        VERSIONS,
        CHECK,
        INSTALL,
        QUERY_UPDATE,
        BOOT,
        REBOOT,
        RESTART_APPLICATION,
        HEALTH,
    ];
    /// Every notification.
    pub const NOTIFICATIONS: [&str; 4] = [CANCEL, PROGRESS, EVENT, OPERATION_REQUEST];
}

/// A message that the agent sends. Without `id` it is a notification.
#[derive(Debug, Serialize)]
pub(super) struct Outgoing<'a, P> {
    pub(super) jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<u64>,
    pub(super) method: &'a str,
    pub(super) params: P,
}

/// A message that the agent receives: an answer, or a notification.
#[derive(Debug, Deserialize)]
pub(super) struct Incoming {
    #[serde(default)]
    pub(super) id: Option<u64>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) result: Option<Value>,
    #[serde(default)]
    pub(super) error: Option<RpcError>,
    #[serde(default)]
    pub(super) params: Option<Value>,
}

/// The error object of JSON-RPC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// See [`rpc`].
    pub code: i64,
    /// For people; the failure's reason.
    #[serde(default)]
    pub message: String,
    /// With [`rpc::OPERATION_FAILED`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient")]
    pub data: Option<FailureData>,
}

/// What cannot be read as data counts as absent: another library's error object is still an error.
fn lenient<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<FailureData>, D::Error> {
    let value = Value::deserialize(input)?;
    Ok(serde_json::from_value(value).ok())
}

impl RpcError {
    /// An error that is not an operation's.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}

impl From<Failure> for RpcError {
    fn from(failure: Failure) -> Self {
        let data = FailureData::from(&failure);
        let message = failure.failure_reason;
        Self { code: rpc::OPERATION_FAILED, message, data: Some(data) }
    }
}

/// `hello`: who the agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloParams {
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// Version of the agent.
    pub agent_version: String,
}

/// Who the application is and what it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloResult {
    /// The version that it speaks from now on.
    pub protocol: u32,
    /// Its name.
    pub application: String,
    /// Its version.
    pub application_version: String,
    /// Another one after every start.
    pub instance: String,
    /// `payments`, `screen` …; unknown ones are ignored.
    pub capabilities: Vec<String>,
}

/// Context of a call that serves an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationContext {
    /// The operation.
    pub operation_id: OperationId,
    /// 1 for the first try.
    pub attempt: u32,
    /// Milliseconds that the operation has left.
    pub time_left_ms: u64,
}

/// Parameters of a method that serves an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation<P> {
    /// Which operation.
    #[serde(flatten)]
    pub context: OperationContext,
    /// What to do.
    pub parameters: P,
}

/// The same, for one that has no parameters.
pub type Bare = OperationContext;
/// Parameters of `payments.close`.
pub type CloseParams = Operation<EndOfDayParameters>;
/// Parameters of `screen.open_menu`.
pub type OpenMenuParams = Operation<OpenMenuParameters>;
/// Parameters of `firmware.install`.
pub type InstallParams = Operation<UpdateParameters>;
/// Parameters of `payments.hold`.
pub type HoldParams = Operation<Hold>;
/// Parameters of `payments.set_locked`.
pub type SetLockedParams = Operation<SetLocked>;
/// Parameters of `payments.apply_settings`.
pub type ApplySettingsParams = Operation<ApplySettings>;
/// Parameters of `logs.read`.
pub type ReadLogsParams = Operation<ReadLogs>;
/// Parameters of `firmware.check`.
pub type CheckParams = Operation<Check>;

/// Names an operation that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Which operation.
    pub operation_id: OperationId,
}

/// No parameters, or nothing to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// How payments are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The hold ends by itself after this.
    pub lease_ms: u64,
    /// What to do about an active payment, or another operation's hold.
    pub if_payment_active: IfPaymentActive,
    /// How long to wait for it.
    pub wait_max_ms: u64,
}

/// Whether a payment is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityResult {
    /// How far it is.
    pub activity: PaymentActivity,
}

/// What became of a close.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloseStateResult {
    /// `not_started`, `running`, `finished`, `failed` or `unknown`.
    pub state: String,
    /// With `finished`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<EndOfDayResult>,
    /// With `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<WireFailure>,
}

/// Lock or unlock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetLocked {
    /// Which of the two.
    pub locked: bool,
    /// For the audit trail, at most 128 characters.
    #[serde(default)]
    pub reason: Option<String>,
    /// Shown while locked, at most 60 characters.
    #[serde(default)]
    pub message: Option<String>,
    /// Whether to wait for an active payment instead of cancelling it.
    #[serde(default = "yes")]
    pub finish_active_payment: bool,
    /// Whether a restart of the device clears the lock.
    #[serde(default)]
    pub clear_on_reboot: bool,
}

const fn yes() -> bool {
    true
}

/// A configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplySettings {
    /// Grows with every change.
    pub revision: u64,
    /// The whole desired state.
    pub config: Map<String, Value>,
}

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplySettingsResult {
    /// `applied` or `rejected`.
    pub status: String,
    /// With `applied`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ConfigureResult>,
    /// With `rejected`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<SettingProblem>,
}

/// One line for the screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShowMessage {
    /// At most 60 characters; `null` goes back to the idle screen.
    pub message: Option<String>,
}

/// Which log lines, and from where on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadLogs {
    /// From this instant on.
    pub from: Timestamp,
    /// Before this instant.
    pub to: Timestamp,
    /// Only these components; all when empty.
    #[serde(default)]
    pub components: Vec<String>,
    /// This level and what is more severe.
    pub min_level: LogLevel,
    /// Where the page before ended; `null` for the first.
    #[serde(default)]
    pub cursor: Option<String>,
    /// Most lines of this page.
    pub lines_max: usize,
}

/// A page of log lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// Oldest first.
    pub lines: Vec<LogLine>,
    /// Where the next page begins; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionsResult {
    /// Each component.
    pub components: Vec<ComponentVersion>,
}

/// Where to look for updates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Release channel.
    pub channel: Channel,
    /// Only these components; all when empty.
    #[serde(default)]
    pub components: Vec<String>,
}

/// How an installation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallResult {
    /// `restart_required` or `already_running`.
    pub outcome: String,
    /// With `already_running`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<UpdateResult>,
}

/// What became of an installation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStateResult {
    /// `not_started`, `running`, `restart_required`, `committed`, `failed` or `unknown`.
    pub state: String,
    /// With `committed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<UpdateResult>,
    /// With `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<WireFailure>,
}

/// Identity of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootResult {
    /// Another one after every boot of the device.
    pub boot_id: BootId,
    /// Why the device booted; unknown ones count as `unknown`.
    #[serde(deserialize_with = "known_reason")]
    pub reset_cause: BootReason,
}

fn known_reason<'de, D: serde::Deserializer<'de>>(input: D) -> Result<BootReason, D::Error> {
    let value = Value::deserialize(input)?;
    Ok(serde_json::from_value(value).unwrap_or(BootReason::Unknown))
}

/// `cancel`: a request that should stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Its id.
    pub request: u64,
}

/// `progress` of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressParams {
    /// Its id.
    pub request: u64,
    /// Name of the phase, 1 to 32 characters.
    pub phase: String,
    /// 0 to 100, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
}

/// `event`: something has changed that the agent may want to read again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventParams {
    /// `health_changed` or `payment_changed`; others are ignored.
    pub event: String,
}
