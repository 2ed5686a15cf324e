//! What the engine wants done. The order is the durability contract.

use terminal_hal::{OperationId, Parameters, operation::RebootParameters};

use super::{Configuration, LocalAnswer, RestartCall, Write};
use crate::protocol::{AgentFrame, Enrolled, LogAck, Policy, Seq, StoreEpoch};

/// Something to do. Each effect is complete before the next begins; an `Append` is complete when
/// it is on the medium. Every step has at most one `Append`, and it comes first.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make these changes durable together. If that fails, the process ends.
    Append(Vec<Write>),
    /// Open a link.
    Connect(Endpoint),
    /// Send a frame on the link; lost if there is none.
    Send(Box<AgentFrame>),
    /// Send a stored report.
    SendReport(ReportOrder),
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
    /// Drop a call that does not return, or whose restart will not be made, and give back what it
    /// held.
    Abandon(OperationId),
    /// Ask the hardware what became of an operation; answered by `Verified`.
    Verify(Box<StartOrder>),
    /// Restart the device or the application. Answered by `Finished` when it cannot be done, or,
    /// for the application, when it is done.
    Restart(Box<RestartOrder>),
    /// Apply a configuration; answered by `Configured`.
    Configure(ConfigureOrder),
    /// Read the state of the hardware; answered by `HealthObserved`.
    ReadHealth,
    /// Log data has been stored at the cloud.
    UploadAcked(LogAck),
    /// The cloud has answered something about this operation, perhaps its upload, with an error.
    UploadRefused {
        /// Operation.
        id: OperationId,
        /// Code of the `error` frame.
        code: String,
    },
    /// The link may carry log data until it ends.
    AllowUploads,
    /// Something about who this terminal is to the cloud.
    Identity(IdentityOrder),
    /// Tell whoever asked for an operation at the terminal what became of that.
    Answer(LocalAnswer),
    /// Stop the process; everything is on the medium.
    Stop,
}

/// Which end of the cloud a link goes to, and what it shows there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `terminal-ops.v1`, with the newest credentials.
    Operations,
    /// `terminal-ops.v1`, with those before a renewal that the cloud does not accept.
    OperationsAsBefore,
    /// `terminal-enrol.v1`.
    Enrolment,
}

/// What is to be done about who this terminal is to the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityOrder {
    /// Make the key durable, then send `enrol_begin`. Answered by `IdentityRefused` when it cannot
    /// be sent.
    Request(IdentityRequest),
    /// Check this identity and make it durable as a whole. Answered by `IdentityAdopted` or
    /// `IdentityRefused`.
    Adopt(Box<Enrolled>),
    /// The cloud has accepted these credentials: they are good, forget all others.
    Keep(Endpoint),
    /// Forget every identity.
    Forget,
    /// Show this line on the screen; `None` takes it away.
    Show(Option<String>),
}

/// What an `enrol_begin` is to say, beside what the terminal always says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityRequest {
    /// Of this attempt.
    pub nonce: String,
    /// Which key the certificate is for.
    pub key: RequestKey,
    /// Percent, where it is known.
    pub battery_level: Option<u8>,
}

/// Which key a certificate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKey {
    /// One that no certificate is for yet: made now, or left from a request without an answer.
    New,
    /// That of the identity in use.
    Current,
}

/// Which report to send. What the store holds at `place` goes out under `seq` and `store_epoch`;
/// where it holds nothing any more, [`Report::dropped`](crate::protocol::Report::dropped) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportOrder {
    /// Where it is in the store.
    pub place: Seq,
    /// Its number on the wire.
    pub seq: Seq,
    /// The sequence of that number.
    pub store_epoch: StoreEpoch,
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
    /// For a question: the restart that had been called for.
    pub restart: Option<RestartCall>,
}

/// What to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigureOrder {
    /// The call that the answer is of.
    pub call: ConfigureCall,
    /// The whole configuration.
    pub configuration: Configuration,
}

/// Number of a call that applies a configuration, counted from 1 in each process: the same revision
/// may be applied more than once, and each call has an answer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigureCall(pub u64);

/// What to restart.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartOrder {
    /// Operation.
    pub id: OperationId,
    /// Journalled attempt.
    pub attempt: u32,
    /// Scope, delay and reason.
    pub parameters: RebootParameters,
    /// What to do about an active payment.
    pub policy: Policy,
    /// Time until the engine gives up on the call, in milliseconds.
    pub time_left_ms: u64,
    /// The payment application answers nothing: nobody can be asked to hold payments.
    pub application_hangs: bool,
}
