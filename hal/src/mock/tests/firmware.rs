//! Checking for and installing updates.

use super::*;
use crate::{
    ErrorCode, Failure,
    api::{Firmware, InstallOutcome, Power, UpdateState},
    operation::{
        CheckUpdateParameters, UpdateParameters, UpdateResult, check_update::Channel,
        reboot::BootReason, update::Apply,
    },
};

fn now(version: Option<&str>) -> UpdateParameters {
    UpdateParameters {
        version: version.map(str::to_owned),
        apply: Apply::Now,
        ..UpdateParameters::default()
    }
}

async fn install(
    terminal: &MockTerminal,
    parameters: &UpdateParameters,
) -> Result<InstallOutcome, Failure> {
    let (call, _handle) = call(1);
    terminal.install(&call, parameters).await
}

async fn reboot(terminal: &MockTerminal) {
    let (call, _handle) = call(1);
    terminal.reboot(&call).await.unwrap();
    terminal.restart().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_check_lists_what_is_newer_on_the_channel_and_what_stands_in_the_way() {
    let terminal = scripted(r#"{"battery_level":20,"window_open":false}"#);
    let (call, _handle) = call(1);
    let stable = terminal.check(&call, &CheckUpdateParameters::default()).await.unwrap();
    assert!(stable.available && stable.updates.len() == 1);
    assert_eq!(stable.updates[0].version, "3.15.0");
    assert_eq!(stable.updates[0].sha256.len(), 64);
    assert_eq!(stable.blocked_by, [ErrorCode::LowBattery, ErrorCode::OutsideWindow]);
    let beta = CheckUpdateParameters { channel: Channel::Beta, ..Default::default() };
    assert_eq!(terminal.check(&call, &beta).await.unwrap().updates.len(), 2);
    let config = CheckUpdateParameters { components: vec!["config".into()], ..Default::default() };
    let config = terminal.check(&call, &config).await.unwrap();
    assert!(!config.available && config.current.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_update_runs_and_is_kept_after_the_restart() {
    let terminal = scripted(r#"{"methods":{"install_update":{"latency_ms":20000}}}"#);
    let (call, mut handle) = call(1);
    let parameters = now(None);
    let (outcome, phases) = tokio::join!(terminal.install(&call, &parameters), async {
        let mut phases = Vec::new();
        while let Some(progress) = handle.progress.recv().await {
            if phases.last() != Some(&progress.phase) {
                phases.push(progress.phase);
            }
            if progress.percent == Some(100) {
                break;
            }
        }
        phases
    });
    assert_eq!(outcome.unwrap(), InstallOutcome::RestartRequired);
    assert_eq!(phases, ["checking", "downloading", "verifying", "installing"]);
    assert_eq!(terminal.versions().await.unwrap()[0].version, "3.14.2");
    assert_eq!(terminal.query_update(id(1)).await.unwrap(), UpdateState::RestartRequired);
    reboot(&terminal).await;
    assert_eq!(terminal.reset_cause().await.unwrap(), BootReason::Update);
    assert_eq!(terminal.versions().await.unwrap()[0].version, "3.15.0");
    let UpdateState::Committed(result) = terminal.query_update(id(1)).await.unwrap() else {
        panic!("not committed");
    };
    assert_eq!((result.from.as_str(), result.to.as_str()), ("3.14.2", "3.15.0"));
    assert!(result.installed && result.bytes_downloaded > 0);
    assert_eq!(result.slot.as_deref(), Some("b"));
    assert!(result.health_checks.iter().all(|check| check.ok));
    assert_eq!(install(&terminal, &now(None)).await, Ok(InstallOutcome::AlreadyRunning(result)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_health_check_rolls_back_with_one_more_boot() {
    let terminal = scripted(r#"{"health_check":{"passes":false}}"#);
    install(&terminal, &now(None)).await.unwrap();
    reboot(&terminal).await;
    assert_eq!(terminal.versions().await.unwrap()[0].version, "3.14.2");
    let UpdateState::Failed(failure) = terminal.query_update(id(1)).await.unwrap() else {
        panic!("not failed");
    };
    assert_eq!(failure.code, ErrorCode::RolledBack);
    assert_eq!(terminal.state().boot.number, 3);
}

#[tokio::test(start_paused = true)]
async fn a_health_check_takes_its_time() {
    let terminal = scripted(r#"{"health_check":{"for_ms":30000}}"#);
    install(&terminal, &now(None)).await.unwrap();
    reboot(&terminal).await;
    assert_eq!(terminal.query_update(id(1)).await.unwrap(), UpdateState::Running);
    tokio::time::advance(Duration::from_secs(30)).await;
    let state = terminal.query_update(id(1)).await.unwrap();
    assert!(matches!(state, UpdateState::Committed(_)), "{state:?}");
}

#[tokio::test(start_paused = true)]
async fn an_update_is_refused_for_a_reason() {
    let allowed = |version| UpdateParameters { allow_downgrade: true, ..now(Some(version)) };
    let window = UpdateParameters { apply: Apply::Window, ..now(None) };
    let idle = UpdateParameters { apply: Apply::OnIdle, ..now(None) };
    for (script, parameters, code) in [
        (r#"{"battery_level":49}"#, now(None), ErrorCode::LowBattery),
        (r#"{"network":null}"#, now(None), ErrorCode::NetworkUnavailable),
        (
            r#"{"network":{"type":"cellular","metered":true}}"#,
            now(None),
            ErrorCode::NetworkUnavailable,
        ),
        (r#"{"window_open":false}"#, window, ErrorCode::OutsideWindow),
        (r#"{"payment_active":{"state":"committed"}}"#, idle, ErrorCode::BusyPayment),
        ("{}", now(Some("9.9.9")), ErrorCode::NoUpdate),
        ("{}", now(Some("3.14.1")), ErrorCode::DowngradeRefused),
        ("{}", allowed("3.13.0"), ErrorCode::DowngradeRefused),
    ] {
        let terminal = scripted(script);
        let (asked, _handle) = call(2);
        let refused = terminal.check_ready(&asked, &parameters).await;
        let failure = install(&terminal, &parameters).await.unwrap_err();
        assert_eq!(refused, Err(failure.clone()));
        assert_eq!(failure.code, code, "{script}");
        let retry = (code == ErrorCode::OutsideWindow).then_some(3600);
        assert_eq!(failure.retry_after_s, retry);
        assert_eq!(terminal.query_update(id(1)).await.unwrap(), UpdateState::NotStarted);
    }
}

#[tokio::test(start_paused = true)]
async fn asking_whether_an_update_could_begin_begins_none() {
    let terminal = scripted("{}");
    let (call, _handle) = call(1);
    assert_eq!(terminal.check_ready(&call, &now(None)).await, Ok(None));
    let running = terminal.check_ready(&call, &now(Some("3.14.2"))).await.unwrap().unwrap();
    assert_eq!((running.to.as_str(), running.installed), ("3.14.2", false));
    assert_eq!(terminal.query_update(id(1)).await.unwrap(), UpdateState::NotStarted);
    assert!(terminal.state().firmware.download.is_none());
}

#[tokio::test(start_paused = true)]
async fn mains_make_up_for_a_low_battery_and_an_allowed_downgrade_uses_the_other_slot() {
    let terminal = scripted(r#"{"battery_level":5,"power":"mains"}"#);
    let parameters = UpdateParameters { allow_downgrade: true, ..now(Some("3.14.1")) };
    assert_eq!(install(&terminal, &parameters).await, Ok(InstallOutcome::RestartRequired));
    reboot(&terminal).await;
    assert_eq!(terminal.versions().await.unwrap()[0].version, "3.14.1");
}

#[tokio::test(start_paused = true)]
async fn nothing_newer_and_the_running_version_are_no_failures() {
    for parameters in [now(None), now(Some("3.14.2"))] {
        let terminal = scripted(r#"{"updates":[]}"#);
        let Ok(InstallOutcome::AlreadyRunning(UpdateResult { from, to, installed, .. })) =
            install(&terminal, &parameters).await
        else {
            panic!("not running already");
        };
        assert!(from == to && !installed);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_download_goes_on_and_nothing_was_installed() {
    let terminal = scripted(r#"{"methods":{"install_update":{"latency_ms":20000}}}"#);
    let cut = tokio::time::timeout(Duration::from_secs(7), install(&terminal, &now(None))).await;
    assert!(cut.is_err());
    terminal.restart().unwrap();
    assert_eq!(terminal.query_update(id(1)).await.unwrap(), UpdateState::NotStarted);
    assert!(terminal.state().firmware.download.unwrap().bytes > 0);
    install(&terminal, &now(None)).await.unwrap();
    assert_eq!(terminal.state().firmware.installations[0].result.resumes, 1);
    assert_eq!(terminal.effects()[&id(1)], 1);
}
