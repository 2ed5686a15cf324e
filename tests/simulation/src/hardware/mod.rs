//! A model of the hardware and the payment application of one device.
//!
//! It remembers by operation id what it was asked and what it did, as a payment application does:
//! that survives crashes of the agent and, as far as it was durable, power cuts. It never refuses
//! to do something twice: whoever asks twice gets it twice, and is found out.

mod answers;
mod calls;
mod payments;
mod restarts;
mod results;

use std::collections::BTreeMap;

use serde_json::Value;
use terminal_core::{
    engine::{Configuration, ConfigureCall, limits},
    protocol::{Policy, StoreEpoch},
};
use terminal_hal::{
    Failure, OperationId, OperationKind, OperationResult, operation::RebootParameters,
};

use crate::plan::Behaviour;

/// Everything that one device does and remembers.
#[derive(Debug, Default)]
pub struct Hardware {
    /// What it was asked and what it did, by operation.
    pub ledger: BTreeMap<OperationId, Entry>,
    /// Calls that are going on.
    pub(crate) work: BTreeMap<u64, Work>,
    pub(crate) tickets: u64,
    /// Who refuses payments, and until when at the latest.
    pub(crate) holds: BTreeMap<OperationId, Hold>,
    /// A payment is in progress until then.
    pub(crate) payment_until: u64,
    pub(crate) payment_is_cancellable: bool,
    /// Instance of the payment application, and when it answers.
    pub(crate) instance: u32,
    pub(crate) up_at: u64,
    /// Whether payments are refused.
    pub locked: bool,
    /// Revision in force at the payment application.
    pub settings: u64,
    /// Configurations that are being applied, and since when, by call.
    pub(crate) applying: BTreeMap<ConfigureCall, (Configuration, u64)>,
}

/// What is known of one operation.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// How often it was asked for.
    pub starts: u32,
    /// How often it took effect.
    pub effects: u32,
    /// What it answered with, each time that it took effect.
    pub results: Vec<Value>,
    pub(crate) state: State,
    /// The last call said that it had not begun, or a question found so.
    pub(crate) may_start_again: bool,
    pub(crate) deferrals: u32,
    pub(crate) poisoned: u32,
    /// The store has lost what it knew of this one, and nobody could know that.
    pub(crate) excused: bool,
    pub(crate) arrived: Option<Arrived>,
    pub(crate) taken: Option<Taken>,
    /// The agent was told that it is withdrawn, and asked a call to stop.
    pub(crate) is_cancelled: bool,
    /// The agent has written its verdict.
    pub(crate) has_verdict: bool,
    /// Its time to live does not count for this attempt.
    pub(crate) is_timely: bool,
    /// Instance of the payment application at the last call.
    pub(crate) instance: u32,
}

/// What the dispatch said that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    pub(crate) at: u64,
    pub(crate) first_epoch: Option<StoreEpoch>,
    pub(crate) ttl_s: u32,
}

/// How the terminal came by an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) at: u64,
    pub(crate) boot: u32,
    pub(crate) ttl_ms: u64,
}

/// What the payment application or the updater would say.
#[derive(Clone, Debug, Default)]
pub(crate) enum State {
    #[default]
    Unheard,
    Running,
    Finished(Box<OperationResult>),
    Failed(Failure),
    /// An update waits for the restart.
    Installed,
}

/// A hold of payments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) until: u64,
    /// Process that took it.
    pub(crate) generation: u32,
}

/// A call that is going on.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) id: OperationId,
    pub(crate) attempt: u32,
    pub(crate) kind: OperationKind,
    pub(crate) behaviour: Behaviour,
    pub(crate) policy: Policy,
    /// Process that waits for the answer; `None` once nobody does.
    pub(crate) asker: Option<u32>,
    pub(crate) phase: Phase,
    /// What would have been said of it before this call.
    pub(crate) before: State,
    /// Until when it waits for payments.
    pub(crate) wait_until: u64,
    pub(crate) needs_hold: bool,
    /// A restart that has been called for.
    pub(crate) restart: Option<RebootParameters>,
    /// Scope and parameters as they matter for the result.
    pub(crate) revision: u64,
    pub(crate) result: Option<Box<OperationResult>>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// For payments to end.
    Waiting,
    Running,
    Effective,
}

impl Hardware {
    pub(crate) fn new(up_at: u64) -> Self {
        Self { up_at, ..Self::default() }
    }

    pub(crate) const fn is_up(&self, now: u64) -> bool {
        now >= self.up_at
    }

    /// How often any effect of that operation has happened.
    pub fn effects(&self, id: OperationId) -> u32 {
        self.ledger.get(&id).map_or(0, |entry| entry.effects)
    }

    pub(crate) fn entry(&mut self, id: OperationId) -> &mut Entry {
        self.ledger.entry(id).or_default()
    }

    /// Whether the agent has written the verdict of that operation.
    pub(crate) fn has_verdict(&self, id: OperationId) -> bool {
        self.ledger.get(&id).is_some_and(|entry| entry.has_verdict)
    }

    /// Whether a configuration is being applied that the engine waits for.
    pub(crate) fn is_applying(&self, now: u64) -> bool {
        self.applying.values().any(|(_, since)| now - since < limits::CONFIGURE_MS_MAX)
    }

    /// The call that runs for an operation.
    pub(crate) fn ticket_of(&self, id: OperationId, generation: u32) -> Option<u64> {
        let mine = |work: &Work| work.id == id && work.asker == Some(generation);
        self.work.iter().find(|(_, work)| mine(work)).map(|(ticket, _)| *ticket)
    }
}

/// Whether the payment application or the updater goes on with it when the agent dies.
pub(crate) const fn outlives_the_agent(kind: OperationKind) -> bool {
    matches!(kind, OperationKind::EndOfDay | OperationKind::Update)
}

/// Whether it may take effect more than once: what §10 of the protocol runs again.
pub(crate) const fn may_repeat(kind: OperationKind) -> bool {
    !matches!(kind, OperationKind::EndOfDay | OperationKind::Update | OperationKind::OpenMenu)
}
