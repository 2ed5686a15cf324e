//! Holding payments off while an operation needs the terminal for itself.

use std::{future::Future, time::Duration};

use terminal_core::protocol::Policy;
use terminal_hal::{
    Failure, OperationId,
    api::{self, Call, HoldPolicy, IfPaymentActive, Payments},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// A hold ends by itself after this: a crash of the agent must not stop the shop.
const LEASE: Duration = Duration::from_secs(60);
/// A hold is extended this often.
const EXTEND_EVERY: Duration = Duration::from_secs(20);
/// Extending or releasing a hold may take this long.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);
/// An extension that is on its way when the work has ended is waited for this long.
const OVERTAKING_TIME_MAX: Duration = Duration::from_millis(500);
/// A hold that should be there still: it waits for nobody, and it never cancels a payment.
pub(super) const EXTENSION: HoldPolicy = HoldPolicy {
    lease: LEASE,
    if_payment_active: IfPaymentActive::Reject,
    wait_max: Duration::ZERO,
};

/// Runs `work` while no payment can start. The hold is given back whatever `work` answers.
pub(super) async fn holding<T>(
    payments: &dyn Payments,
    call: &Call,
    policy: HoldPolicy,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    take(payments, call, &policy).await?;
    let answer = extending(payments, call, work).await;
    release(payments, call.id).await;
    answer
}

/// Takes the hold. One that was refused, or came after the cancellation, is not left behind.
pub(super) async fn take(
    payments: &dyn Payments,
    call: &Call,
    policy: &HoldPolicy,
) -> Result<(), Failure> {
    let taken = payments.hold_payments(call, policy).await;
    if taken.is_err() {
        release(payments, call.id).await;
    }
    taken
}

/// Runs `work` and extends the hold of `call` meanwhile. A payment application that does not
/// answer the one does not hold up the other for long.
pub(super) async fn extending<T>(
    payments: &dyn Payments,
    call: &Call,
    work: impl Future<Output = T>,
) -> T {
    let (done, is_done) = watch::channel(false);
    let work = async {
        let answer = work.await;
        done.send_replace(true);
        answer
    };
    tokio::join!(work, extend_until(is_done, payments, call)).0
}

async fn extend_until(mut is_done: watch::Receiver<bool>, payments: &dyn Payments, call: &Call) {
    while timeout(EXTEND_EVERY, is_done.wait_for(|done| *done)).await.is_err() {
        // It belongs to the hold, not to the call: a cancelled call may still be closing the batch.
        let (extension, _handle) = api::call(call.id, call.attempt, ANSWER_TIME_MAX);
        let extended = payments.hold_payments(&extension, &EXTENSION);
        // One that overtook the release would hold payments until its lease ends.
        let overtaken = async {
            let _ = is_done.wait_for(|done| *done).await;
            sleep(OVERTAKING_TIME_MAX).await;
        };
        tokio::select! {
            extended = timeout(ANSWER_TIME_MAX, extended) => match extended {
                Ok(Ok(())) => {}
                // The operation goes on: the application refuses what must not overlap.
                Ok(Err(failure)) => {
                    tracing::warn!(operation_id = %call.id, %failure, "hold not extended");
                }
                Err(_) => tracing::warn!(operation_id = %call.id, "hold not extended in time"),
            },
            () = overtaken => return,
        }
    }
}

/// Gives the hold of that operation back, if there is one.
pub(super) async fn release(payments: &dyn Payments, id: OperationId) {
    match timeout(ANSWER_TIME_MAX, payments.release_payments(id)).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => {
            tracing::warn!(operation_id = %id, %failure, "hold not released, it ends by itself");
        }
        Err(_) => {
            tracing::warn!(operation_id = %id, "hold not released in time, it ends by itself")
        }
    }
}

/// What the cloud wants to happen to an active payment. The wait ends well before the operation's
/// own deadline, so that it fails as busy, without side effects, and not as something unknown.
pub(super) fn policy(policy: Policy, time_left: Duration) -> HoldPolicy {
    let wait_max = Duration::from_secs(policy.wait_max_s.into());
    HoldPolicy {
        lease: LEASE,
        if_payment_active: policy.if_payment_active,
        wait_max: wait_max.min(time_left * 3 / 4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terminal_hal::{
        Timestamp,
        api::{CallHandle, PaymentActivity},
        mock::{MockConfig, MockTerminal, script::Script, tokio_clock},
    };
    use tokio::time::Instant;
    use uuid::Uuid;

    fn terminal() -> MockTerminal {
        let clock = tokio_clock(Timestamp::parse("2026-06-29T09:00:00Z").unwrap());
        MockTerminal::open(MockConfig { clock, ..MockConfig::default() }).unwrap()
    }

    fn call() -> (Call, CallHandle) {
        api::call(OperationId(Uuid::from_u128(1)), 1, Duration::from_secs(300))
    }

    fn pays(mock: &MockTerminal) -> bool {
        mock.start_payment(PaymentActivity::Cancellable, None).is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_call_keeps_its_hold_until_its_work_has_ended() {
        let mock = terminal();
        let payments = mock.hal().payments.unwrap();
        let (call, handle) = call();
        let work = async {
            handle.cancel();
            sleep(LEASE * 2).await;
            Ok(pays(&mock))
        };
        let policy = policy(Policy::default(), call.time_left);
        let paid_meanwhile = holding(payments.as_ref(), &call, policy, work).await.unwrap();
        assert!(!paid_meanwhile, "a payment began while the work was going on");
        assert!(pays(&mock), "the hold was not given back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_payment_application_that_hangs_does_not_hold_up_what_is_known() {
        let mock = terminal();
        let payments = mock.hal().payments.unwrap();
        let (call, _handle) = call();
        let work = async {
            let hang = r#"{"methods":{"hold_payments":{"hang":{},"ignore_cancel":true}}}"#;
            mock.set_script(Script::parse(hang).unwrap());
            sleep(EXTEND_EVERY + Duration::from_secs(1)).await;
            Ok(7)
        };
        let begun = Instant::now();
        let policy = policy(Policy::default(), call.time_left);
        let answer = holding(payments.as_ref(), &call, policy, work).await;
        assert_eq!(answer, Ok(7));
        assert!(begun.elapsed() <= EXTEND_EVERY + Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_extension_that_is_on_its_way_is_waited_for_before_the_release() {
        const LATENCY: Duration = Duration::from_millis(100);
        let mock = terminal();
        let payments = mock.hal().payments.unwrap();
        let (call, _handle) = call();
        let work = async {
            let slow = r#"{"methods":{"hold_payments":{"latency_ms":100}}}"#;
            mock.set_script(Script::parse(slow).unwrap());
            // It has been sent and is not answered yet.
            sleep(EXTEND_EVERY + LATENCY / 2).await;
            Ok(())
        };
        let begun = Instant::now();
        let policy = policy(Policy::default(), call.time_left);
        holding(payments.as_ref(), &call, policy, work).await.unwrap();
        let elapsed = begun.elapsed();
        assert!(elapsed >= EXTEND_EVERY + LATENCY, "{elapsed:?}");
        assert!(elapsed < EXTEND_EVERY + OVERTAKING_TIME_MAX, "{elapsed:?}");
        assert!(pays(&mock), "payments are held after the release");
    }
}
