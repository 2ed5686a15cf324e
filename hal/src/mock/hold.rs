//! Waiting for payments: an atomic hold, and what has to wait for a payment to end.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::{
    MockTerminal,
    script::Method,
    shared::{Hold, Shared},
    turn::{Turn, canceled},
};
use crate::{
    ErrorCode, Failure,
    api::{Call, HoldPolicy, IfPaymentActive, PaymentActivity},
};

/// A changed script file ends a scripted payment: how often it is looked at while waiting.
const SCRIPT_POLL: Duration = Duration::from_millis(100);
/// Longest wait and lease; the protocol allows an hour.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// How a try went.
pub(super) enum Try<T> {
    /// It worked.
    Done(T),
    /// Something is in the way, perhaps until then.
    Busy { why: &'static str, until: Option<Instant> },
    /// Something is in the way, and it shall not be waited for.
    Refused(&'static str),
}

impl MockTerminal {
    pub(super) async fn hold(&self, call: &Call, policy: &HoldPolicy) -> Result<(), Failure> {
        let turn = self.turn(Method::HoldPayments, Some(call));
        turn.before("waiting_for_payment").await?;
        self.wait_until(&turn, policy.wait_max, |shared| try_hold(shared, call, policy)).await?;
        turn.after().await
    }

    /// Tries until it works, at most `wait_max` long.
    pub(super) async fn wait_until<T>(
        &self,
        turn: &Turn,
        wait_max: Duration,
        mut attempt: impl FnMut(&mut Shared) -> Try<T>,
    ) -> Result<T, Failure> {
        let deadline = Instant::now() + wait_max.min(WAIT_MAX);
        loop {
            let changed = self.inner.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let (tried, watched) = {
                let mut shared = self.shared();
                turn.check_alive(&shared)?;
                (attempt(&mut shared), shared.script.is_watched())
            };
            let (why, until) = match tried {
                Try::Done(value) => {
                    self.changed();
                    return Ok(value);
                }
                Try::Refused(why) => return Err(Failure::new(ErrorCode::BusyPayment, why)),
                Try::Busy { why, until } => (why, until),
            };
            if Instant::now() >= deadline {
                return Err(Failure::new(ErrorCode::BusyPayment, why));
            }
            let poll = watched.then(|| Instant::now() + SCRIPT_POLL);
            let wake = [until, poll].into_iter().flatten().fold(deadline, Instant::min);
            tokio::select! {
                () = changed => {}
                () = sleep_until(wake) => {}
                () = turn.cancelled() => return Err(canceled()),
            }
        }
    }
}

fn try_hold(shared: &mut Shared, call: &Call, policy: &HoldPolicy) -> Try<()> {
    let other = shared.live.hold.filter(|hold| hold.id != call.id);
    if let Some(other) = other {
        return busy("another operation holds payments", Some(other.until), policy);
    }
    if shared.live.closing.is_some_and(|id| id != call.id) {
        return busy("the batch is being closed", None, policy);
    }
    match end_payment(shared, policy.if_payment_active) {
        Try::Done(()) => {
            let lease = policy.lease.min(WAIT_MAX);
            let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
            shared.live.hold = Some(Hold {
                id: call.id,
                until: Instant::now() + lease,
                until_wall: shared.now.plus_ms(lease_ms),
            });
            Try::Done(())
        }
        not_yet @ (Try::Busy { .. } | Try::Refused(_)) => not_yet,
    }
}

fn busy(why: &'static str, until: Option<Instant>, policy: &HoldPolicy) -> Try<()> {
    match policy.if_payment_active {
        IfPaymentActive::Reject => Try::Refused(why),
        IfPaymentActive::Wait | IfPaymentActive::Cancel => Try::Busy { why, until },
    }
}

/// Done when no payment is active, or when the active one could be cancelled and was to be.
pub(super) fn end_payment(shared: &mut Shared, policy: IfPaymentActive) -> Try<()> {
    const WHY: &str = "a payment is in progress";
    let Some(payment) = shared.live.payment else { return Try::Done(()) };
    match (policy, payment.activity) {
        (IfPaymentActive::Reject, _) => Try::Refused(WHY),
        (IfPaymentActive::Cancel, PaymentActivity::Cancellable) => {
            shared.live.payment = None;
            Try::Done(())
        }
        (IfPaymentActive::Wait | IfPaymentActive::Cancel, _) => {
            Try::Busy { why: WHY, until: payment.until }
        }
    }
}
