//! How an update runs: in its window, after the close that it may want, up to the restart.

use std::time::Instant;

use terminal_core::engine::CallOutcome;
use terminal_hal::{
    ErrorCode, Failure, OperationResult, SideEffects,
    api::{Call, Firmware, Hal, HoldPolicy, InstallOutcome},
    operation::{UpdateParameters, update::Apply},
};

use super::{close_first::close_first, operations::missing, restart::ready_to_restart};

/// Whether somebody vouches for the clock by now is asked again after this.
const CLOCK_ASKED_AGAIN_S: u32 = 300;

/// Installs. `clock_is_trusted` says whether somebody vouches for the system clock.
pub(super) async fn run(
    hal: &Hal,
    call: &Call,
    policy: HoldPolicy,
    parameters: &UpdateParameters,
    clock_is_trusted: bool,
) -> CallOutcome {
    let begun = Instant::now();
    let Some(firmware) = hal.firmware.as_deref() else {
        return CallOutcome::Failed(missing("firmware"));
    };
    let is_timed = parameters.apply == Apply::Window && firmware.window_follows_system_clock();
    if is_timed && !clock_is_trusted {
        tracing::info!(operation_id = %call.id, "the window is held back, the clock is not trusted");
        return CallOutcome::Deferred { retry_after_s: CLOCK_ASKED_AGAIN_S };
    }
    match install(hal, firmware, call, policy, parameters).await {
        Ok(InstallOutcome::AlreadyRunning(result)) => {
            CallOutcome::Completed(Box::new(OperationResult::Update(result)))
        }
        Ok(InstallOutcome::RestartRequired) => {
            let time_left = call.time_left.saturating_sub(begun.elapsed());
            let policy = HoldPolicy { wait_max: policy.wait_max.min(time_left * 3 / 4), ..policy };
            let ready = ready_to_restart(hal, call, policy).await;
            if let CallOutcome::Failed(failure) = ready {
                // The next power cycle starts the new version all the same.
                return CallOutcome::Failed(failure.with_side_effects(SideEffects::Partial));
            }
            ready
        }
        Err(failure) => match (failure.code, failure.retry_after_s, failure.side_effects) {
            // What waits has done nothing: an update that has closed the batch has.
            (ErrorCode::OutsideWindow, Some(retry_after_s), SideEffects::None) => {
                CallOutcome::Deferred { retry_after_s }
            }
            _ => CallOutcome::Failed(failure),
        },
    }
}

async fn install(
    hal: &Hal,
    firmware: &dyn Firmware,
    call: &Call,
    policy: HoldPolicy,
    parameters: &UpdateParameters,
) -> Result<InstallOutcome, Failure> {
    if !parameters.close_batch_first {
        return firmware.install(call, parameters).await;
    }
    let payments = hal.payments.as_deref().ok_or_else(|| missing("payment application"))?;
    let ready = firmware.check_ready(call, parameters);
    if let Some(result) = close_first(payments, ready, call, policy).await? {
        return Ok(InstallOutcome::AlreadyRunning(result));
    }
    firmware.install(call, parameters).await.map_err(|failure| match failure.side_effects {
        // The batch has been closed.
        SideEffects::None => failure.with_side_effects(SideEffects::Partial),
        SideEffects::Partial | SideEffects::Unknown => failure,
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{close_first, hold},
        *,
    };
    use std::time::Duration;
    use terminal_core::protocol::Policy;
    use terminal_hal::{
        OperationId, Timestamp, api,
        mock::{MockConfig, MockTerminal, script::Script, tokio_clock},
    };
    use uuid::Uuid;

    const ID: OperationId = OperationId(Uuid::from_u128(1));

    fn terminal(script: &str) -> MockTerminal {
        let clock = tokio_clock(Timestamp::parse("2026-06-29T09:00:00Z").unwrap());
        let mock = MockTerminal::open(MockConfig { clock, ..MockConfig::default() }).unwrap();
        mock.set_script(Script::parse(script).unwrap());
        mock
    }

    async fn update(mock: &MockTerminal, clock_is_trusted: bool) -> CallOutcome {
        update_to(None, mock, clock_is_trusted).await
    }

    async fn update_to(
        version: Option<&str>,
        mock: &MockTerminal,
        clock_is_trusted: bool,
    ) -> CallOutcome {
        let (call, _handle) = api::call(ID, 1, Duration::from_secs(3600));
        let policy = hold::policy(Policy::default(), call.time_left);
        let version = version.map(str::to_owned);
        let parameters =
            UpdateParameters { version, close_batch_first: true, ..Default::default() };
        run(&mock.hal(), &call, policy, &parameters, clock_is_trusted).await
    }

    fn closes(mock: &MockTerminal) -> u64 {
        let id = close_first::id(ID);
        mock.effects().get(&id).copied().unwrap_or_default().into()
    }

    fn failure(outcome: CallOutcome) -> Failure {
        let CallOutcome::Failed(failure) = outcome else { panic!("{outcome:?}") };
        failure
    }

    #[tokio::test(start_paused = true)]
    async fn the_batch_is_closed_once_the_window_is_open_and_not_before() {
        let mock = terminal(r#"{"window_open":false}"#);
        for _ in 0..2 {
            let outcome = update(&mock, true).await;
            assert_eq!(outcome, CallOutcome::Deferred { retry_after_s: 3600 });
            assert_eq!(closes(&mock), 0);
        }
        mock.set_script(Script::default());
        let outcome = update(&mock, true).await;
        assert!(matches!(outcome, CallOutcome::ReadyToRestart { .. }), "{outcome:?}");
        assert_eq!(closes(&mock), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_batch_is_not_closed_for_an_update_that_is_refused() {
        let mock = terminal(r#"{"battery_level":3,"power":"battery"}"#);
        let failure = failure(update(&mock, true).await);
        assert_eq!(
            (failure.code, failure.side_effects),
            (ErrorCode::LowBattery, SideEffects::None)
        );
        assert_eq!(closes(&mock), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_batch_is_not_closed_for_a_version_that_runs_already_or_that_nobody_offers() {
        let mock = terminal("{}");
        let outcome = update_to(Some("3.14.2"), &mock, true).await;
        let CallOutcome::Completed(result) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(*result, OperationResult::Update(result) if !result.installed));
        let failure = failure(update_to(Some("9.9.9"), &mock, true).await);
        assert_eq!((failure.code, failure.side_effects), (ErrorCode::NoUpdate, SideEffects::None));
        assert_eq!(closes(&mock), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_update_that_has_closed_the_batch_does_not_wait_as_if_nothing_had_happened() {
        let fails = r#"{"methods":{"install_update":{"fail":{"code":"DOWNLOAD_FAILED","failure_reason":"x"}}}}"#;
        let mock = terminal(fails);
        let first = failure(update(&mock, true).await);
        assert_eq!((first.code, closes(&mock)), (ErrorCode::DownloadFailed, 1));
        mock.set_script(Script::parse(r#"{"window_open":false}"#).unwrap());
        let second = failure(update(&mock, true).await);
        assert_eq!(second.code, ErrorCode::OutsideWindow);
        assert_eq!((second.side_effects, closes(&mock)), (SideEffects::Partial, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_window_of_the_system_clock_is_held_back_until_somebody_vouches_for_that_clock() {
        let mock = terminal(r#"{"window_follows_clock":true}"#);
        let outcome = update(&mock, false).await;
        assert_eq!(outcome, CallOutcome::Deferred { retry_after_s: CLOCK_ASKED_AGAIN_S });
        assert_eq!(closes(&mock), 0);
        let outcome = update(&mock, true).await;
        assert!(matches!(outcome, CallOutcome::ReadyToRestart { .. }), "{outcome:?}");
        // Who has a clock of its own is believed.
        let outcome = update(&terminal("{}"), false).await;
        assert!(matches!(outcome, CallOutcome::ReadyToRestart { .. }), "{outcome:?}");
    }
}
