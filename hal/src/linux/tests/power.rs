//! Restarts: what the service manager is told, and what its answers mean.

use std::time::Duration;

use super::*;
use crate::{
    ErrorCode, Failure, OperationId, SideEffects,
    api::{Power, call},
};

/// Writes down what it is told; says another invocation after every restart.
const SYSTEMCTL: &str = r#"cd "${0%/*}"; echo "$*" >>told
case "$2" in
    show) cat starts 2>/dev/null || echo none ;;
    restart) echo x >>starts ;;
esac"#;

fn power(system: &System) -> Arc<dyn Power> {
    system.hal().power.unwrap()
}

async fn reboot(system: &System) -> Result<(), Failure> {
    let (call, _handle) = call(OperationId(uuid::Uuid::nil()), 1, Duration::from_secs(20));
    power(system).reboot(&call).await
}

async fn restart(system: &System) -> Result<(), Failure> {
    let (call, _handle) = call(OperationId(uuid::Uuid::nil()), 1, Duration::from_secs(20));
    power(system).restart_application(&call).await
}

#[tokio::test]
async fn the_boot_has_the_kernels_id_or_the_agent_does_not_guess() {
    let system = System::new();
    assert_eq!(power(&system).boot_id().await.unwrap().to_string(), BOOT_1);
    system.boots_as("not an id");
    assert_eq!(power(&system).boot_id().await.unwrap_err().code, ErrorCode::DeviceFault);
}

#[tokio::test]
async fn a_reboot_is_ordered_from_the_service_manager() {
    let system = System::new();
    system.program("systemctl", SYSTEMCTL);
    reboot(&system).await.unwrap();
    assert_eq!(read(&system.path("told")), "--no-ask-password reboot\n");
}

#[tokio::test]
async fn a_reboot_that_is_refused_fails_with_what_was_said() {
    let system = System::new();
    let failure = reboot(&system).await.unwrap_err();
    assert_eq!((failure.code, failure.side_effects), (ErrorCode::DeviceFault, SideEffects::None));
    assert!(failure.failure_reason.contains("cannot start"), "{failure}");
    system.program("systemctl", "echo Access denied >&2; exit 4");
    let failure = reboot(&system).await.unwrap_err();
    let got = (failure.code, failure.side_effects);
    assert_eq!(got, (ErrorCode::DeviceFault, SideEffects::Unknown));
    assert!(failure.failure_reason.contains("exit status: 4: Access denied"), "{failure}");
}

#[tokio::test]
async fn an_application_has_restarted_when_its_unit_is_another_invocation() {
    let mut system = System::new();
    system.program("systemctl", SYSTEMCTL);
    let failure = restart(&system).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::UnsupportedByHardware);
    system.config.application_unit = Some("pay.service".to_owned());
    restart(&system).await.unwrap();
    let show = "--no-ask-password show --property=InvocationID --value -- pay.service\n";
    let restarted = format!("{show}--no-ask-password restart -- pay.service\n{show}");
    assert_eq!(read(&system.path("told")), restarted);
    // One that says yes and does nothing.
    system.program("systemctl", &SYSTEMCTL.replace("echo x", ": x"));
    let failure = restart(&system).await.unwrap_err();
    assert_eq!(failure.side_effects, SideEffects::Unknown);
    assert!(failure.failure_reason.contains("not been started again"), "{failure}");
    system.program("systemctl", "case \"$2\" in restart) exit 5 ;; esac");
    assert_eq!(restart(&system).await.unwrap_err().code, ErrorCode::DeviceFault);
}

#[tokio::test]
async fn an_application_whose_restart_cannot_be_confirmed_may_have_restarted() {
    let mut system = System::new();
    system.config.application_unit = Some("pay.service".to_owned());
    let hangs = "show) [ ! -e starts ] || exec sleep 60; echo none ;;";
    let show = "show) cat starts 2>/dev/null || echo none ;;";
    for (after_restart, code) in [
        (hangs, ErrorCode::HalUnavailable),
        ("show) [ ! -e starts ] || exit 1; echo none ;;", ErrorCode::DeviceFault),
    ] {
        system.program("systemctl", &SYSTEMCTL.replace(show, after_restart));
        let _ = fs::remove_file(system.path("starts"));
        let failure = restart(&system).await.unwrap_err();
        assert_eq!((failure.code, failure.side_effects), (code, SideEffects::Unknown));
    }
}
