//! The terminal behind its lock: memory, script and what lives only as long as the process.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    day,
    rng::{Rng, Stream},
    script::{Script, ScriptedState},
    script_file::ScriptFile,
    state::{PAYMENTS_MAX, Payment, PaymentKind, PaymentOutcome, State},
    store::Store,
};
use crate::{
    ErrorCode, Failure, OperationId, SideEffects, Timestamp, api::PaymentActivity,
    mock::settings::OfflineLimits,
};

/// Payments taken offline are forwarded by themselves after this, as soon as that works.
const FORWARD_AFTER_MS: u64 = 45 * 60_000;

/// All of it.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: State,
    pub(super) live: Live,
    pub(super) script: ScriptFile,
    pub(super) store: Store,
    pub(super) seed: u64,
    /// Wall time of this access.
    pub(super) now: Timestamp,
}

/// What a crash of the process forgets.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Counts restarts within the process; a call of an earlier life has no effect any more.
    pub(super) life: u64,
    /// Crashed: nothing has an effect until the next life.
    pub(super) dead: bool,
    pub(super) hold: Option<Hold>,
    pub(super) payment: Option<ActivePayment>,
    /// The close that is running.
    pub(super) closing: Option<OperationId>,
    /// The installation that is running.
    pub(super) installing: Option<OperationId>,
}

/// New payments are refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) id: OperationId,
    pub(super) until: Instant,
    /// The same as wall time.
    pub(super) until_wall: Timestamp,
}

/// A payment in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct ActivePayment {
    pub(super) activity: PaymentActivity,
    /// Ends by itself then.
    pub(super) until: Option<Instant>,
}

impl Shared {
    pub(super) fn script(&self) -> Arc<Script> {
        self.script.current()
    }

    /// Changes the memory durably, or not at all.
    ///
    /// # Errors
    /// Those of `change`; `DEVICE_FAULT` when the state file cannot be written.
    pub(super) fn commit<T>(
        &mut self,
        change: impl FnOnce(&mut State) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if self.live.dead {
            return Err(Failure::new(ErrorCode::HalUnavailable, "the terminal has crashed"));
        }
        let mut next = self.state.clone();
        let value = change(&mut next)?;
        self.store.save(&next).map_err(|error| {
            // The rename may have happened before the error.
            Failure::new(ErrorCode::DeviceFault, error.to_string())
                .with_side_effects(SideEffects::Unknown)
        })?;
        self.state = next;
        Ok(value)
    }

    /// Catches up with the script and the time.
    pub(super) fn refresh(&mut self, now: Timestamp) {
        self.now = now;
        if self.live.dead {
            return;
        }
        self.end_hold();
        self.end_payment();
        self.trade();
        self.state.end_trials(now);
        // What has happened until now happened under the script before.
        let before = self.script();
        if let Err(error) = self.script.reload() {
            tracing::warn!(error = %super::with_source(&error), "mock script not used");
        }
        self.adopt_script(&before);
    }

    /// Puts a script in force in place of the one before.
    pub(super) fn set_script(&mut self, script: Script) {
        let before = self.script();
        self.script.set(script);
        self.adopt_script(&before);
    }

    fn adopt_script(&mut self, before: &Arc<Script>) {
        let script = self.script();
        if Arc::ptr_eq(before, &script) {
            return;
        }
        self.forget_dropped_faults(&script);
        if before.payment_active != script.payment_active {
            self.start_scripted_payment(&script);
        }
        self.take_scripted_payments(&script);
    }

    /// What a new life of the process begins with.
    pub(super) fn begin_life(&mut self) {
        let script = self.script();
        self.live = Live { life: self.live.life + 1, ..Live::default() };
        self.forget_dropped_faults(&script);
        self.start_scripted_payment(&script);
        self.take_scripted_payments(&script);
    }

    fn start_scripted_payment(&mut self, script: &Script) {
        let scripted = script.payment_active;
        if scripted.state == ScriptedState::None {
            return self.finish_payment();
        }
        let until = scripted.for_ms.map(|ms| Instant::now() + std::time::Duration::from_millis(ms));
        self.live.payment = Some(ActivePayment { activity: scripted.state.into(), until });
    }

    fn take_scripted_payments(&mut self, script: &Script) {
        let now = self.now;
        let new = script.payments.iter().any(|p| !self.state.script.payments.contains(&p.id));
        if !new {
            return;
        }
        let taken = self.commit(|state| {
            state.script.payments.retain(|id| script.payments.iter().any(|p| p.id == *id));
            for scripted in &script.payments {
                if state.script.payments.insert(scripted.id.clone()) {
                    admit(state, scripted.payment(now));
                }
            }
            Ok(())
        });
        if let Err(error) = taken {
            tracing::warn!(%error, "scripted payments not taken");
        }
    }

    fn end_hold(&mut self) {
        let Some(hold) = self.live.hold.filter(|hold| hold.until <= Instant::now()) else {
            return;
        };
        // Customers who came during the hold were turned away.
        self.state.payments_until = self.state.payments_until.max(hold.until_wall.min(self.now));
        self.live.hold = None;
    }

    fn end_payment(&mut self) {
        let over = |payment: &ActivePayment| payment.until.is_some_and(|at| at <= Instant::now());
        if self.live.payment.as_ref().is_some_and(over) {
            self.finish_payment();
        }
    }

    /// The active payment ends well and is booked.
    pub(super) fn finish_payment(&mut self) {
        if self.live.payment.take().is_none() {
            return;
        }
        let payment = Payment {
            at: self.now,
            scheme: "visa".to_owned(),
            kind: PaymentKind::Purchase,
            sale: 14_900,
            tip: 0,
            outcome: PaymentOutcome::Approved,
            offline: false,
        };
        let booked = self.commit(|state| {
            admit(state, payment);
            Ok(())
        });
        if let Err(error) = booked {
            tracing::warn!(%error, "payment not booked");
        }
    }

    /// Customers who came since the last access.
    fn trade(&mut self) {
        let script = self.script();
        let from = self.state.payments_until;
        let refused = self.refuses_payments();
        if self.now > from {
            self.state.payments_until = self.now;
            if !refused {
                for payment in day::payments(self.seed, script.payments_per_hour, from, self.now) {
                    admit(&mut self.state, payment);
                }
            }
        }
        if can_forward(&script) {
            let seed = self.seed;
            let due = self.now.unix_ms().saturating_sub(FORWARD_AFTER_MS);
            forward(&mut self.state, seed, Timestamp::from_unix_ms(due));
        }
    }

    /// Whether new payments are refused.
    pub(super) fn refuses_payments(&self) -> bool {
        self.live.hold.is_some() || self.live.closing.is_some() || self.state.lock.is_some()
    }

    /// Refuses a payment while none is taken.
    pub(super) fn check_open(&self) -> Result<(), Failure> {
        if self.state.lock.is_some() {
            return Err(Failure::new(ErrorCode::Locked, "the terminal is locked"));
        }
        if self.refuses_payments() {
            return Err(Failure::new(ErrorCode::BusyOperation, "no payments for the moment"));
        }
        Ok(())
    }

    fn forget_dropped_faults(&mut self, script: &Script) {
        let kept = super::turn::faults(script);
        self.state.script.used.retain(|name, _| kept.contains(name));
    }
}

/// Whether payments that were taken offline can be forwarded now.
pub(super) fn can_forward(script: &Script) -> bool {
    script.offline_forwarding && script.network.is_some()
}

/// Books a payment, or lets the customer go where the terminal cannot take it.
pub(super) fn admit(state: &mut State, payment: Payment) {
    if state.batch.payments.len() >= PAYMENTS_MAX {
        return;
    }
    if !payment.offline {
        return state.batch.payments.push(payment);
    }
    if OfflineLimits::of(&state.settings.config).allow(&payment, state.offline.len()) {
        state.offline.push(payment);
    }
}

/// Forwards payments that were taken offline until `until`, and counts what the host said.
pub(super) fn forward(state: &mut State, seed: u64, until: Timestamp) {
    let due = state.offline.iter().take_while(|payment| payment.at <= until).count();
    let room = PAYMENTS_MAX.saturating_sub(state.batch.payments.len());
    let due: Vec<Payment> = state.offline.drain(..due.min(room)).collect();
    for mut payment in due {
        // One in 25 cards turns out to be blocked.
        let declined = Rng::new(seed, Stream::Forwarding, payment.at.unix_ms()).percent(4);
        if declined {
            payment.outcome = PaymentOutcome::Declined;
            state.batch.offline.declined += 1;
        } else {
            state.batch.offline.forwarded += 1;
        }
        state.batch.payments.push(payment);
    }
}
