//! What the engine is told: always something that has happened.

use std::fmt;

use terminal_hal::{
    Failure, OperationId, OperationResult, operation::SettingProblem, status::TerminalHealth,
};

use super::{Certificate, ConfigureCall, LocalRequest};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The shell is ready to act; the first event.
    Started,
    /// A deadline that the engine asked for has come, or any other reason to look.
    Woken,
    /// The link is up: TCP, TLS and WebSocket handshake are done.
    LinkOpened,
    /// A text frame came.
    FrameReceived(Vec<u8>),
    /// Other bytes came, such as a pong: the peer is alive.
    PeerHeard,
    /// The link is down, or could not be made.
    LinkClosed(LinkEnd),
    /// The network has changed for the better.
    NetworkUp,
    /// A call is over.
    Finished {
        /// Operation.
        id: OperationId,
        /// Attempt that the call belonged to.
        attempt: u32,
        /// How it ended.
        outcome: CallOutcome,
    },
    /// A call has come further.
    Progressed {
        /// Operation.
        id: OperationId,
        /// Name of the phase.
        phase: String,
        /// 0 to 100, where known.
        percent: Option<u8>,
    },
    /// The hardware layer has answered what became of an operation.
    Verified {
        /// Operation.
        id: OperationId,
        /// Attempt that asked.
        attempt: u32,
        /// The answer.
        answer: Verification,
    },
    /// A configuration has been applied or not.
    Configured {
        /// The call that this answers.
        call: ConfigureCall,
        /// What became of it.
        outcome: ConfigurationOutcome,
    },
    /// The hardware layer (again) has a payment application to talk to.
    HalConnected,
    /// State of the hardware, read again.
    HealthObserved(Box<TerminalHealth>),
    /// Free storage fell below the reserve, or rose above it.
    StorageChanged {
        /// Whether it is below.
        low: bool,
    },
    /// An identity that the cloud has sent is on the medium; from now on it counts.
    IdentityAdopted {
        /// As the cloud knows this terminal.
        terminal_id: String,
        /// Its certificate.
        certificate: Certificate,
    },
    /// An identity could not be asked for, or what the cloud has sent cannot be used.
    IdentityRefused {
        /// For people.
        reason: String,
    },
    /// Somebody at the terminal wants an operation; answered by `Answer`.
    OperationRequested(Box<LocalRequest>),
    /// A person at the terminal wants it to be activated again.
    ActivationRequested,
    /// A person at the terminal gives up the reports of an owner before.
    DiscardRequested,
    /// The process has been told to stop.
    StopRequested,
}

/// Why there is no link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEnd {
    /// Connecting failed, or an established link broke.
    Lost {
        /// For people.
        reason: String,
    },
    /// Refused with HTTP 429 or 503.
    RetryAfter {
        /// Seconds that the server asks for.
        seconds: u32,
    },
    /// Refused by TLS, or without the subprotocol: trying again soon is of no use.
    Refused {
        /// For people.
        reason: String,
    },
    /// Refused with HTTP 401 or 403: the cloud does not know this terminal, or not any more.
    Unauthorized {
        /// For people.
        reason: String,
    },
    /// The cloud says that this terminal's certificate has expired.
    CertificateExpired {
        /// For people.
        reason: String,
    },
    /// Closed by the cloud with this code.
    Closed {
        /// WebSocket close code.
        code: u16,
        /// For people.
        reason: String,
    },
}

impl fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { reason } => f.write_str(reason),
            Self::Refused { reason }
            | Self::Unauthorized { reason }
            | Self::CertificateExpired { reason } => write!(f, "refused: {reason}"),
            Self::RetryAfter { seconds } => write!(f, "the cloud asks to wait {seconds} s"),
            Self::Closed { code, reason } => write!(f, "closed by the cloud, {code} {reason}"),
        }
    }
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub enum CallOutcome {
    /// It took effect.
    Completed(Box<OperationResult>),
    /// It did not.
    Failed(Failure),
    /// Not now: try again after `retry_after_s`, without occupying the slot meanwhile.
    Deferred {
        /// Seconds to wait.
        retry_after_s: u32,
    },
    /// Everything before a restart is done; the engine journals the call and orders it.
    ReadyToRestart {
        /// Instance of the payment application before.
        instance: Option<String>,
        /// The payment application answers nothing: payments are not held.
        application_hangs: bool,
    },
}

/// What became of an operation that was cut off.
#[derive(Clone, Debug, PartialEq)]
pub enum Verification {
    /// Nothing happened: it may run.
    NotStarted,
    /// Still at it: ask again.
    Running,
    /// The hardware layer does not answer yet: ask again.
    Unavailable,
    /// Done.
    Completed(Box<OperationResult>),
    /// Failed.
    Failed(Failure),
    /// Installed, and waiting for a restart.
    RestartRequired,
    /// Nobody can tell.
    Unknown,
}

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum ConfigurationOutcome {
    /// In force.
    Applied {
        /// Of the effective configuration.
        sha256: String,
    },
    /// Refused as a whole.
    Rejected(Vec<SettingProblem>),
    /// The hardware layer did not answer: tried again later.
    Unavailable(Failure),
}
