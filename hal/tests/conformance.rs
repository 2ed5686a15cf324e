//! The simulated terminal passes what every backend must pass, and a broken one does not.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use terminal_hal::{
    BootId, ErrorCode, Failure, OperationId, Timestamp,
    api::{
        Call, Firmware, Hal, HalFuture, Health, InstallOutcome, LogLine, LogRange, LogStream, Logs,
        Power, UpdateState,
    },
    conformance::{Check, CheckOutcome, Circumstances, matrix, run, table},
    mock::{MockConfig, MockTerminal, script::Script, tokio_clock},
    operation::{
        CheckUpdateParameters, CheckUpdateResult, UpdateParameters, UpdateResult,
        check_update::ComponentVersion, reboot::BootReason, send_logs::LogLevel,
    },
    status::{Batch, TerminalHealth},
};
use uuid::Uuid;

fn now() -> Timestamp {
    Timestamp::parse("2026-06-29T14:00:00Z").unwrap()
}

fn mock(script: &str) -> MockTerminal {
    let config = MockConfig {
        clock: tokio_clock(now()),
        on_crash: Arc::new(|| {}),
        ..MockConfig::default()
    };
    let mock = MockTerminal::open(config).unwrap();
    mock.set_script(Script::parse(script).unwrap());
    mock
}

async fn checks(hal: &Hal) -> Vec<Check> {
    run(hal, &Circumstances::new(now(), Uuid::from_u128(7))).await
}

fn count(checks: &[Check], is: impl Fn(&CheckOutcome) -> bool) -> usize {
    checks.iter().filter(|check| is(&check.outcome)).count()
}

#[tokio::test(start_paused = true)]
async fn the_simulated_terminal_has_every_capability_and_passes() {
    let mock = mock("{}");
    let before = mock.state();
    let checks = checks(&mock.hal()).await;
    let passed = count(&checks, |outcome| *outcome == CheckOutcome::Passed);
    assert_eq!(passed, checks.len(), "{}", table(&checks));
    assert!(passed >= 34, "{}", table(&checks));
    // It runs on the machine that it checks.
    let after = mock.state();
    assert_eq!((after.boots, after.rebooting), (before.boots, None));
    assert_eq!(after.application, before.application);
    assert_eq!(after.firmware.installations, before.firmware.installations);
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_does_not_have_is_said_and_not_held_against_it() {
    let checks = checks(&mock(r#"{"capabilities":["payments"]}"#).hal()).await;
    assert_eq!(count(&checks, |o| matches!(o, CheckOutcome::Failed(_))), 0, "{}", table(&checks));
    assert_eq!(count(&checks, |o| *o == CheckOutcome::Absent), 5);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_misbehaves_fails_where_it_does() {
    for (script, name) in [
        (r#"{"query_close_says":"unknown"}"#, "a close that was never asked for"),
        (r#"{"host":"mismatch"}"#, "the same operation closes once"),
        (r#"{"methods":{"hold_payments":{"hang":{},"ignore_cancel":true}}}"#, "a hold that waits"),
        (
            r#"{"methods":{"set_locked":{"fail":{"code":"DEVICE_FAULT","failure_reason":"x"}}}}"#,
            "a lock is set",
        ),
        (
            r#"{"methods":{"collect_logs":{"fail":{"code":"DEVICE_FAULT","failure_reason":"x"}}}}"#,
            "lines are of the range",
        ),
    ] {
        let checks = checks(&mock(script).hal()).await;
        let failed = |check: &&Check| matches!(check.outcome, CheckOutcome::Failed(_));
        let found = checks.iter().filter(failed).any(|check| check.name.starts_with(name));
        assert!(found, "{name}:\n{}", table(&checks));
    }
}

/// A backend that looks like one.
#[derive(Default)]
struct Careless {
    calls: AtomicU64,
}

impl Careless {
    fn calls(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }
}

impl Logs for Careless {
    /// All lines of all components, whatever is asked for, the newest first, without an end.
    fn collect<'a>(&'a self, _call: &'a Call, _range: &'a LogRange) -> HalFuture<'a, LogStream> {
        let (sender, stream) = tokio::sync::mpsc::channel(1);
        let first = self.calls();
        tokio::spawn(async move {
            let line = |number: u64| LogLine {
                time: Timestamp::from_unix_ms(now().unix_ms() - 1_000 - number),
                level: LogLevel::Debug,
                component: format!("c{}", number % 2),
                message: format!("line {}", first + number),
            };
            for number in 0.. {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                if sender.send(Ok(line(number))).await.is_err() {
                    return;
                }
            }
        });
        Box::pin(async { Ok(stream) })
    }
}

impl Firmware for Careless {
    fn versions(&self) -> HalFuture<'_, Vec<ComponentVersion>> {
        let version = format!("1.{}", self.calls());
        let component = terminal_hal::operation::check_update::Component::Firmware;
        Box::pin(async move { Ok(vec![ComponentVersion { component, version }]) })
    }

    fn check<'a>(
        &'a self,
        _call: &'a Call,
        _parameters: &'a CheckUpdateParameters,
    ) -> HalFuture<'a, CheckUpdateResult> {
        Box::pin(async {
            Ok(CheckUpdateResult {
                available: false,
                current: Vec::new(),
                updates: Vec::new(),
                checked_at: now(),
                blocked_by: Vec::new(),
            })
        })
    }

    fn check_ready<'a>(
        &'a self,
        _call: &'a Call,
        _parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, Option<UpdateResult>> {
        Box::pin(async { Err(Failure::new(ErrorCode::OutsideWindow, "some other time")) })
    }

    fn install<'a>(
        &'a self,
        _call: &'a Call,
        _parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, InstallOutcome> {
        Box::pin(async { Ok(InstallOutcome::RestartRequired) })
    }

    fn query_update(&self, _id: OperationId) -> HalFuture<'_, UpdateState> {
        Box::pin(async { Ok(UpdateState::Unknown) })
    }
}

impl Health for Careless {
    fn health(&self) -> HalFuture<'_, TerminalHealth> {
        let battery_level = (self.calls() % 2 == 0).then_some(50);
        let opened_at = now().plus_ms(7 * 24 * 3_600_000);
        let batch = Some(Batch { id: "no batch".to_owned(), opened_at, count: 0 });
        Box::pin(async move { Ok(TerminalHealth { battery_level, batch, ..Default::default() }) })
    }
}

impl Power for Careless {
    fn boot_id(&self) -> HalFuture<'_, BootId> {
        let id = BootId(Uuid::from_u128(self.calls().into()));
        Box::pin(async move { Ok(id) })
    }

    fn reboot<'a>(&'a self, _call: &'a Call) -> HalFuture<'a, ()> {
        panic!("the machine that runs the checks would be gone")
    }

    fn restart_application<'a>(&'a self, _call: &'a Call) -> HalFuture<'a, ()> {
        panic!("nobody asked for that")
    }

    fn reset_cause(&self) -> HalFuture<'_, BootReason> {
        Box::pin(async { Ok(BootReason::Unknown) })
    }
}

#[tokio::test(start_paused = true)]
async fn a_careless_backend_fails_nearly_everything() {
    let careless = Arc::new(Careless::default());
    let hal = Hal {
        payments: mock("{}").hal().payments,
        logs: Some(careless.clone()),
        firmware: Some(careless.clone()),
        power: Some(careless.clone()),
        health: Some(careless),
        screen: None,
    };
    let checks = checks(&hal).await;
    let of_careless = checks.iter().filter(|check| check.capability != "payments");
    let not_failed: Vec<&str> = of_careless
        .filter(|check| !matches!(check.outcome, CheckOutcome::Failed(_)))
        .map(|check| check.name)
        .collect();
    let harmless =
        ["everything", "what runs has a version", "the state of the terminal is within its limits"];
    assert_eq!(not_failed, harmless, "{}", table(&checks));
}

#[tokio::test(start_paused = true)]
async fn a_table_says_which_backend_has_what() {
    let whole = checks(&mock("{}").hal()).await;
    let few = checks(&mock(r#"{"capabilities":["power"]}"#).hal()).await;
    let matrix = matrix(&[("mock", &whole), ("linux", &few)]);
    let line = |name: &str| matrix.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(matrix.starts_with("                   mock        linux\n"), "{matrix}");
    assert_eq!(line("power"), "power            2 of 2       2 of 2", "{matrix}");
    assert!(line("payments").ends_with(" -"), "{matrix}");
}
