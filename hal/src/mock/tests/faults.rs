//! Latency, failures, hangs and crashes.

use super::*;
use crate::{
    ErrorCode,
    api::{Firmware, Payments, Power, Progress, Screen},
    operation::{CheckUpdateParameters, EndOfDayParameters, OpenMenuParameters},
};

#[tokio::test(start_paused = true)]
async fn latency_takes_its_time_and_reports_progress() {
    let terminal = scripted(r#"{"methods":{"open_menu":{"latency_ms":4000}}}"#);
    let (call, mut handle) = call(1);
    let begin = tokio::time::Instant::now();
    terminal.open_menu(&call, &OpenMenuParameters::default()).await.unwrap();
    assert_eq!(begin.elapsed(), Duration::from_secs(4));
    let first = handle.progress.recv().await.unwrap();
    assert_eq!(first, Progress { phase: "open_menu".into(), percent: Some(12) });
}

#[tokio::test(start_paused = true)]
async fn a_fault_strikes_as_often_as_it_says_and_then_no_more() {
    let terminal = scripted(
        r#"{"methods":{"check_update":{"fail":{"code":"NETWORK_UNAVAILABLE",
            "failure_reason":"no route","retryable":false,"times":2}}}}"#,
    );
    let (call, _handle) = call(1);
    let parameters = CheckUpdateParameters::default();
    for _ in 0..2 {
        let failure = terminal.check(&call, &parameters).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::NetworkUnavailable);
        assert_eq!((failure.failure_reason.as_str(), failure.retryable), ("no route", false));
    }
    assert!(terminal.check(&call, &parameters).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_was_dropped_from_the_script_counts_anew() {
    let script = || {
        Script::parse(
            r#"{"methods":{"instance":{"fail":{"code":"INTERNAL","failure_reason":"x","times":1}}}}"#,
        )
        .unwrap()
    };
    let terminal = terminal();
    for _ in 0..2 {
        terminal.set_script(script());
        assert!(terminal.instance().await.is_err());
        assert!(terminal.instance().await.is_ok());
        // The same fault in a script that changed elsewhere goes on counting.
        terminal.set_script(Script { tampered: true, ..script() });
        assert!(terminal.instance().await.is_ok());
        terminal.set_script(Script::default());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hanging_call_ends_when_it_is_cancelled_unless_it_ignores_that() {
    for (ignore, ends) in [(false, true), (true, false)] {
        let rule = format!(r#"{{"hang":{{}},"ignore_cancel":{ignore}}}"#);
        let terminal = scripted(&format!(r#"{{"methods":{{"open_menu":{rule}}}}}"#));
        let (call, handle) = call(1);
        handle.cancel();
        let parameters = OpenMenuParameters::default();
        let open = terminal.open_menu(&call, &parameters);
        let ended = tokio::time::timeout(Duration::from_secs(3600), open).await;
        assert_eq!(ended.is_ok(), ends);
        assert!(terminal.effects().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_crashed_terminal_has_no_effects_until_it_starts_again_and_crashes_once() {
    let terminal = scripted(r#"{"methods":{"reboot":{"crash":{"times":1}}}}"#);
    let (call, _handle) = call(1);
    let crashed = tokio::time::timeout(Duration::from_secs(9), terminal.reboot(&call)).await;
    assert!(crashed.is_err());
    let menu = terminal.open_menu(&call, &OpenMenuParameters::default()).await;
    assert_eq!(menu.unwrap_err().code, ErrorCode::HalUnavailable);
    terminal.restart().unwrap();
    terminal.reboot(&call).await.unwrap();
    assert_eq!(terminal.effects()[&id(1)], 1);
}

/// Set for the process that is to abort: its directory.
const CHILD: &str = "TERMINAL_MOCK_CHILD";

#[test]
fn a_process_that_really_aborts_has_closed_once_and_does_not_abort_again() {
    let directory = Directory::new();
    fs::write(
        directory.script(),
        r#"{"methods":{"close_batch":{"crash":{"at":"after_effect","times":1}}}}"#,
    )
    .unwrap();
    let run = || {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "mock::tests::faults::closes_in_a_process_of_its_own"])
            .env(CHILD, &directory.0)
            .output()
            .unwrap()
            .status
            .success()
    };
    assert!(!run(), "the first process aborts");
    assert!(run(), "the second one does not");
    let state = MockTerminal::open(kept_in_at_rest(&directory.state())).unwrap().state();
    assert_eq!(state.effects[&id(1)].count, 1);
    assert_eq!(state.closed.last().unwrap().closes, 1);
    assert_eq!(state.closed.last().unwrap().closed_by, Some(id(1)));
}

#[tokio::test]
async fn closes_in_a_process_of_its_own() {
    let Some(directory) = std::env::var_os(CHILD).map(PathBuf::from) else { return };
    let config = MockConfig {
        script_file: Some(directory.join("script.json")),
        ..kept_in_at_rest(&directory.join("state.json"))
    };
    let terminal = MockTerminal::open(config).unwrap();
    let (call, _handle) = call(1);
    terminal.close_batch(&call, &EndOfDayParameters::default()).await.unwrap();
}

/// As the agent's process runs it: a crash aborts.
fn kept_in_at_rest(path: &Path) -> MockConfig {
    MockConfig {
        state_file: Some(path.to_owned()),
        clock: Arc::new(afternoon),
        ..MockConfig::default()
    }
}
