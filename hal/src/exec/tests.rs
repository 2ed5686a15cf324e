//! Programs that answer, fail, hang and say nonsense.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use super::*;
use crate::{
    ErrorCode, Failure, OperationId, SideEffects, Timestamp, api,
    operation::{OpenMenuParameters, OpenMenuResult, open_menu::Menu},
    status::{PowerSource, Printer, TerminalHealth},
};

struct Programs {
    folder: tempfile::TempDir,
    hal: Hal,
}

impl Programs {
    /// A shell script that serves both capabilities.
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        write(&program, script);
        let runner = Runner::open(folder.path().join("children")).unwrap();
        let owner = fs::metadata(&program).unwrap().uid();
        let config = ExecConfig { screen: Some(program.clone()), health: Some(program), owner };
        Self { hal: hal(config, &runner), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn open_menu(&self, time: Duration) -> Result<OpenMenuResult, Failure> {
        let (call, _handle) = api::call(OperationId(uuid::Uuid::from_u128(7)), 2, time);
        let parameters = OpenMenuParameters { menu: Menu::Network, timeout_s: 30 };
        self.hal.screen.as_ref().unwrap().open_menu(&call, &parameters).await
    }

    async fn health(&self) -> Result<TerminalHealth, Failure> {
        self.hal.health.as_ref().unwrap().health().await
    }
}

/// By another process: one that this one has open cannot be started, and a process that another
/// thread is starting has open what this one has.
fn write(program: &Path, script: &str) {
    let script = format!("#!/bin/sh\n{script}\n");
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "printf '%s' \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &script]);
    assert!(shell.arg(program).stdin(Stdio::null()).status().unwrap().success());
}

const PATIENCE: Duration = Duration::from_secs(20);
const OPENED: &str =
    r#"{"result":{"opened_at":"2026-06-29T18:35:00.000Z","shown":true,"newer":1}}"#;

#[tokio::test]
async fn what_a_program_says_of_a_card_is_masked_before_anybody_reads_it() {
    let number = "4111111111111111";
    // In the middle of the number nothing more of standard error is shown.
    let long = format!("{} {number}", "x".repeat(107));
    for script in [
        format!("echo 'read {number}' >&2; exit 1"),
        format!("echo '{long}' >&2; exit 1"),
        format!(r#"echo '{{"result":"{number}"}}'"#),
        format!(r#"echo '{{"error":{{"code":"DEVICE_FAULT","message":"read {number}"}}}}'"#),
    ] {
        let failure = Programs::new(&script).open_menu(PATIENCE).await.unwrap_err();
        let reason = &failure.failure_reason;
        assert!(!reason.contains("4111") && reason.contains("****1111"), "{script}: {reason}");
    }
}

#[tokio::test]
async fn a_menu_is_asked_for_in_json_and_the_answer_read() {
    let programs = Programs::new(&format!("cat >\"${{0%/*}}/asked\"; echo '{OPENED}'"));
    let opened_at = Timestamp::parse("2026-06-29T18:35:00Z").unwrap();
    let opened = programs.open_menu(PATIENCE).await.unwrap();
    assert_eq!(opened, OpenMenuResult { opened_at, shown: true });
    let asked = fs::read_to_string(programs.path("asked")).unwrap();
    let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
    let params = serde_json::json!({
        "operation_id": "00000000-0000-0000-0000-000000000007", "attempt": 2,
        "time_left_ms": 20_000, "parameters": { "menu": "network", "timeout_s": 30 },
    });
    let want = serde_json::json!({ "version": 1, "method": "screen.open_menu", "params": params });
    assert_eq!(asked, want);
    // Of two hundred characters as many are shown as fit.
    let screen = programs.hal.screen.as_ref().unwrap();
    screen.show_message(Some(&"x".repeat(200))).await.unwrap();
    let asked = fs::read_to_string(programs.path("asked")).unwrap();
    let want = r#"{"version":1,"method":"screen.show_message","params":{"message":"#;
    assert_eq!(asked, format!("{want}\"{}\"}}}}", "x".repeat(60)));
    screen.show_message(None).await.unwrap();
    assert!(fs::read_to_string(programs.path("asked")).unwrap().ends_with(r#""message":null}}"#));
}

#[tokio::test]
async fn what_goes_wrong_is_told_with_its_code_and_what_it_may_have_done() {
    use ErrorCode::*;
    use SideEffects::{None, Partial, Unknown};
    let failure = r#"{"error":{"code":"BUSY_PAYMENT","message":"a sale","side_effects":"none"}}"#;
    let unheard = r#"{"error":{"code":"NO_TONER","message":"m","side_effects":"partial"}}"#;
    let both = r#"{"result":{},"error":{"code":"LOCKED","side_effects":"none"}}"#;
    for (script, code, side_effects, reason) in [
        (format!("echo '{failure}'"), BusyPayment, None, "a sale"),
        (format!("echo '{unheard}'"), DeviceFault, Partial, "NO_TONER: m"),
        (format!("echo '{both}'"), DeviceFault, Unknown, "want one of result and error"),
        ("echo '{}'".into(), DeviceFault, Unknown, "want one of result and error"),
        ("echo opened".into(), DeviceFault, Unknown, "unreadably"),
        ("echo '{\"result\":{}}'".into(), DeviceFault, Unknown, "opened_at"),
        ("echo no screen >&2; exit 3".into(), DeviceFault, Unknown, "exit status: 3: no screen"),
        (format!("echo '{OPENED}'; exit 1"), DeviceFault, Unknown, "exit status: 1"),
        ("exit 64".into(), UnsupportedByHardware, None, "does not know screen.open_menu"),
        ("kill -9 $$".into(), DeviceFault, Unknown, "signal: 9"),
        ("head -c 65537 /dev/zero".into(), DeviceFault, Unknown, "more than 65536 bytes"),
    ] {
        let failure = Programs::new(&script).open_menu(PATIENCE).await.unwrap_err();
        assert_eq!((failure.code, failure.side_effects), (code, side_effects), "{script}");
        assert!(failure.failure_reason.contains(reason), "{script}: {failure}");
    }
}

#[tokio::test]
async fn a_program_that_hangs_ends_with_its_call() {
    let programs = Programs::new("exec sleep 600");
    let failure = programs.open_menu(Duration::from_millis(50)).await.unwrap_err();
    let got = (failure.code, failure.side_effects);
    assert_eq!(got, (ErrorCode::HalUnavailable, SideEffects::Unknown));
    let (call, handle) = api::call(OperationId(uuid::Uuid::from_u128(7)), 1, PATIENCE);
    handle.cancel();
    let screen = programs.hal.screen.as_ref().unwrap();
    let failure = screen.open_menu(&call, &OpenMenuParameters::default()).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Canceled);
    // A question has no side effects.
    let failure = programs.health().await.unwrap_err();
    assert_eq!(
        (failure.code, failure.side_effects),
        (ErrorCode::HalUnavailable, SideEffects::None)
    );
}

#[tokio::test]
async fn a_program_that_somebody_else_may_have_changed_is_not_started() {
    let programs = Programs::new(&format!("touch \"${{0%/*}}/ran\"; echo '{OPENED}'"));
    let program = programs.path("program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o775)).unwrap();
    let failure = programs.open_menu(PATIENCE).await.unwrap_err();
    assert_eq!((failure.code, failure.side_effects), (ErrorCode::DeviceFault, SideEffects::None));
    assert!(failure.failure_reason.contains("can be written by others"), "{failure}");
    assert!(!programs.path("ran").exists());
    // It is looked at before every start.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    programs.open_menu(PATIENCE).await.unwrap();
    assert!(programs.path("ran").exists());
}

#[tokio::test]
async fn the_state_is_read_field_by_field_and_within_its_limits() {
    let programs = Programs::new(concat!(
        r#"echo '{"result":{"battery_level":250,"power":"charging","printer":"on_fire","#,
        r#""network":{"type":"wifi","rssi_dbm":-300},"locked":true}}'"#,
    ));
    let health = programs.health().await.unwrap();
    assert_eq!((health.battery_level, health.power), (Some(100), Some(PowerSource::Charging)));
    assert_eq!((health.printer, health.network.unwrap().rssi_dbm), (None, Some(-150)));
    assert!(health.locked && health.storage_free_bytes.is_none());
    write(&programs.path("program"), r#"echo '{"result":{"printer":"no_paper"}}'"#);
    assert_eq!(programs.health().await.unwrap().printer, Some(Printer::NoPaper));
}
