//! Boots and restarts.

use super::*;
use crate::{
    api::{Payments, Power},
    operation::reboot::BootReason,
};

#[tokio::test(start_paused = true)]
async fn a_killed_process_finds_the_same_boot_and_application() {
    let directory = Directory::new();
    let config = kept_in(&directory.state());
    let before = MockTerminal::open(config.clone()).unwrap();
    let after = MockTerminal::open(config).unwrap();
    assert_eq!(before.boot_id().await, after.boot_id().await);
    assert_eq!(before.instance().await, after.instance().await);
}

#[tokio::test(start_paused = true)]
async fn a_reboot_calls_the_hook_and_the_next_opening_is_a_new_boot() {
    let directory = Directory::new();
    let hooked = Arc::new(AtomicU32::new(0));
    let on_reboot = {
        let hooked = Arc::clone(&hooked);
        Arc::new(move || {
            hooked.fetch_add(1, Ordering::Relaxed);
        })
    };
    let config = MockConfig { on_reboot, ..kept_in(&directory.state()) };
    let terminal = MockTerminal::open(config.clone()).unwrap();
    let (boot, instance) = (terminal.boot_id().await, terminal.instance().await);
    let (call, _handle) = call(1);
    terminal.reboot(&call).await.unwrap();
    assert_eq!(hooked.load(Ordering::Relaxed), 1);
    assert_eq!(terminal.boot_id().await, boot, "the old boot runs until the process ends");
    assert_eq!(terminal.state().rebooting, Some(BootReason::Requested));

    let terminal = MockTerminal::open(config.clone()).unwrap();
    assert_ne!(terminal.boot_id().await, boot);
    assert_ne!(terminal.instance().await, instance);
    assert_eq!(terminal.reset_cause().await, Ok(BootReason::Requested));
    let again = MockTerminal::open(config).unwrap();
    assert_eq!(terminal.boot_id().await, again.boot_id().await);
}

#[tokio::test(start_paused = true)]
async fn a_reboot_may_never_happen() {
    let terminal = scripted(r#"{"reboot_never_happens":true}"#);
    let before = terminal.boot_id().await;
    let (call, _handle) = call(1);
    terminal.reboot(&call).await.unwrap();
    terminal.restart().unwrap();
    assert_eq!(terminal.boot_id().await, before);
    assert!(terminal.effects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unexpected_boot_happens_as_often_as_scripted() {
    let directory = Directory::new();
    let config =
        MockConfig { script_file: Some(directory.script()), ..kept_in(&directory.state()) };
    let first = MockTerminal::open(config.clone()).unwrap().current_boot();
    let script = r#"{"unexpected_boot":{"cause":"watchdog","times":1}}"#;
    fs::write(directory.script(), script).unwrap();
    let second = MockTerminal::open(config.clone()).unwrap();
    assert_ne!(second.current_boot(), first);
    assert_eq!(second.reset_cause().await, Ok(BootReason::Watchdog));
    let third = MockTerminal::open(config).unwrap();
    assert_eq!(third.current_boot(), second.current_boot());
}

#[tokio::test(start_paused = true)]
async fn a_power_cut_stops_everything_and_is_a_new_boot() {
    let terminal = terminal();
    let before = terminal.current_boot();
    terminal.power_cut().unwrap();
    let (call, _handle) = call(1);
    assert!(terminal.restart_application(&call).await.is_err());
    terminal.restart().unwrap();
    assert_ne!(terminal.current_boot(), before);
    assert_eq!(terminal.reset_cause().await, Ok(BootReason::Power));
}

#[tokio::test(start_paused = true)]
async fn restarting_the_application_changes_its_instance_and_not_the_boot() {
    let terminal = terminal();
    let (boot, instance) = (terminal.boot_id().await, terminal.instance().await);
    let (call, _handle) = call(1);
    terminal.restart_application(&call).await.unwrap();
    assert_ne!(terminal.instance().await, instance);
    assert_eq!(terminal.boot_id().await, boot);
}

#[tokio::test(start_paused = true)]
async fn a_state_file_of_another_terminal_or_version_is_refused() {
    let directory = Directory::new();
    let config = kept_in(&directory.state());
    MockTerminal::open(config.clone()).unwrap();
    let other = MockConfig { serial_number: "SN-2".into(), ..config.clone() };
    let error = MockTerminal::open(other).unwrap_err().to_string();
    assert!(error.contains("SN-2") && error.contains("state.json"), "{error}");
    let text = fs::read_to_string(directory.state()).unwrap();
    fs::write(directory.state(), text.replace(r#""version":1"#, r#""version":2"#)).unwrap();
    let error = MockTerminal::open(config.clone()).unwrap_err().to_string();
    assert!(error.contains("version 2"), "{error}");
    fs::write(directory.state(), "{").unwrap();
    assert!(MockTerminal::open(config).is_err());
}
