//! The wire protocols `terminal-ops.v1` and `terminal-enrol.v1`: typed frames, bytes to frames and
//! back.
//!
//! Both ends use this module, so that there is one reading of the protocol. The reference for
//! people is `agent/PROTOCOL.md`.

mod check;
mod codec;
mod enrolment;
mod from_agent;
mod from_cloud;
mod ids;
mod log_data;
#[cfg(feature = "schema")]
mod schema;

pub use codec::{
    DecodeError, decode_agent_frame, decode_cloud_frame, decode_enrol_agent_frame,
    decode_enrol_cloud_frame, encode,
};
pub use enrolment::{
    ActivationCode, CSR_BYTES_MAX, ENROL_NAME_CHARS_MAX, ENROL_SUBPROTOCOL, EnrolAgentFrame,
    EnrolBegin, EnrolCloudFrame, Enrolled, NONCE_CHARS, is_activation_code,
};
pub use from_agent::{
    Accepted, AgentFrame, Attention, Caps, ClockSource, ClockState, ConfigurationReport,
    ConfigurationStatus, EventName, EventReport, Hello, LogEnd, OperationReport, Origin, Outbox,
    Outcome, ProgressFrame, Report, ReportBody, Started, StatusFrame, TerminalState, Unfinished,
    UnfinishedState, VerdictStatus,
};
pub use from_cloud::{
    Ack, Cancel, CloudFrame, ConfigurationFrame, IfBusy, LogAck, OperationFrame, Policy, Reconnect,
    Welcome,
};
pub use ids::{ReportId, Seq, SessionId, StoreEpoch};
pub use log_data::{LOG_CHUNK_BYTES_MAX, LOG_CHUNKS_IN_FLIGHT_MAX, LogChunk, LogChunkError};

pub use terminal_hal::operation::IfPaymentActive;

use serde::{Deserialize, Serialize};

use check::Check;

/// Value of `Sec-WebSocket-Protocol`.
pub const SUBPROTOCOL: &str = "terminal-ops.v1";
/// Value of `hello.protocol`.
pub const PROTOCOL_VERSION: u32 = 1;
/// Largest text frame, either way.
pub const TEXT_FRAME_BYTES_MAX: usize = 64 << 10;
/// Objects and arrays within each other in a text frame, the frame itself included. Far below the 127
/// that are read at all: what a frame holds must be readable from deeper places too, such as the store.
pub const NESTING_MAX: usize = 32;
/// Largest binary frame: header and data of a log chunk.
pub const BINARY_FRAME_BYTES_MAX: usize = log_data::HEADER_BYTES + LOG_CHUNK_BYTES_MAX;

/// WebSocket close codes that mean something to this protocol.
pub mod close_code {
    /// Orderly end.
    pub const NORMAL: u16 = 1000;
    /// The peer goes away, for example to restart.
    pub const GOING_AWAY: u16 = 1001;
    /// Not valid JSON, or a known frame that breaks its own rules.
    pub const INVALID_DATA: u16 = 1007;
    /// Refused by policy; slow retry.
    pub const POLICY: u16 = 1008;
    /// Larger than the limit.
    pub const TOO_BIG: u16 = 1009;
    /// Not authenticated; slow retry.
    pub const UNAUTHENTICATED: u16 = 4401;
    /// `hello` names another terminal than the credentials do; slow retry.
    pub const FORBIDDEN: u16 = 4403;
    /// `hello` or `welcome` did not come in time.
    pub const HANDSHAKE_TIMEOUT: u16 = 4408;
    /// Another link of the same terminal has taken over; wait at least 300 s.
    pub const REPLACED: u16 = 4409;
}

/// `error`, from either end: something about one message, never a verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorFrame {
    /// Stable code, one of [`error_code`] or of the operation catalogue.
    pub code: String,
    /// For people.
    pub message: String,
    /// The operation id or report seq it is about.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

impl Check for ErrorFrame {}

/// Codes of `error` frames.
pub mod error_code {
    /// A `type` that the receiver does not know.
    pub const UNSUPPORTED_MESSAGE: &str = "UNSUPPORTED_MESSAGE";
    /// A known `type` with a field missing or of the wrong kind.
    pub const INVALID_MESSAGE: &str = "INVALID_MESSAGE";
    /// Above the agent's `caps`; nothing was stored, send it again later.
    pub const OVERLOADED: &str = "OVERLOADED";
    /// No room for the verdict; nothing was stored, send it again later.
    pub const STORAGE_FULL: &str = "STORAGE_FULL";
    /// `cancel` of an id that the terminal does not know.
    pub const UNKNOWN_OPERATION: &str = "UNKNOWN_OPERATION";
    /// `ack` beyond what was sent, or for another store epoch.
    pub const INVALID_ACK: &str = "INVALID_ACK";
    /// A frame that is not allowed before `welcome`.
    pub const NOT_WELCOMED: &str = "NOT_WELCOMED";
    /// Uploaded log data does not have the digest that `log_end` names.
    pub const DIGEST_MISMATCH: &str = "DIGEST_MISMATCH";
}
