//! How each kind runs on the hardware.

use std::time::Duration;

use terminal_core::engine::{CallOutcome, RestartOrder, StartOrder};
use terminal_hal::{
    ErrorCode, Failure, OperationResult, Parameters,
    api::{Call, Hal, HoldPolicy, Payments, Power, SettingsOutcome},
    operation::{
        ConfigureParameters, ConfigureResult, EndOfDayParameters, EndOfDayResult, RebootResult,
        SendLogsParameters, SendLogsResult,
        end_of_day::CloseMode,
        reboot::{BootReason, RebootScope},
    },
};

use super::{Hardware, hold, lock, read_health, update};
use crate::{shell::clock, sys, uploads};

/// Naming its instance may take the payment application this long.
const INSTANCE_TIME_MAX: Duration = Duration::from_secs(5);

/// Runs an order to its end.
pub(super) async fn run(hardware: &Hardware, call: &Call, order: &StartOrder) -> CallOutcome {
    let policy = hold::policy(order.policy, call.time_left);
    let result = match &order.parameters {
        Parameters::EndOfDay(parameters) => {
            end_of_day(hardware, call, policy, parameters).await.map(OperationResult::EndOfDay)
        }
        Parameters::SendLogs(parameters) => {
            send_logs(hardware, call, parameters).await.map(OperationResult::SendLogs)
        }
        Parameters::CheckUpdate(parameters) => match &hardware.hal.firmware {
            Some(firmware) => {
                firmware.check(call, parameters).await.map(OperationResult::CheckUpdate)
            }
            None => Err(missing("firmware")),
        },
        Parameters::OpenMenu(parameters) => match &hardware.hal.screen {
            Some(screen) => {
                let opening = screen.open_menu(call, parameters);
                without_payments(hardware, call, policy, opening)
                    .await
                    .map(OperationResult::OpenMenu)
            }
            None => Err(missing("screen")),
        },
        Parameters::Reboot(_) => return ready_to_restart(&hardware.hal, call, policy).await,
        Parameters::Update(parameters) => {
            let trusted = sys::clock_is_synchronised();
            return update::run(&hardware.hal, call, policy, parameters, trusted).await;
        }
        Parameters::Lock(parameters) => match payments(hardware) {
            Ok(payments) => lock::lock(payments, &hardware.lock, call, order.policy, parameters)
                .await
                .map(OperationResult::Lock),
            Err(failure) => Err(failure),
        },
        Parameters::Unlock(parameters) => match payments(hardware) {
            Ok(payments) => lock::unlock(payments, &hardware.lock, call, parameters)
                .await
                .map(OperationResult::Unlock),
            Err(failure) => Err(failure),
        },
        Parameters::Configure(parameters) => {
            configure(hardware, call, parameters).await.map(OperationResult::Configure)
        }
    };
    outcome(result)
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
        None => restart_now(hardware, call, order).await,
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
    hold::take(payments, call, &hold::policy(order.policy, call.time_left)).await?;
    let answer = hold::extending(payments, call, restart_now(hardware, call, order)).await;
    if !matches!(answer, Ok(None)) {
        hold::release(payments, call.id).await;
    }
    answer
}

async fn restart_now(
    hardware: &Hardware,
    call: &Call,
    order: &RestartOrder,
) -> Result<Option<RebootResult>, Failure> {
    let power = power(hardware)?;
    let delay = Duration::from_secs(order.parameters.delay_s.into());
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = call.cancellation.cancelled() => {
            return Err(Failure::new(ErrorCode::Canceled, "withdrawn before the restart"));
        }
    }
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

async fn end_of_day(
    hardware: &Hardware,
    call: &Call,
    policy: HoldPolicy,
    parameters: &EndOfDayParameters,
) -> Result<EndOfDayResult, Failure> {
    let payments = payments(hardware)?;
    let closing = payments.close_batch(call, parameters);
    match parameters.mode {
        CloseMode::Close => hold::holding(payments, call, policy, closing).await,
        // Reading totals disturbs nobody.
        CloseMode::Report | CloseMode::Previous => closing.await,
    }
}

async fn send_logs(
    hardware: &Hardware,
    call: &Call,
    parameters: &SendLogsParameters,
) -> Result<SendLogsResult, Failure> {
    let logs = hardware.hal.logs.as_deref().ok_or_else(|| missing("log source"))?;
    if !parameters.allow_metered && on_metered_network(hardware).await {
        let reason = "the network is metered and allow_metered is false";
        return Err(Failure::new(ErrorCode::NetworkUnavailable, reason));
    }
    let Hardware { uploads, upload_limits: limits, .. } = hardware;
    uploads::send_logs(call, parameters, logs, uploads, clock::wall(), limits).await
}

/// Unknown counts as not metered.
async fn on_metered_network(hardware: &Hardware) -> bool {
    read_health(&hardware.hal).await.network.is_some_and(|network| network.metered)
}

/// Payments are held off and stay so: what comes next is the restart.
pub(super) async fn ready_to_restart(hal: &Hal, call: &Call, policy: HoldPolicy) -> CallOutcome {
    let Some(payments) = &hal.payments else {
        return CallOutcome::ReadyToRestart { instance: None };
    };
    if let Err(failure) = hold::take(payments.as_ref(), call, &policy).await {
        return CallOutcome::Failed(failure);
    }
    let instance = tokio::time::timeout(INSTANCE_TIME_MAX, payments.instance()).await;
    if call.cancellation.is_cancelled() {
        hold::release(payments.as_ref(), call.id).await;
        return CallOutcome::Failed(Failure::new(
            ErrorCode::Canceled,
            "withdrawn before the restart",
        ));
    }
    CallOutcome::ReadyToRestart { instance: instance.ok().and_then(Result::ok) }
}

async fn configure(
    hardware: &Hardware,
    call: &Call,
    parameters: &ConfigureParameters,
) -> Result<ConfigureResult, Failure> {
    let payments = payments(hardware)?;
    match super::apply_settings(payments, call, parameters.revision, &parameters.config).await? {
        SettingsOutcome::Applied(result) => Ok(result),
        SettingsOutcome::Rejected(problems) => {
            let lines: Vec<_> =
                problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect();
            Err(Failure::new(ErrorCode::InvalidParameters, lines.join("; ")))
        }
    }
}

/// Runs `work` while no payment can start, where the terminal has a payment application.
async fn without_payments<T>(
    hardware: &Hardware,
    call: &Call,
    policy: HoldPolicy,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match &hardware.hal.payments {
        Some(payments) => hold::holding(payments.as_ref(), call, policy, work).await,
        None => work.await,
    }
}

fn outcome(result: Result<OperationResult, Failure>) -> CallOutcome {
    match result {
        Ok(result) => CallOutcome::Completed(Box::new(result)),
        Err(failure) => CallOutcome::Failed(failure),
    }
}

fn payments(hardware: &Hardware) -> Result<&dyn Payments, Failure> {
    hardware.hal.payments.as_deref().ok_or_else(|| missing("payment application"))
}

fn power(hardware: &Hardware) -> Result<&dyn Power, Failure> {
    hardware.hal.power.as_deref().ok_or_else(|| missing("power control"))
}

pub(super) fn missing(what: &str) -> Failure {
    let reason = format!("this terminal has no {what}");
    Failure::new(ErrorCode::UnsupportedOperation, reason)
}
