//! What the engine wants done. The order is the durability contract.

use terminal_hal::{OperationId, Parameters, operation::RebootParameters};

use super::{Configuration, Write};
use crate::protocol::{AgentFrame, LogAck, Policy, Seq};

/// Something to do. Each effect is complete before the next begins; an `Append` is complete when
/// it is on the medium. Every step has at most one `Append`, and it comes first.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make these changes durable together. If that fails, the process ends.
    Append(Vec<Write>),
    /// Open a link.
    Connect,
    /// Send a frame on the link; lost if there is none.
    Send(Box<AgentFrame>),
    /// Send the stored report with that seq.
    SendReport(Seq),
    /// Send a WebSocket ping.
    Ping,
    /// Close the link with this code.
    CloseLink {
        /// WebSocket close code.
        code: u16,
        /// For people.
        reason: String,
    },
    /// Run an operation on the hardware; answered by `Finished`.
    Start(Box<StartOrder>),
    /// Ask a running call to stop; it still answers.
    Cancel(OperationId),
    /// Ask the hardware what became of an operation; answered by `Verified`.
    Verify(Box<StartOrder>),
    /// Restart the device or the application. Answered by `Finished` when it cannot be done, or,
    /// for the application, when it is done.
    Restart(Box<RestartOrder>),
    /// Apply a configuration; answered by `Configured`.
    Configure(Configuration),
    /// Log data has been stored at the cloud.
    UploadAcked(LogAck),
    /// The link is ready for log data, or no longer.
    UploadsAllowed(bool),
    /// Stop the process; everything is on the medium.
    Stop,
}

/// What to run.
#[derive(Clone, Debug, PartialEq)]
pub struct StartOrder {
    /// Operation.
    pub id: OperationId,
    /// Journalled attempt.
    pub attempt: u32,
    /// Checked parameters.
    pub parameters: Parameters,
    /// What to do about an active payment.
    pub policy: Policy,
    /// Time until the engine gives up on the call, in milliseconds.
    pub time_left_ms: u64,
}

/// What to restart.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartOrder {
    /// Operation.
    pub id: OperationId,
    /// Journalled attempt.
    pub attempt: u32,
    /// Scope, delay and reason.
    pub parameters: RebootParameters,
    /// Time until the engine gives up on the call, in milliseconds.
    pub time_left_ms: u64,
}
