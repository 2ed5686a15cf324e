//! What the terminal says about itself: heartbeat, and whenever something has changed.

use terminal_hal::{
    Timestamp,
    status::{PowerSource, Printer, ScreenView, TerminalHealth},
};

use super::{Effect, Engine, Moment, OperationState, output::Output};
use crate::protocol::{
    AgentFrame, Attention, ClockSource, ClockState, EventName, StatusFrame, TerminalState,
    is_activation_code,
};

/// Below this charge a terminal without mains needs attention, in percent.
const BATTERY_LOW_PERCENT: u8 = 15;
/// Payments that have waited this long to be forwarded need attention, in milliseconds.
const OFFLINE_QUEUE_OLD_MS: u64 = 24 * 3600 * 1000;

/// The state of the hardware as it was read last.
#[derive(Debug, Default)]
pub(super) struct Health {
    last: Option<(Timestamp, TerminalHealth)>,
    /// A reading has been ordered and has not come.
    ordered: bool,
    /// The next reading is sent even if nothing has changed.
    due: bool,
}

impl Health {
    pub(super) fn is_locked(&self) -> bool {
        self.last.as_ref().is_some_and(|(_, health)| health.locked)
    }

    pub(super) fn battery_level(&self) -> Option<u8> {
        self.last.as_ref().and_then(|(_, health)| health.clone().bounded().battery_level)
    }
}

impl Engine {
    /// Sends a status with a fresh reading; with the last one if the hardware does not answer.
    pub(super) fn status_due(&mut self, out: &mut Output<'_>) {
        self.health.due = true;
        if self.health.ordered {
            tracing::warn!("the hardware has not told its state for a whole heartbeat");
            self.send_status(out);
        }
        self.read_health(out);
    }

    pub(super) fn read_health(&mut self, out: &mut Output<'_>) {
        if !self.health.ordered {
            self.health.ordered = true;
            out.push(Effect::ReadHealth);
        }
    }

    pub(super) fn on_health(&mut self, health: &TerminalHealth, out: &mut Output<'_>) {
        let health = without_code(health.clone().bounded());
        let before = self.health.last.as_ref().map(|(_, health)| comparable(health));
        let changed = before.as_ref() != Some(&comparable(&health));
        self.health.ordered = false;
        self.health.last = Some((out.moment.wall, health));
        if self.health.due || changed {
            self.send_status(out);
        }
    }

    pub(super) fn on_storage(&mut self, low: bool, out: &mut Output<'_>) {
        if low == self.storage_low {
            return;
        }
        self.storage_low = low;
        tracing::warn!(low, "storage changed");
        // A full disk takes no event: the status and the refused operations tell.
        if !low {
            self.report_event(EventName::StorageRecovered, [], out);
        }
        self.send_status(out);
    }

    fn send_status(&mut self, out: &mut Output<'_>) {
        if !self.session.is_up() {
            return;
        }
        self.health.due = false;
        let frame = self.status(out.moment);
        out.send(AgentFrame::Status(Box::new(frame)));
    }

    pub(super) fn status(&self, moment: &Moment) -> StatusFrame {
        let (observed_at, health) =
            self.health.last.clone().unwrap_or((moment.wall, TerminalHealth::default()));
        let running = self
            .operations
            .values()
            .find(|record| matches!(record.state, OperationState::Running { .. }));
        let state = if self.is_restarting() {
            TerminalState::Restarting
        } else if running.is_some() {
            TerminalState::Operation
        } else if health.payment_active {
            TerminalState::Payment
        } else if health.locked {
            TerminalState::Locked
        } else {
            TerminalState::Idle
        };
        let queued = self
            .operations
            .values()
            .filter(|record| matches!(record.state, OperationState::Queued { .. }))
            .count();
        StatusFrame {
            observed_at,
            boot_id: self.identity.boot_id,
            uptime_ms: moment.monotonic.0,
            state,
            needs_attention: self.needs_attention(&health, moment),
            software_version: self.identity.software_version.clone(),
            active_operation: running.map(|record| record.id),
            queued: u32::try_from(queued).unwrap_or(u32::MAX),
            unacked: self.outbox.len() as u64,
            config_revision: self.configuration.applied_revision(),
            clock: Self::clock_state(moment),
            health,
        }
    }

    pub(super) const fn clock_state(moment: &Moment) -> ClockState {
        let source =
            if moment.wall_trusted { ClockSource::Synchronised } else { ClockSource::System };
        ClockState { now: moment.wall, trusted: moment.wall_trusted, source }
    }

    fn needs_attention(&self, health: &TerminalHealth, moment: &Moment) -> Vec<Attention> {
        let on_battery =
            matches!(health.power, Some(PowerSource::Battery | PowerSource::Insufficient));
        let low = health.battery_level.is_some_and(|level| level < BATTERY_LOW_PERCENT);
        let oldest = health.offline_queue.as_ref().and_then(|queue| queue.oldest_at);
        let queue_old = oldest.is_some_and(|at| moment.wall.ms_since(at) > OFFLINE_QUEUE_OLD_MS);
        [
            (low && on_battery, Attention::LowBattery),
            (health.printer == Some(Printer::NoPaper), Attention::NoPaper),
            (health.tampered, Attention::Tampered),
            (queue_old, Attention::OfflineQueueOld),
            (!moment.wall_trusted, Attention::ClockUntrusted),
            (self.storage_low, Attention::StorageLow),
            (self.membership.expiring(self.cloud_now(moment)).is_some(), Attention::CertExpiring),
            (health.lock_unconfirmed, Attention::LockUnconfirmed),
        ]
        .into_iter()
        .filter_map(|(applies, attention)| applies.then_some(attention))
        .collect()
    }
}

/// An activation code opens a door: the screen shows it, and nothing that leaves the terminal does.
fn without_code(mut health: TerminalHealth) -> TerminalHealth {
    let shows_code = |screen: &&mut ScreenView| screen.text.split(' ').any(is_activation_code);
    if let Some(screen) = health.screen.as_mut().filter(shows_code) {
        screen.text.clear();
    }
    health
}

/// What counts as a change: figures that always move are left to the heartbeat.
fn comparable(health: &TerminalHealth) -> TerminalHealth {
    let mut health = health.clone();
    health.battery_level = health.battery_level.map(|level| level / 10);
    health.storage_free_bytes = None;
    health.temperature_c = None;
    health.offline_queue = None;
    health.batch = health.batch.map(|batch| terminal_hal::status::Batch { count: 0, ..batch });
    health.network = health.network.map(|n| terminal_hal::status::Network { rssi_dbm: None, ..n });
    health
}
