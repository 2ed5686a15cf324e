//! From a method and its parameters to the terminal, and back.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use terminal_hal::{
    ErrorCode, OperationKind, Parameters, Timestamp,
    api::{
        Call, CloseState, Firmware, Health, HoldPolicy, InstallOutcome, LockRequest, LogRange,
        Logs, Payments, Power, Screen, SettingsOutcome, UpdateState,
    },
    mock::MockTerminal,
    operation::{CheckUpdateParameters, LockParameters, UnlockParameters},
    vendor::wire::{
        About, ActivityResult, ApplySettingsParams, ApplySettingsResult, Bare, BootResult,
        CheckParams, CloseStateResult, Empty, HoldParams, InstallResult, LogPage, OperationContext,
        ReadLogs, ReadLogsParams, RpcError, SetLockedParams, ShowMessage, UpdateStateResult,
        VersionsResult, method, rpc,
    },
};

/// A page ends above this, so that it fits into a message.
const PAGE_BYTES_MAX: usize = 128 << 10;

/// Carries a request out.
pub(crate) async fn answer(
    terminal: &MockTerminal,
    method: &str,
    params: Value,
    call: &Call,
) -> Result<Value, RpcError> {
    check_capability(terminal, method)?;
    match method {
        method::ACTIVITY => {
            let activity = terminal.activity().await?;
            Ok(write(&ActivityResult { activity }))
        }
        method::HOLD => hold(terminal, params, call).await,
        method::RELEASE => {
            let About { operation_id } = read(params)?;
            terminal.release_payments(operation_id).await?;
            Ok(write(&Empty {}))
        }
        method::CLOSE => match parameters(OperationKind::EndOfDay, &params)? {
            Parameters::EndOfDay(parameters) => {
                Ok(write(&terminal.close_batch(call, &parameters).await?))
            }
            _ => Err(RpcError::new(rpc::INTERNAL_ERROR, "parameters of another kind")),
        },
        method::QUERY_CLOSE => {
            let About { operation_id } = read(params)?;
            Ok(write(&close_state(terminal.query_close(operation_id).await?)))
        }
        method::SET_LOCKED => set_locked(terminal, params, call).await,
        method::APPLY_SETTINGS => apply_settings(terminal, params, call).await,
        method::OPEN_MENU => match parameters(OperationKind::OpenMenu, &params)? {
            Parameters::OpenMenu(parameters) => {
                Ok(write(&terminal.open_menu(call, &parameters).await?))
            }
            _ => Err(RpcError::new(rpc::INTERNAL_ERROR, "parameters of another kind")),
        },
        method::SHOW_MESSAGE => {
            let ShowMessage { message } = read(params)?;
            terminal.show_message(message.as_deref()).await?;
            Ok(write(&Empty {}))
        }
        method::READ_LOGS => {
            let params: ReadLogsParams = read(params)?;
            Ok(write(&page(terminal, &params.parameters, call).await?))
        }
        _ => firmware_power_health(terminal, method, params, call).await,
    }
}

async fn firmware_power_health(
    terminal: &MockTerminal,
    method: &str,
    params: Value,
    call: &Call,
) -> Result<Value, RpcError> {
    match method {
        method::VERSIONS => Ok(write(&VersionsResult { components: terminal.versions().await? })),
        method::CHECK => {
            let params: CheckParams = read(params)?;
            let (channel, components) = (params.parameters.channel, params.parameters.components);
            let parameters = CheckUpdateParameters { channel, components };
            Ok(write(&terminal.check(call, &parameters).await?))
        }
        method::INSTALL => match parameters(OperationKind::Update, &params)? {
            Parameters::Update(parameters) => {
                Ok(write(&installed(terminal.install(call, &parameters).await?)))
            }
            _ => Err(RpcError::new(rpc::INTERNAL_ERROR, "parameters of another kind")),
        },
        method::QUERY_UPDATE => {
            let About { operation_id } = read(params)?;
            Ok(write(&update_state(terminal.query_update(operation_id).await?)))
        }
        method::BOOT => {
            let (boot_id, reset_cause) = (terminal.boot_id().await?, terminal.reset_cause().await?);
            Ok(write(&BootResult { boot_id, reset_cause }))
        }
        method::REBOOT => {
            let _: Bare = read(params)?;
            terminal.reboot(call).await?;
            Ok(write(&Empty {}))
        }
        method::RESTART_APPLICATION => {
            let _: Bare = read(params)?;
            terminal.restart_application(call).await?;
            Ok(write(&Empty {}))
        }
        method::HEALTH => Ok(write(&terminal.health().await?)),
        _ => Err(RpcError::new(rpc::METHOD_NOT_FOUND, format!("there is no {method:?}"))),
    }
}

/// What is not offered is not known.
fn check_capability(terminal: &MockTerminal, method: &str) -> Result<(), RpcError> {
    let capability = method.split_once('.').map_or(method, |(capability, _)| capability);
    let script = terminal.script();
    let offered = script.capabilities.iter().any(|offered| write(offered) == capability);
    if offered {
        return Ok(());
    }
    Err(RpcError::new(rpc::METHOD_NOT_FOUND, format!("there is no {method:?}")))
}

async fn hold(terminal: &MockTerminal, params: Value, call: &Call) -> Result<Value, RpcError> {
    let HoldParams { parameters: hold, .. } = read(params)?;
    let policy = HoldPolicy {
        lease: Duration::from_millis(hold.lease_ms),
        if_payment_active: hold.if_payment_active,
        wait_max: Duration::from_millis(hold.wait_max_ms),
    };
    terminal.hold_payments(call, &policy).await?;
    Ok(write(&Empty {}))
}

async fn set_locked(
    terminal: &MockTerminal,
    params: Value,
    call: &Call,
) -> Result<Value, RpcError> {
    let SetLockedParams { parameters: lock, .. } = read(params)?;
    let request = if lock.locked {
        LockRequest::Lock(LockParameters {
            reason: lock.reason,
            message: lock.message,
            finish_active_payment: lock.finish_active_payment,
            clear_on_reboot: lock.clear_on_reboot,
        })
    } else {
        LockRequest::Unlock(UnlockParameters { reason: lock.reason })
    };
    Ok(write(&terminal.set_locked(call, &request).await?))
}

async fn apply_settings(
    terminal: &MockTerminal,
    params: Value,
    call: &Call,
) -> Result<Value, RpcError> {
    let ApplySettingsParams { parameters: settings, .. } = read(params)?;
    let outcome = terminal.apply_settings(call, settings.revision, &settings.config).await?;
    Ok(write(&match outcome {
        SettingsOutcome::Applied(result) => ApplySettingsResult {
            status: "applied".to_owned(),
            result: Some(result),
            problems: Vec::new(),
        },
        SettingsOutcome::Rejected(problems) => {
            ApplySettingsResult { status: "rejected".to_owned(), result: None, problems }
        }
    }))
}

/// The cursor is the time of the last line and how many lines of that time have been read: the same
/// range gives the same lines.
async fn page(
    terminal: &MockTerminal,
    wanted: &ReadLogs,
    call: &Call,
) -> Result<LogPage, RpcError> {
    let (from, skip) = match &wanted.cursor {
        None => (wanted.from, 0),
        Some(cursor) => position(cursor).ok_or_else(|| invalid("parameters.cursor: not mine"))?,
    };
    let range = LogRange {
        from,
        to: wanted.to,
        components: wanted.components.clone(),
        min_level: wanted.min_level,
    };
    let mut stream = match terminal.collect(call, &range).await {
        Ok(stream) => stream,
        Err(failure) if failure.code == ErrorCode::LogRangeEmpty => {
            return Ok(LogPage { lines: Vec::new(), cursor: None });
        }
        Err(failure) => return Err(failure.into()),
    };
    let (mut lines, mut bytes) = (Vec::new(), 0);
    let (mut time, mut of_that_time) = (from, 0);
    while let Some(line) = stream.recv().await {
        let line = line?;
        let order = if line.time == time { of_that_time + 1 } else { 1 };
        if line.time == from && order <= skip {
            of_that_time = order;
            continue;
        }
        bytes += line.message.len() + line.component.len() + 100;
        if lines.len() >= wanted.lines_max || bytes > PAGE_BYTES_MAX {
            let cursor = format!("{}.{of_that_time}", time.unix_ms());
            return Ok(LogPage { cursor: Some(cursor), lines });
        }
        (time, of_that_time) = (line.time, order);
        lines.push(line);
    }
    Ok(LogPage { lines, cursor: None })
}

fn position(cursor: &str) -> Option<(Timestamp, u32)> {
    let (ms, skip) = cursor.split_once('.')?;
    Some((Timestamp::from_unix_ms(ms.parse().ok()?), skip.parse().ok()?))
}

fn close_state(state: CloseState) -> CloseStateResult {
    let (state, result, failure) = match state {
        CloseState::NotStarted => ("not_started", None, None),
        CloseState::Running => ("running", None, None),
        CloseState::Finished(result) => ("finished", Some(*result), None),
        CloseState::Failed(failure) => ("failed", None, Some(failure.into())),
        CloseState::Unknown => ("unknown", None, None),
    };
    CloseStateResult { state: state.to_owned(), result, failure }
}

fn update_state(state: UpdateState) -> UpdateStateResult {
    let (state, result, failure) = match state {
        UpdateState::NotStarted => ("not_started", None, None),
        UpdateState::Running => ("running", None, None),
        UpdateState::RestartRequired => ("restart_required", None, None),
        UpdateState::Committed(result) => ("committed", Some(result), None),
        UpdateState::Failed(failure) => ("failed", None, Some(failure.into())),
        UpdateState::Unknown => ("unknown", None, None),
    };
    UpdateStateResult { state: state.to_owned(), result, failure }
}

fn installed(outcome: InstallOutcome) -> InstallResult {
    let (outcome, result) = match outcome {
        InstallOutcome::RestartRequired => ("restart_required", None),
        InstallOutcome::AlreadyRunning(result) => ("already_running", Some(result)),
    };
    InstallResult { outcome: outcome.to_owned(), result }
}

/// Reads parameters, naming what is wrong with them.
pub(crate) fn read<T: DeserializeOwned>(params: Value) -> Result<T, RpcError> {
    serde_json::from_value(params).map_err(|error| invalid(&error.to_string()))
}

/// The parameters of an operation, and that there is an operation.
fn parameters(kind: OperationKind, params: &Value) -> Result<Parameters, RpcError> {
    let _: OperationContext = read(params.clone())?;
    let empty = json!({});
    let parameters = params.get("parameters").unwrap_or(&empty);
    let Some(parameters) = parameters.as_object() else {
        return Err(invalid("parameters: want an object"));
    };
    Parameters::parse(kind, parameters).map_err(|error| invalid(&error.to_string()))
}

fn invalid(problem: &str) -> RpcError {
    RpcError::new(rpc::INVALID_PARAMS, problem)
}

pub(crate) fn write(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_crosses_the_socket_whole() {
        let failure = terminal_hal::Failure::new(ErrorCode::BusyPayment, "a payment")
            .with_retry_after_s(7)
            .with_side_effects(terminal_hal::SideEffects::Partial);
        let error = write(&RpcError::from(failure));
        assert_eq!(error["code"], rpc::OPERATION_FAILED);
        assert_eq!(error["data"]["code"], "BUSY_PAYMENT");
        assert_eq!(error["data"]["retry_after_s"], 7);
        assert_eq!(error["data"]["side_effects"], "partial");
        assert_eq!(error["message"], "a payment");
    }
}
