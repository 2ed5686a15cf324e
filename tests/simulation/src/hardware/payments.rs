//! Payments and those who hold them off; the payment application coming and going.

use terminal_core::engine::{CallOutcome, Event};
use terminal_hal::{
    ErrorCode, Failure, OperationId, OperationKind, SideEffects, operation::IfPaymentActive,
};

use super::{Hold, Phase};
use crate::{queue::Due, world::World};

/// A hold ends by itself after this.
const LEASE_MS: u64 = 60_000;
/// The executor extends the holds of its calls this often.
const EXTEND_MS: u64 = 20_000;
/// Whether another operation has given its hold back is looked at this often.
const LOOK_MS: u64 = 2_000;

impl World {
    /// A call needs that no payment is active and nobody else holds them off.
    pub(crate) fn call_waits(&mut self, device: usize, ticket: u64) {
        let now = self.now;
        let generation = self.devices[device].generation;
        let hardware = &mut self.devices[device].hardware;
        let Some(work) = hardware.work.get(&ticket).filter(|w| w.phase == Phase::Waiting) else {
            return;
        };
        if !work.needs_hold {
            return self.go(device, ticket);
        }
        let (id, wait_until, policy) = (work.id, work.wait_until, work.policy);
        let kind = work.kind;
        let is_held = hardware.holds.iter().any(|(other, hold)| *other != id && hold.until > now);
        let mut is_paying = hardware.payment_until > now;
        let what = policy.if_payment_active;
        if is_paying && what == IfPaymentActive::Cancel && hardware.payment_is_cancellable {
            hardware.payment_until = now;
            is_paying = false;
            self.counters.count("payment", "cancelled");
        }
        let hardware = &mut self.devices[device].hardware;
        if !is_held && !is_paying {
            hardware.holds.insert(id, Hold { until: now + LEASE_MS, generation });
            self.after(EXTEND_MS, Due::HoldEnds { device, id });
            return self.go(device, ticket);
        }
        if (is_paying && what == IfPaymentActive::Reject) || now >= wait_until {
            self.counters.count("payment", "busy");
            let failure = Failure::new(ErrorCode::BusyPayment, "a payment is active");
            // An update waits for payments only when it is installed.
            let failure = match kind {
                OperationKind::Update => failure.with_side_effects(SideEffects::Partial),
                _ => failure,
            };
            return self.end_call(device, ticket, CallOutcome::Failed(failure));
        }
        self.counters.count("payment", "waited for");
        let end = hardware.payment_until;
        let at = if is_paying { end } else { now + LOOK_MS };
        self.queue.push(at.min(wait_until).max(now + 1), Due::CallWaits { device, ticket });
    }

    fn go(&mut self, device: usize, ticket: u64) {
        let Some(work) = self.devices[device].hardware.work.get(&ticket) else { return };
        if work.restart.is_some() {
            self.delay_restart(device, ticket);
        } else {
            self.run_call(device, ticket);
        }
    }

    /// A hold runs out unless somebody extends it: the executor does while its call runs.
    pub(crate) fn hold_ends(&mut self, device: usize, id: OperationId) {
        let now = self.now;
        let generation = self.devices[device].generation;
        let terminal = &mut self.devices[device];
        let Some(hold) = terminal.hardware.holds.get(&id).copied() else { return };
        if terminal.asleep_until > now {
            // Whoever would give it back sleeps, too.
            let at = terminal.asleep_until + LEASE_MS;
            terminal.hardware.holds.insert(id, Hold { until: at, ..hold });
            return self.queue.push(at, Due::HoldEnds { device, id });
        }
        let is_extended = hold.generation == generation
            && terminal.process.is_some()
            && terminal.hardware.ticket_of(id, generation).is_some();
        if is_extended {
            terminal.hardware.holds.insert(id, Hold { until: now + LEASE_MS, generation });
            return self.after(EXTEND_MS, Due::HoldEnds { device, id });
        }
        if hold.until > now {
            return self.queue.push(hold.until, Due::HoldEnds { device, id });
        }
        terminal.hardware.holds.remove(&id);
        self.counters.count("payment", "hold ran out");
        crate::check::hold_ran_out(self, device, id, hold.generation);
    }

    pub(crate) fn take_application_down(&mut self, device: usize, ms: u64) {
        self.counters.count("fault", "application down");
        let up_at = self.now + ms;
        let hardware = &mut self.devices[device].hardware;
        hardware.up_at = up_at;
        hardware.instance += 1;
        let instance = hardware.instance;
        if self.plan.setting.forgets_settings {
            self.devices[device].hardware.settings = 0;
        }
        self.after(ms, Due::ApplicationUp { device, instance });
    }

    pub(crate) fn application_up(&mut self, device: usize, instance: u32) {
        if self.devices[device].hardware.instance == instance {
            self.tell(device, Event::HalConnected);
        }
    }
}
