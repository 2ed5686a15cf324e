//! Holding payments.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Checked, Circumstances, PROMPT, Suite, Trouble, holds, refused};
use crate::{
    ErrorCode, OperationId,
    api::{HoldPolicy, IfPaymentActive, PaymentActivity, Payments},
};

const PAYMENTS: &str = "payments";

pub(super) async fn checks(suite: &mut Suite, payments: &dyn Payments, at: &Circumstances) {
    let name = "the instance has a name and keeps it";
    suite.check(PAYMENTS, name, instance(payments)).await;
    let name = "no payment is active";
    suite.check(PAYMENTS, name, idle(payments)).await;
    let name = "a hold is extended by its own operation and refused to another";
    suite.check(PAYMENTS, name, belongs_to_its_operation(payments, at)).await;
    let name = "a hold waits for another one as long as it may, and no longer";
    suite.check(PAYMENTS, name, waits(payments, at)).await;
    let name = "a hold ends by itself with its lease";
    suite.check(PAYMENTS, name, ends_with_its_lease(payments, at)).await;
    let name = "a hold that waits can be cancelled and is then not taken";
    suite.check(PAYMENTS, name, can_be_cancelled(payments, at)).await;
}

pub(super) const fn policy(if_payment_active: IfPaymentActive, wait_max: Duration) -> HoldPolicy {
    HoldPolicy { lease: Duration::from_secs(30), if_payment_active, wait_max }
}

const REJECT: HoldPolicy = policy(IfPaymentActive::Reject, Duration::ZERO);

async fn instance(payments: &dyn Payments) -> Checked {
    let (first, second) = (payments.instance().await?, payments.instance().await?);
    holds(!first.is_empty() && first == second, || format!("{first:?}, then {second:?}"))
}

async fn idle(payments: &dyn Payments) -> Checked {
    match payments.activity().await? {
        PaymentActivity::Idle => Ok(()),
        busy @ (PaymentActivity::Cancellable | PaymentActivity::Committed) => {
            Err(Trouble::Skipped(format!("a payment is {busy:?}: try on a quiet terminal")))
        }
    }
}

async fn take(
    payments: &dyn Payments,
    at: &Circumstances,
    id: OperationId,
    policy: &HoldPolicy,
) -> Result<(), crate::Failure> {
    let (call, _handle) = at.call_of(id);
    payments.hold_payments(&call, policy).await
}

async fn belongs_to_its_operation(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let (holder, other) = (at.operation(), at.operation());
    take(payments, at, holder, &REJECT).await?;
    take(payments, at, holder, &REJECT).await?;
    refused(take(payments, at, other, &REJECT).await, &[ErrorCode::BusyPayment])?;
    // What is not held is not released.
    payments.release_payments(other).await?;
    refused(take(payments, at, other, &REJECT).await, &[ErrorCode::BusyPayment])?;
    payments.release_payments(holder).await?;
    take(payments, at, other, &REJECT).await?;
    payments.release_payments(other).await?;
    // Without a hold there is nothing to release.
    Ok(payments.release_payments(other).await?)
}

async fn waits(payments: &dyn Payments, at: &Circumstances) -> Checked {
    const WAIT: Duration = Duration::from_millis(400);
    let (holder, other) = (at.operation(), at.operation());
    take(payments, at, holder, &REJECT).await?;
    let begun = Instant::now();
    let waited = take(payments, at, other, &policy(IfPaymentActive::Wait, WAIT)).await;
    let elapsed = begun.elapsed();
    refused(waited, &[ErrorCode::BusyPayment])?;
    let least = WAIT * 9 / 10;
    holds((least..WAIT + PROMPT).contains(&elapsed), || format!("waited {elapsed:?}"))?;
    let long = policy(IfPaymentActive::Wait, Duration::from_secs(20));
    let (taken, released) = tokio::join!(take(payments, at, other, &long), async {
        tokio::time::sleep(WAIT).await;
        payments.release_payments(holder).await
    });
    released?;
    taken?;
    Ok(payments.release_payments(other).await?)
}

async fn ends_with_its_lease(payments: &dyn Payments, at: &Circumstances) -> Checked {
    const LEASE: Duration = Duration::from_millis(700);
    let (holder, other) = (at.operation(), at.operation());
    take(payments, at, holder, &HoldPolicy { lease: LEASE, ..REJECT }).await?;
    let begun = Instant::now();
    let long = policy(IfPaymentActive::Wait, Duration::from_secs(20));
    take(payments, at, other, &long).await?;
    let elapsed = begun.elapsed();
    payments.release_payments(other).await?;
    holds(elapsed >= LEASE / 2 && elapsed < LEASE + PROMPT, || format!("ended after {elapsed:?}"))
}

async fn can_be_cancelled(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let (holder, third) = (at.operation(), at.operation());
    take(payments, at, holder, &REJECT).await?;
    let (call, handle) = at.call();
    let long = policy(IfPaymentActive::Wait, Duration::from_secs(50));
    let waiting = async { timeout(PROMPT * 2, payments.hold_payments(&call, &long)).await };
    let (waited, ()) = tokio::join!(waiting, async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        handle.cancel();
    });
    let waited = waited.map_err(|_| Trouble::Failed("it went on waiting".to_owned()))?;
    refused(waited, &[ErrorCode::Canceled])?;
    payments.release_payments(holder).await?;
    take(payments, at, third, &REJECT).await?;
    Ok(payments.release_payments(third).await?)
}
