//! What happens in a life, as data: generated from a seed, written as JSON, shrunk item by item.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terminal_core::protocol::Policy;
use terminal_hal::{OperationId, OperationKind};
use uuid::Uuid;

pub use crate::behaviour::{Behaviour, CallEnd, RestartEnd};

/// A whole life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Fixes everything that the items leave open: latencies, jitter, ties.
    pub seed: u64,
    /// Surroundings that do not change.
    #[serde(default)]
    pub setting: Setting,
    /// What happens, in any order.
    pub items: Vec<Item>,
}

/// Surroundings of a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// After this everything goes well.
    pub horizon_ms: u64,
    /// Of the cloud's `welcome`.
    pub heartbeat_s: u32,
    /// Most time that a frame takes.
    pub latency_ms: u64,
    /// Most time that the shell's loop takes to come to an event: what comes meanwhile is
    /// stepped in the same batch.
    pub loop_ms: u64,
    /// The cloud acks this long after it has stored.
    pub ack_ms: u64,
    /// A process that has died is started again after this.
    pub restart_ms: u64,
    /// The payment application answers this long after a boot.
    pub application_ms: u64,
    /// The payment application forgets its settings when it restarts.
    pub forgets_settings: bool,
    /// Every how many revisions the payment application rejects one; 0 for never.
    pub rejects_every: u64,
    /// The terminal closes its batch every day by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
}

/// A daily end of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// From midnight, by the wall clock. A life begins at midnight.
    pub at_ms: u64,
    /// So long it may still begin.
    pub window_ms: u64,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            horizon_ms: 60_000,
            heartbeat_s: 300,
            latency_ms: 40,
            loop_ms: 0,
            ack_ms: 20,
            restart_ms: 500,
            application_ms: 5_000,
            forgets_settings: true,
            rejects_every: 0,
            schedule: None,
        }
    }
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Milliseconds from the begin of the life.
    pub at_ms: u64,
    /// To the copy of the terminal instead of the terminal.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub to_twin: bool,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Somebody orders an operation at the cloud.
    Operation(Box<PlannedOperation>),
    /// Somebody at the terminal wants an operation. The same number again is the same request.
    Local(Box<PlannedOperation>),
    /// Many small operations are ordered at once, numbered from `first`.
    Flood {
        /// Number of the first.
        first: u32,
        /// How many.
        count: u32,
        /// For one lane only.
        one_lane: bool,
    },
    /// Somebody withdraws operation `n`.
    Cancel {
        /// Which.
        n: u32,
    },
    /// The cloud sends operation `n` again on the same link, whatever it knows about it.
    DispatchAgain {
        /// Which.
        n: u32,
    },
    /// A newer configuration is set at the cloud.
    Configuration,
    /// The process dies between two effects.
    Crash {
        /// Rounds with effects that are survived first.
        rounds: u32,
        /// Effects of the next such round that are carried out.
        effects: u32,
        /// The power fails with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        power: Option<PowerLoss>,
    },
    /// The process is told to stop, and started again.
    Stop,
    /// The power fails at this moment.
    PowerCut(PowerLoss),
    /// The device sleeps.
    Suspend {
        /// For how long.
        ms: u64,
    },
    /// The wall clock is set.
    ClockJump {
        /// Forward or back.
        ms: i64,
    },
    /// The link breaks.
    LinkDrop {
        /// What is on its way to the cloud is lost; else it arrives after `late_ms`.
        lost: bool,
        /// Delay of what arrives all the same.
        late_ms: u64,
        /// The terminal notices only by silence.
        silent: bool,
    },
    /// Nothing gets through for a while.
    LinkStall {
        /// For how long.
        ms: u64,
    },
    /// No connection can be made; existing ones break.
    NetworkDown {
        /// For how long.
        ms: u64,
        /// Attempts hang instead of failing.
        hangs: bool,
    },
    /// The cloud's process restarts; what it stored is kept.
    CloudRestart {
        /// Until it is up again.
        down_ms: u64,
    },
    /// The cloud's database is saved.
    CloudBackup,
    /// The cloud's database goes back to what was saved.
    CloudRestore,
    /// The cloud closes the link.
    CloudClose {
        /// WebSocket close code.
        code: u16,
    },
    /// The cloud drains.
    CloudReconnect {
        /// Least wait.
        after_s: u32,
        /// Random addition.
        spread_s: u32,
    },
    /// The cloud refuses connections.
    CloudRefuses {
        /// For how long.
        ms: u64,
        /// With `Retry-After`; as unauthorised without.
        retry_after_s: Option<u32>,
    },
    /// The cloud takes connections and says nothing.
    CloudMute {
        /// For how long.
        ms: u64,
    },
    /// The cloud sends something that it should not.
    Hostile(Hostility),
    /// The next commit fails.
    AppendFails {
        /// It becomes durable all the same.
        applied: bool,
    },
    /// The disk is full.
    DiskFull {
        /// For how long.
        ms: u64,
        /// So full that commits fail.
        hard: bool,
    },
    /// The store's medium is saved.
    StoreBackup,
    /// The store's medium goes back to what was saved: a restored image.
    StoreRestore,
    /// The store cannot be read any more and is moved aside.
    StoreDamage,
    /// The store finds itself on a device with another serial number.
    SerialNumber {
        /// Number of that device.
        n: u32,
    },
    /// Another device comes up from a copy of the store.
    Twin,
    /// The payment application is away.
    ApplicationDown {
        /// For how long.
        ms: u64,
    },
    /// A payment is in progress.
    Payment {
        /// For how long.
        ms: u64,
        /// It can be cancelled.
        cancellable: bool,
    },
    /// The owner forbids a kind; holds from the next start of the process.
    Forbid {
        /// Which.
        kind: OperationKind,
    },
    /// The owner allows all kinds again.
    AllowAll,
}

/// How the power fails and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerLoss {
    /// Without power for this long.
    pub off_ms: u64,
    /// The wall clock begins in 1970 and is set after this; right from the begin when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_lost_ms: Option<u64>,
}

/// Frames that a faulty cloud may send; none of them may do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hostility {
    /// An ack of another epoch, for the highest seq that this one has sent.
    AckOfAnotherEpoch,
    /// An ack beyond what was sent.
    AckBeyond,
    /// A second welcome, with nothing acked.
    WelcomeAgain,
    /// A cancel of an id that nobody knows.
    CancelUnknown,
    /// A type that nobody knows.
    UnknownType,
    /// A known type without its fields.
    InvalidFrame,
    /// No JSON.
    Garbage,
    /// More than 65,536 bytes.
    TooLarge,
}

/// An operation, and how the hardware takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedOperation {
    /// Number; its id is made of it.
    pub n: u32,
    /// Name of the kind.
    pub operation: String,
    /// Of the kind.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Time to live, from creation.
    pub ttl_s: u32,
    /// Longest run.
    pub deadline_s: u32,
    /// `not_after` from creation.
    pub not_after_s: u32,
    /// When the terminal is busy.
    #[serde(default)]
    pub policy: Policy,
    /// How the hardware takes it.
    #[serde(default)]
    pub hardware: Behaviour,
}

impl PlannedOperation {
    /// One that nothing is special about.
    pub fn new(n: u32, kind: OperationKind) -> Self {
        Self {
            n,
            operation: kind.as_str().to_owned(),
            parameters: Map::new(),
            ttl_s: 900,
            deadline_s: 60,
            not_after_s: 90_000,
            policy: Policy::default(),
            hardware: Behaviour::default(),
        }
    }

    /// Its identity.
    pub fn id(&self) -> OperationId {
        operation_id(self.n)
    }
}

/// The identity of operation `n`.
pub fn operation_id(n: u32) -> OperationId {
    OperationId(Uuid::from_u128((0x0de1 << 112) | u128::from(n)))
}
