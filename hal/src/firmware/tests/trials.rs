//! What the first boot of a new system leads to.

use super::{journal::Phase, *};

#[tokio::test]
async fn an_update_is_committed_only_after_its_system_has_booted_and_passed_its_check() {
    let bench = Bench::new();
    let firmware = bench.open();
    assert_eq!(install(&firmware, &now()).await, Ok(InstallOutcome::RestartRequired));
    // Without a boot in between, a restarted agent says the same.
    let firmware = bench.open();
    assert_eq!(bench.settled(&firmware, ID).await, UpdateState::RestartRequired);
    assert_eq!(bench.running().1, OLD);
    bench.boot();
    let firmware = bench.open();
    let state = bench.settled(&firmware, ID).await;
    let UpdateState::Committed(result) = state else { panic!("{state:?}") };
    assert_eq!((result.from.as_str(), result.to.as_str()), (OLD, NEW));
    assert_eq!(result.slot.as_deref(), Some("slot-b"));
    let checks: Vec<_> =
        result.health_checks.iter().map(|check| (check.name.as_str(), check.ok)).collect();
    assert_eq!(checks, [("version", true), ("payments", true)]);
    assert!(result.bytes_downloaded > 0 && result.resumes == 0);
    // What was downloaded is gone, what runs is known.
    assert!(!bench.path("firmware/download").exists());
    assert_eq!(firmware.versions().await.unwrap()[0].version, NEW);
    let again = install(&firmware, &now()).await;
    assert_eq!(again, Ok(InstallOutcome::AlreadyRunning(result)));
}

#[tokio::test]
async fn a_system_that_fails_its_check_is_left_by_one_more_restart_and_reported_by_the_old_one() {
    let bench = Bench { health_check: "/bin/false", ..Bench::new() };
    install(&bench.open(), &now()).await.unwrap();
    bench.boot();
    let firmware = bench.open();
    assert_eq!(bench.settled(&firmware, ID).await, UpdateState::RestartRequired);
    assert_eq!(bench.running().1, NEW);
    bench.boot();
    let firmware = bench.open();
    let state = bench.settled(&firmware, ID).await;
    let UpdateState::Failed(failure) = state else { panic!("{state:?}") };
    assert_eq!(failure.code, ErrorCode::RolledBack);
    assert!(failure.failure_reason.contains("payments"), "{failure}");
    assert!(failure.failure_reason.contains("3.14.2 runs again"), "{failure}");
    assert_eq!(bench.running().1, OLD);
}

#[test]
fn the_boot_loader_writes_through_no_link_that_lies_in_the_folder_of_the_agents_user() {
    let bench = Bench::new();
    let of_root = bench.path("of-root");
    fs::write(&of_root, "as it was").unwrap();
    for name in ["trial.next", "booted.next"] {
        std::os::unix::fs::symlink(&of_root, bench.path("slots").join(name)).unwrap();
    }
    fs::write(bench.path("slots/trial"), "slot-a 2 ID\n").unwrap();
    bench.boot();
    assert_eq!(fs::read_to_string(of_root).unwrap(), "as it was");
    assert_eq!(fs::read_to_string(bench.path("slots/trial")).unwrap(), "slot-a 1 ID\n");
    assert_eq!(bench.running().0, "slot-a");
}

#[tokio::test]
async fn a_system_that_never_comes_up_is_given_up_by_the_boot_loader_and_that_is_reported() {
    let bench = Bench::new();
    install(&bench.open(), &now()).await.unwrap();
    // Two boots in which no agent ever starts.
    for _ in 0..2 {
        bench.boot();
        assert_eq!(bench.running().1, NEW);
    }
    bench.boot();
    assert_eq!(bench.running().1, OLD);
    let firmware = bench.open();
    let state = bench.settled(&firmware, ID).await;
    let UpdateState::Failed(failure) = state else { panic!("{state:?}") };
    assert_eq!(failure.code, ErrorCode::RolledBack);
    // The terminal takes the next one.
    let (call, _handle) = api::call(OperationId(Uuid::from_u128(8)), 1, Duration::from_secs(600));
    assert_eq!(firmware.install(&call, &now()).await, Ok(InstallOutcome::RestartRequired));
}

/// The power went after the mark, before the record; then the trial was used up.
async fn unnoted_trial() -> Bench {
    let bench = Bench::new();
    let firmware = bench.open();
    install(&firmware, &now()).await.unwrap();
    firmware.enter_phase(Phase::Installing).unwrap();
    bench.boot();
    bench.boot();
    bench
}

#[tokio::test]
async fn a_trial_that_was_used_up_before_its_installation_was_noted_needs_no_other_boot() {
    let bench = unnoted_trial().await;
    assert_eq!(fs::read_to_string(bench.path("slots/trial")).unwrap(), format!("slot-b 0 {ID}\n"));
    bench.boot();
    assert_eq!(bench.running().1, OLD);
    let state = bench.settled(&bench.open(), ID).await;
    let UpdateState::Failed(failure) = state else { panic!("{state:?}") };
    assert_eq!(failure.code, ErrorCode::RolledBack);
}

#[tokio::test]
async fn the_last_boot_of_a_trial_counts_also_when_its_installation_was_not_noted() {
    let bench = unnoted_trial().await;
    let state = bench.settled(&bench.open(), ID).await;
    assert!(matches!(state, UpdateState::Committed(_)), "{state:?}");
}

#[tokio::test]
async fn a_slot_that_runs_another_version_than_was_promised_is_not_committed() {
    let bench = Bench::new();
    let mut manifest = bench.pack("3.14.3");
    manifest["releases"][0]["version"] = json!(NEW);
    bench.offer(&manifest);
    install(&bench.open(), &now()).await.unwrap();
    bench.boot();
    let firmware = bench.open();
    assert_eq!(bench.settled(&firmware, ID).await, UpdateState::RestartRequired);
    bench.boot();
    let state = bench.settled(&bench.open(), ID).await;
    let UpdateState::Failed(failure) = state else { panic!("{state:?}") };
    assert!(failure.failure_reason.contains("health check: version"), "{failure}");
}

#[tokio::test]
async fn a_health_check_that_others_can_change_is_not_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let bench = Bench::new();
    let program = bench.path("check");
    fs::write(&program, "#!/bin/sh\ntouch ran\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    let checks = [HealthProgram {
        name: "open".to_owned(),
        program: program.clone(),
        time_max: Duration::from_secs(20),
    }];
    let runner = bench.around().runner;
    assert!(!health_checks::run(&runner, &checks).await[0].ok);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(health_checks::run(&runner, &checks).await[0].ok);
}

#[tokio::test]
async fn an_update_that_waits_for_its_restart_is_taken_over_by_the_next_operation() {
    let bench = Bench::new();
    let firmware = bench.open();
    install(&firmware, &now()).await.unwrap();
    let other = OperationId(Uuid::from_u128(8));
    let (call, _handle) = api::call(other, 1, Duration::from_secs(600));
    // What runs now is not what will run: asking for it is not answered with "it runs already".
    let running = UpdateParameters { version: Some(OLD.to_owned()), ..now() };
    let failure = firmware.install(&call, &running).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::BusyOperation);
    assert_eq!(firmware.install(&call, &now()).await, Ok(InstallOutcome::RestartRequired));
    bench.boot();
    let firmware = bench.open();
    let state = bench.settled(&firmware, other).await;
    assert!(matches!(state, UpdateState::Committed(_)), "{state:?}");
}
