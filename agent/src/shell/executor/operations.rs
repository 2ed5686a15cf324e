//! How each kind runs on the hardware.

use terminal_core::engine::{CallOutcome, StartOrder};
use terminal_hal::{
    ErrorCode, Failure, OperationResult, Parameters,
    api::{Call, HoldPolicy, Payments, SettingsOutcome},
    operation::{
        ConfigureParameters, ConfigureResult, EndOfDayParameters, EndOfDayResult,
        SendLogsParameters, SendLogsResult, end_of_day::CloseMode,
    },
};

use super::{Hardware, hold, lock, read_health, restart::ready_to_restart, update};
use crate::{shell::clock, sys, uploads};

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

pub(super) fn missing(what: &str) -> Failure {
    let reason = format!("this terminal has no {what}");
    Failure::new(ErrorCode::UnsupportedOperation, reason)
}
