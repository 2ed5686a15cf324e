//! The simulated terminal passes what every backend must pass, and a broken one does not.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

use std::sync::Arc;

use terminal_hal::{
    Timestamp,
    api::Hal,
    conformance::{Check, CheckOutcome, Circumstances, run, table},
    mock::{MockConfig, MockTerminal, script::Script, tokio_clock},
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
    let checks = checks(&mock("{}").hal()).await;
    let passed = count(&checks, |outcome| *outcome == CheckOutcome::Passed);
    assert_eq!(passed, checks.len(), "{}", table(&checks));
    assert!(passed >= 27, "{}", table(&checks));
}

#[tokio::test(start_paused = true)]
async fn what_a_backend_does_not_have_is_said_and_not_held_against_it() {
    let checks = checks(&mock(r#"{"capabilities":["payments"]}"#).hal()).await;
    assert_eq!(count(&checks, |o| matches!(o, CheckOutcome::Failed(_))), 0, "{}", table(&checks));
    assert_eq!(count(&checks, |o| matches!(o, CheckOutcome::Skipped(_))), 5);
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
