//! Restarts: payments are held first, where there is still somebody to hold them.

use std::time::Duration;

use terminal_core::engine::{CallOutcome, RestartOrder};
use terminal_hal::{
    ErrorCode, Failure, OperationResult,
    api::{Call, Hal, HoldPolicy, Payments, Power},
    operation::{
        RebootResult,
        reboot::{BootReason, RebootScope},
    },
};

use super::{
    Hardware,
    hang::{Held, take_unless_hung},
    hold,
    operations::missing,
};

/// Naming its instance may take the payment application this long.
const INSTANCE_TIME_MAX: Duration = Duration::from_secs(5);

/// Payments are held off and stay so: what comes next is the restart.
pub(super) async fn ready_to_restart(hal: &Hal, call: &Call, policy: HoldPolicy) -> CallOutcome {
    let Some(payments) = hal.payments.as_deref() else {
        return CallOutcome::ReadyToRestart { instance: None, application_hangs: false };
    };
    let held = match take_unless_hung(payments, call, &policy).await {
        Ok(held) => held,
        Err(failure) => return CallOutcome::Failed(failure),
    };
    let instance = tokio::time::timeout(INSTANCE_TIME_MAX, payments.instance()).await;
    if call.cancellation.is_cancelled() {
        hold::release(payments, call.id).await;
        return CallOutcome::Failed(withdrawn());
    }
    CallOutcome::ReadyToRestart {
        instance: instance.ok().and_then(Result::ok),
        application_hangs: held == Held::ByNobody,
    }
}

/// Makes the restart that has been journalled. `None` once a device restart is in motion: this
/// boot has nothing more to say about it.
pub(super) async fn restart(
    hardware: &Hardware,
    call: &Call,
    order: &RestartOrder,
) -> Option<CallOutcome> {
    let answer = match hardware.hal.payments.as_deref() {
        Some(payments) => restart_holding(payments, hardware, call, order).await,
        None => restart_after_delay(hardware, call, order).await,
    };
    match answer {
        Ok(None) => None,
        Ok(Some(result)) => Some(CallOutcome::Completed(Box::new(OperationResult::Reboot(result)))),
        Err(failure) => Some(CallOutcome::Failed(failure)),
    }
}

/// The hold is there already, unless the process has died in between. It is not given back before
/// a device restart: it ends with the boot.
async fn restart_holding(
    payments: &dyn Payments,
    hardware: &Hardware,
    call: &Call,
    order: &RestartOrder,
) -> Result<Option<RebootResult>, Failure> {
    let policy = hold::policy(order.policy, call.time_left);
    let held = if order.application_hangs {
        Held::ByNobody
    } else {
        take_unless_hung(payments, call, &policy).await?
    };
    let answer = match held {
        Held::ByApplication => {
            hold::extending(payments, call, restart_after_delay(hardware, call, order)).await
        }
        // It may come back at any time and take a payment: nothing is waited for.
        Held::ByNobody if call.cancellation.is_cancelled() => Err(withdrawn()),
        Held::ByNobody => restart_now(hardware, call, order).await,
    };
    if !matches!(answer, Ok(None)) {
        hold::release(payments, call.id).await;
    }
    answer
}

async fn restart_after_delay(
    hardware: &Hardware,
    call: &Call,
    order: &RestartOrder,
) -> Result<Option<RebootResult>, Failure> {
    let delay = Duration::from_secs(order.parameters.delay_s.into());
    tokio::select! {
        () = tokio::time::sleep(delay) => restart_now(hardware, call, order).await,
        () = call.cancellation.cancelled() => Err(withdrawn()),
    }
}

async fn restart_now(
    hardware: &Hardware,
    call: &Call,
    order: &RestartOrder,
) -> Result<Option<RebootResult>, Failure> {
    let power = power(hardware)?;
    match order.parameters.scope {
        RebootScope::Device => power.reboot(call).await.map(|()| None),
        RebootScope::Application => {
            let boot_id = power.boot_id().await?;
            power.restart_application(call).await?;
            Ok(Some(RebootResult {
                scope: RebootScope::Application,
                boot_id_before: boot_id,
                boot_id_after: boot_id,
                boot_reason: BootReason::Requested,
            }))
        }
    }
}

fn withdrawn() -> Failure {
    Failure::new(ErrorCode::Canceled, "withdrawn before the restart")
}

fn power(hardware: &Hardware) -> Result<&dyn Power, Failure> {
    hardware.hal.power.as_deref().ok_or_else(|| missing("power control"))
}
