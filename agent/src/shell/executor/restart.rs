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
use tokio::time::Instant;

use super::{
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
pub(super) async fn restart(hal: &Hal, call: &Call, order: &RestartOrder) -> Option<CallOutcome> {
    let answer = match hal.payments.as_deref() {
        Some(payments) => restart_holding(payments, hal, call, order).await,
        None => restart_unheld(hal, call, order).await,
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
    hal: &Hal,
    call: &Call,
    order: &RestartOrder,
) -> Result<Option<RebootResult>, Failure> {
    let begun = Instant::now();
    let policy = hold::policy(order.policy, call.time_left);
    let held = if order.application_hangs {
        Held::ByNobody
    } else {
        take_unless_hung(payments, call, &policy).await?
    };
    let answer = match held {
        Held::ByApplication => {
            let restarting = async {
                delay(call, order).await?;
                if order.parameters.delay_s > 0 {
                    hold_again(payments, call, begun).await?;
                }
                restart_now(hal, call, order).await
            };
            hold::extending(payments, call, restarting).await
        }
        // It may come back at any time and take a payment: nothing is waited for.
        Held::ByNobody if call.cancellation.is_cancelled() => Err(withdrawn()),
        Held::ByNobody => restart_now(hal, call, order).await,
    };
    if !matches!(answer, Ok(None)) {
        hold::release(payments, call.id).await;
    }
    answer
}

async fn restart_unheld(
    hal: &Hal,
    call: &Call,
    order: &RestartOrder,
) -> Result<Option<RebootResult>, Failure> {
    delay(call, order).await?;
    restart_now(hal, call, order).await
}

async fn delay(call: &Call, order: &RestartOrder) -> Result<(), Failure> {
    let delay = Duration::from_secs(order.parameters.delay_s.into());
    tokio::select! {
        () = tokio::time::sleep(delay) => Ok(()),
        () = call.cancellation.cancelled() => Err(withdrawn()),
    }
}

/// The hold may have ended during the delay, with its lease or with the instance of the payment
/// application, and a payment may have begun. `begun` is when the call began.
async fn hold_again(payments: &dyn Payments, call: &Call, begun: Instant) -> Result<(), Failure> {
    let mut call = call.clone();
    call.time_left = call.time_left.saturating_sub(begun.elapsed());
    take_unless_hung(payments, &call, &hold::EXTENSION).await?;
    if call.cancellation.is_cancelled() { Err(withdrawn()) } else { Ok(()) }
}

async fn restart_now(
    hal: &Hal,
    call: &Call,
    order: &RestartOrder,
) -> Result<Option<RebootResult>, Failure> {
    let power = power(hal)?;
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

fn power(hal: &Hal) -> Result<&dyn Power, Failure> {
    hal.power.as_deref().ok_or_else(|| missing("power control"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use terminal_core::protocol::Policy;
    use terminal_hal::{
        OperationId, SideEffects, Timestamp,
        api::{self, CallHandle, PaymentActivity},
        mock::{MockConfig, MockTerminal, script::Script, tokio_clock},
        operation::RebootParameters,
    };
    use tokio::time::sleep;
    use uuid::Uuid;

    const ID: OperationId = OperationId(Uuid::from_u128(1));
    const DELAY_S: u32 = 600;
    /// Default of the simulated cloud.
    const DEADLINE: Duration = Duration::from_secs(300);
    const SCOPES: [RebootScope; 2] = [RebootScope::Device, RebootScope::Application];
    const HANGS: &str = r#"{"methods":{
        "hold_payments":{"hang":{},"ignore_cancel":true},"activity":{"hang":{}},
        "reboot":{"ignore_cancel":true}}}"#;

    fn terminal() -> MockTerminal {
        let clock = tokio_clock(Timestamp::parse("2026-06-29T09:00:00Z").unwrap());
        MockTerminal::open(MockConfig { clock, ..MockConfig::default() }).unwrap()
    }

    /// Restarts after the delay; half of it is over when `happening` runs.
    async fn restart_during(
        mock: &MockTerminal,
        scope: RebootScope,
        happening: impl AsyncFnOnce(&CallHandle),
    ) -> Option<CallOutcome> {
        let time_left = DEADLINE + Duration::from_secs(DELAY_S.into());
        let (call, handle) = api::call(ID, 1, time_left);
        let order = RestartOrder {
            id: ID,
            attempt: 1,
            parameters: RebootParameters { scope, delay_s: DELAY_S, reason: None },
            policy: Policy::default(),
            time_left_ms: u64::try_from(time_left.as_millis()).unwrap(),
            application_hangs: false,
        };
        let happening = async {
            sleep(Duration::from_secs(u64::from(DELAY_S) / 2)).await;
            happening(&handle).await;
        };
        let hal = mock.hal();
        let restarted = tokio::time::timeout(time_left, restart(&hal, &call, &order));
        tokio::join!(restarted, happening).0.expect("outlived its deadline")
    }

    /// A hold ends with the instance of the application.
    async fn application_restarts(mock: &MockTerminal) {
        let (call, _handle) = api::call(OperationId(Uuid::from_u128(2)), 1, DEADLINE);
        mock.restart_application(&call).await.unwrap();
    }

    fn restarts(mock: &MockTerminal) -> u32 {
        mock.effects().get(&ID).copied().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn a_payment_that_has_begun_during_the_delay_is_not_cut_off() {
        for scope in SCOPES {
            let mock = terminal();
            let outcome = restart_during(&mock, scope, async |_| {
                application_restarts(&mock).await;
                mock.start_payment(PaymentActivity::Committed, None).unwrap();
            })
            .await;
            let Some(CallOutcome::Failed(failure)) = outcome else { panic!("{outcome:?}") };
            let want = (ErrorCode::BusyPayment, SideEffects::None);
            assert_eq!((failure.code, failure.side_effects), want, "{scope:?}");
            assert_eq!(restarts(&mock), 0, "{scope:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_hold_without_a_payment_does_not_stop_the_restart() {
        for scope in SCOPES {
            let mock = terminal();
            let outcome =
                restart_during(&mock, scope, async |_| application_restarts(&mock).await).await;
            assert!(!matches!(outcome, Some(CallOutcome::Failed(_))), "{outcome:?}");
            assert_eq!(restarts(&mock), 1, "{scope:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_hangs_since_the_delay_does_not_make_a_restart_impossible() {
        for scope in SCOPES {
            let mock = terminal();
            let outcome = restart_during(&mock, scope, async |_| {
                mock.set_script(Script::parse(HANGS).unwrap());
            })
            .await;
            assert!(!matches!(outcome, Some(CallOutcome::Failed(_))), "{outcome:?}");
            assert_eq!(restarts(&mock), 1, "{scope:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancellation_counts_until_the_hold_has_been_taken_again() {
        let mock = terminal();
        let outcome = restart_during(&mock, RebootScope::Device, async |handle| {
            mock.set_script(Script::parse(HANGS).unwrap());
            // It is being found out that the application hangs.
            sleep(Duration::from_secs(u64::from(DELAY_S) / 2 + 10)).await;
            handle.cancel();
        })
        .await;
        let Some(CallOutcome::Failed(failure)) = outcome else { panic!("{outcome:?}") };
        assert_eq!((failure.code, restarts(&mock)), (ErrorCode::Canceled, 0));
    }
}
