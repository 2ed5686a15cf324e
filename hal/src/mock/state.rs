//! Everything that the simulated terminal remembers, as it is written to the state file.
//!
//! Tests and the demo read it to see what really happened; nothing but the mock writes it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::script::Method;
use crate::{
    BootId, OperationId, Timestamp,
    operation::{open_menu::Menu, reboot::BootReason},
};

mod batch;
mod software;

pub(super) use batch::batch_id;
pub use batch::{
    CloseProgress, CloseRecord, ClosedBatch, OpenBatch, Payment, PaymentKind, PaymentOutcome,
};
pub use software::{Download, FirmwareState, InstallProgress, Installation, Slot};

/// Format of the state file.
pub const STATE_VERSION: u32 = 1;
/// Payments that a batch holds; then the terminal takes no more until it is closed, as real
/// terminals do. Some three weeks of the simulated trade.
pub const PAYMENTS_MAX: usize = 2_000;
/// Closed batches that can be read again: about two months.
pub const CLOSED_BATCHES_MAX: usize = 64;
/// Closes remembered by operation id: the agent asks within its store's life, which is days.
pub const CLOSES_MAX: usize = 64;
/// Operation ids whose effects are counted; more than a long test run starts.
pub const EFFECTS_MAX: usize = 1_024;
/// Boots that are listed.
pub const BOOTS_MAX: usize = 32;
/// Installations remembered by operation id.
pub const INSTALLATIONS_MAX: usize = 32;

/// The whole terminal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`STATE_VERSION`].
    pub version: u32,
    /// Serial number of the device that wrote this.
    pub serial_number: String,
    /// When the terminal was first switched on.
    pub created_at: Timestamp,
    /// This boot.
    pub boot: Boot,
    /// Earlier boots and this one, oldest first, at most [`BOOTS_MAX`].
    pub boots: Vec<BootRecord>,
    /// Set from the call of `reboot` until the state file is opened again.
    pub rebooting: Option<BootReason>,
    /// The payment application.
    pub application: Application,
    /// The lock, while it is locked.
    pub lock: Option<Lock>,
    /// The configuration in force.
    pub settings: Settings,
    /// The open batch.
    pub batch: OpenBatch,
    /// Closed batches, oldest first, at most [`CLOSED_BATCHES_MAX`].
    pub closed: Vec<ClosedBatch>,
    /// What became of closes, oldest first, at most [`CLOSES_MAX`].
    pub closes: Vec<CloseRecord>,
    /// Payments that were authorised offline and wait to be forwarded, oldest first.
    pub offline: Vec<Payment>,
    /// Up to here the simulated customers have paid.
    pub payments_until: Timestamp,
    /// What is on the screen.
    pub screen: ScreenState,
    /// Software.
    pub firmware: FirmwareState,
    /// How often each operation took effect, at most [`EFFECTS_MAX`].
    pub effects: BTreeMap<OperationId, Effect>,
    /// What the script has used up.
    pub script: ScriptMemory,
}

/// One boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// Its identity.
    pub id: BootId,
    /// 1 for the first boot.
    pub number: u64,
    /// Why it happened.
    pub reason: BootReason,
}

/// A line of the list of boots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootRecord {
    /// When.
    pub at: Timestamp,
    /// Its identity.
    pub id: BootId,
    /// Why.
    pub reason: BootReason,
}

/// The running payment application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Application {
    /// Names the instance.
    pub instance: String,
    /// Counts its starts.
    pub starts: u64,
}

/// Why no payment is taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    /// Since when.
    pub since: Timestamp,
    /// For the audit trail.
    pub reason: Option<String>,
    /// Whether a boot clears it.
    pub clear_on_reboot: bool,
}

/// The configuration in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Its revision; 0 before the first.
    pub revision: u64,
    /// Its content.
    pub config: Map<String, Value>,
}

/// What is on the screen, from back to front: idle, lock, message, menu.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScreenState {
    /// Shown while nothing else is.
    pub idle_message: String,
    /// Shown while locked.
    pub lock_message: Option<String>,
    /// Shown on request, such as an activation code.
    pub message: Option<String>,
    /// The open menu.
    pub menu: Option<OpenMenu>,
}

/// A menu that is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenMenu {
    /// Which.
    pub menu: Menu,
    /// Since when.
    pub opened_at: Timestamp,
    /// It closes by itself then.
    pub closes_at: Timestamp,
}

/// How often an operation took effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effect {
    /// What it did.
    pub method: Method,
    /// How often.
    pub count: u32,
    /// Grows with every new id; the lowest is forgotten first.
    pub order: u64,
}

/// What the script has used up, so that "crash once" crashes once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScriptMemory {
    /// By method and fault, such as `close_batch.crash`.
    pub used: BTreeMap<String, Used>,
    /// Ids of scripted payments that have been taken.
    pub payments: BTreeSet<String>,
}

/// How often a fault has struck.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// The fault as it stands in the script; another one starts at 0.
    pub fault: String,
    /// How often.
    pub times: u32,
}

impl State {
    /// Counts an effect of an operation.
    pub(super) fn count_effect(&mut self, id: OperationId, method: Method) {
        let order = self.effects.values().map(|effect| effect.order).max().unwrap_or(0) + 1;
        let effect = self.effects.entry(id).or_insert(Effect { method, count: 0, order });
        effect.count += 1;
        if self.effects.len() > EFFECTS_MAX {
            let oldest = self.effects.iter().min_by_key(|(_, effect)| effect.order);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.effects.remove(&id);
            }
        }
    }

    /// What is known of the close with that id.
    pub(super) fn close(&self, id: OperationId) -> Option<&CloseRecord> {
        self.closes.iter().find(|close| close.id == id)
    }

    /// Remembers how far a close came.
    pub(super) fn set_close(&mut self, id: OperationId, progress: CloseProgress) {
        let batch_id = self.batch.id();
        match self.closes.iter_mut().find(|close| close.id == id) {
            Some(close) => close.progress = progress,
            None => {
                push_bounded(&mut self.closes, CloseRecord { id, batch_id, progress }, CLOSES_MAX)
            }
        }
    }
}

/// Appends and forgets the oldest above `max`.
pub(super) fn push_bounded<T>(list: &mut Vec<T>, item: T, max: usize) {
    list.push(item);
    if list.len() > max {
        list.drain(..list.len() - max);
    }
}
