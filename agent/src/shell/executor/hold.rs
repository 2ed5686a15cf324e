//! Holding payments off while an operation needs the terminal for itself.

use std::{future::Future, time::Duration};

use terminal_core::protocol::Policy;
use terminal_hal::{
    Failure,
    api::{Call, HoldPolicy, Payments},
};

/// A hold ends by itself after this: a crash of the agent must not stop the shop.
const LEASE: Duration = Duration::from_secs(60);
/// A hold is extended this often.
const EXTEND_EVERY: Duration = Duration::from_secs(20);

/// Runs `work` while no payment can start. The hold is given back whatever `work` answers.
pub(super) async fn holding<T>(
    payments: &dyn Payments,
    call: &Call,
    policy: HoldPolicy,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    payments.hold_payments(call, &policy).await?;
    let answer = extending(payments, call, policy, work).await;
    release(payments, call).await;
    answer
}

/// Runs `work` and extends the hold of `call` meanwhile.
pub(super) async fn extending<T>(
    payments: &dyn Payments,
    call: &Call,
    policy: HoldPolicy,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            answer = &mut work => return answer,
            () = tokio::time::sleep(EXTEND_EVERY) => {
                if let Err(failure) = payments.hold_payments(call, &policy).await {
                    // The operation goes on: the application refuses what must not overlap.
                    tracing::warn!(operation_id = %call.id, %failure, "hold not extended");
                }
            }
        }
    }
}

pub(super) async fn release(payments: &dyn Payments, call: &Call) {
    if let Err(failure) = payments.release_payments(call.id).await {
        tracing::warn!(operation_id = %call.id, %failure, "hold not released, it ends by itself");
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
