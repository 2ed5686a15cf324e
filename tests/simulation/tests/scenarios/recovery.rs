//! Rules 11 to 14: what a crash, a restart, a cancellation or a repeated order makes of it.

use serde_json::json;
use terminal_hal::{ErrorCode, OperationKind, SideEffects, operation::reboot::BootReason};
use terminal_simulation::plan::{RestartEnd, Setting, What};

use crate::support::{
    HOUR_MS, MINUTE_MS, begin_with, code, connect, connected, crash_after, effects, end,
    is_completed, order, parameters, plain, planned, power_cut, side_effects, starts,
    until_started, verdict,
};

// Rule 11
#[test]
fn a_close_that_was_cut_off_anywhere_is_asked_about_and_happens_once() {
    for cut_after_ms in (0..4_000).step_by(250) {
        for power in [false, true] {
            let mut world = connected();
            let id = order(
                &mut world,
                planned(1, OperationKind::EndOfDay, |planned| planned.hardware.latency_ms = 3_000),
            );
            until_started(&mut world, id);
            world.run_for(cut_after_ms);
            world.apply(&if power { power_cut(5_000) } else { What::Stop });
            assert!(is_completed(&verdict(&mut world, id)));
            assert_eq!(effects(&world, id), 1, "cut after {cut_after_ms} ms");
            end(world);
        }
    }
}

// Rule 11
#[test]
fn recovery_waits_until_the_payment_application_is_up() {
    let mut world = begin_with(Setting { application_ms: 200_000, ..Setting::default() });
    connect(&mut world);
    world.run_for(200_000);
    let id = order(
        &mut world,
        planned(1, OperationKind::EndOfDay, |planned| planned.hardware.latency_ms = 10_000),
    );
    until_started(&mut world, id);
    world.run_for(8_000);
    world.apply(&power_cut(10_000));
    let verdict = verdict(&mut world, id);
    assert!(is_completed(&verdict), "{verdict:?}");
    assert!(world.counters.of("verify answer", "unavailable") > 10);
    assert_eq!((starts(&world, id), effects(&world, id)), (1, 1));
    end(world);
}

// Rule 11
#[test]
fn what_nobody_can_tell_is_unknown_and_not_run_again() {
    for kind in [OperationKind::EndOfDay, OperationKind::Update] {
        let mut world = connected();
        let id = order(
            &mut world,
            planned(1, kind, |planned| {
                planned.hardware.latency_ms = 10_000;
                planned.hardware.forgets = true;
            }),
        );
        until_started(&mut world, id);
        world.run_for(8_000);
        world.apply(&power_cut(10_000));
        let verdict = verdict(&mut world, id);
        assert_eq!(code(&verdict), Some(ErrorCode::OutcomeUnknown));
        assert_eq!(side_effects(&verdict), Some(SideEffects::Unknown));
        assert_eq!(starts(&world, id), 1);
        end(world);
    }
}

// Rule 11
#[test]
fn what_is_run_again_and_fails_does_not_deny_what_the_attempt_before_did() {
    let mut world = connected();
    let id = order(
        &mut world,
        planned(1, OperationKind::Lock, |planned| {
            planned.hardware.latency_ms = 4_000;
            planned.hardware.effect_percent = 10;
        }),
    );
    until_started(&mut world, id);
    world.run_for(1_000);
    assert_eq!(effects(&world, id), 1);
    world.apply(&What::ApplicationDown { ms: HOUR_MS });
    world.apply(&What::Stop);
    let verdict = verdict(&mut world, id);
    assert_eq!(code(&verdict), Some(ErrorCode::HalUnavailable));
    assert_ne!(side_effects(&verdict), Some(SideEffects::None));
    end(world);
}

fn restart(n: u32, restart: RestartEnd) -> terminal_simulation::plan::PlannedOperation {
    planned(n, OperationKind::Reboot, |planned| {
        parameters(planned, &json!({"delay_s": 5}));
        planned.hardware.restart = restart;
    })
}

fn boot_reason(verdict: &terminal_core::protocol::OperationReport) -> BootReason {
    let result = verdict.outcome.result.clone().unwrap();
    serde_json::from_value(result["boot_reason"].clone()).unwrap()
}

// Rule 12
#[test]
fn a_restart_was_requested_only_when_the_boot_that_called_for_it_ended_in_order() {
    for (end_of_it, reason) in
        [(RestartEnd::Clean, BootReason::Requested), (RestartEnd::Unclean, BootReason::Watchdog)]
    {
        let mut world = connected();
        let id = order(&mut world, restart(1, end_of_it));
        let verdict = verdict(&mut world, id);
        assert!(is_completed(&verdict));
        assert_eq!(boot_reason(&verdict), reason);
        end(world);
    }
}

// Rule 12
#[test]
fn a_restart_that_never_happens_ends_at_its_deadline_and_holds_up_nothing_after_it() {
    let mut world = connected();
    let id = order(&mut world, restart(1, RestartEnd::Never));
    until_started(&mut world, id);
    world.run_for(3_000);
    let waiting = plain(&mut world, 2, OperationKind::Lock);
    world.apply(&What::Configuration);
    world.run_for(10_000);
    assert_eq!(starts(&world, waiting), 0, "nothing starts beside a restart");
    assert_eq!(world.devices[0].hardware.settings, 0);
    assert_eq!(code(&verdict(&mut world, id)), Some(ErrorCode::DeadlineExceeded));
    assert!(is_completed(&verdict(&mut world, waiting)));
    end(world);
}

// Rule 12
#[test]
fn wherever_the_process_dies_around_a_restart_the_device_restarts_at_most_three_times() {
    for scope in ["device", "application"] {
        for effects_before in 0..4 {
            for rounds in 0..4 {
                let mut world = connected();
                let crash = What::Crash { rounds, effects: effects_before, power: None };
                world.apply(&crash);
                let id = order(
                    &mut world,
                    planned(1, OperationKind::Reboot, |planned| {
                        parameters(planned, &json!({"delay_s": 2, "scope": scope}));
                    }),
                );
                let lock = plain(&mut world, 2, OperationKind::Lock);
                let verdict_of_it = verdict(&mut world, id);
                assert!(is_completed(&verdict_of_it), "{scope}: {verdict_of_it:?}");
                assert!(effects(&world, id) <= 3);
                verdict(&mut world, lock);
                end(world);
            }
        }
    }
}

// Rule 12
#[test]
fn an_update_is_done_once_the_new_version_runs_and_failed_once_the_old_one_runs_again() {
    let mut world = connected();
    let id = plain(&mut world, 1, OperationKind::Update);
    let done = verdict(&mut world, id);
    assert!(is_completed(&done));
    assert_eq!(done.attempt, 1, "its own restart belongs to the attempt");
    end(world);

    let mut world = connected();
    let id = order(
        &mut world,
        planned(1, OperationKind::Update, |planned| {
            planned.hardware.restart = RestartEnd::RollsBack;
        }),
    );
    assert_eq!(code(&verdict(&mut world, id)), Some(ErrorCode::RolledBack));
    end(world);
}

// Rule 13
#[test]
fn a_cancellation_at_any_moment_ends_in_one_true_verdict() {
    for kind in OperationKind::ALL {
        for cancel_after_ms in [0, 5, 15, 25, 40, 300, 600, 1_010, 1_040] {
            let mut world = connected();
            let id = plain(&mut world, 1, kind);
            world.run_for(cancel_after_ms);
            world.apply(&What::Cancel { n: 1 });
            let verdict = verdict(&mut world, id);
            let is_known = is_completed(&verdict) || code(&verdict) == Some(ErrorCode::Canceled);
            assert!(is_known, "{kind} after {cancel_after_ms} ms: {verdict:?}");
            end(world);
        }
    }
}

// Rule 13
#[test]
fn a_cancellation_holds_after_a_crash() {
    for kind in [OperationKind::SendLogs, OperationKind::Lock, OperationKind::Configure] {
        let mut world = connected();
        let id = order(
            &mut world,
            planned(1, kind, |planned| {
                planned.hardware.latency_ms = 20_000;
                planned.hardware.ignores_cancel = true;
            }),
        );
        until_started(&mut world, id);
        world.apply(&What::Cancel { n: 1 });
        world.run_for(1_000);
        world.apply(&What::NetworkDown { ms: MINUTE_MS, hangs: false });
        world.apply(&What::Stop);
        let verdict = verdict(&mut world, id);
        assert_eq!(code(&verdict), Some(ErrorCode::Canceled), "{kind}");
        assert_eq!(starts(&world, id), 1, "{kind}");
        end(world);
    }
}

// Rule 13
#[test]
fn the_call_is_asked_to_stop_only_when_the_cancellation_is_durable() {
    for effects_before in 0..3 {
        let mut world = connected();
        let id = order(
            &mut world,
            planned(1, OperationKind::CheckUpdate, |planned| planned.hardware.latency_ms = 20_000),
        );
        until_started(&mut world, id);
        world.run_for(100);
        world.apply(&crash_after(effects_before));
        world.apply(&What::Cancel { n: 1 });
        assert_eq!(code(&verdict(&mut world, id)), Some(ErrorCode::Canceled));
        end(world);
    }
}

// Rule 14, the half of the cloud: operations that the terminal begins itself do not exist yet.
#[test]
fn an_order_that_is_repeated_is_one_operation_also_when_the_cloud_had_forgotten_it() {
    let mut world = connected();
    world.apply(&What::CloudBackup);
    let id = plain(&mut world, 1, OperationKind::EndOfDay);
    plain(&mut world, 1, OperationKind::EndOfDay);
    assert!(is_completed(&verdict(&mut world, id)));
    // Whoever ordered it orders it again, under the same id.
    world.apply(&What::CloudRestore);
    assert!(world.cloud.verdict(id).is_none());
    assert!(is_completed(&verdict(&mut world, id)));
    assert_eq!((starts(&world, id), effects(&world, id)), (1, 1));
    end(world);
}

// Rule 14, the half of the cloud.
#[test]
fn a_verdict_of_an_id_that_the_cloud_does_not_know_is_stored_all_the_same() {
    let mut world = connected();
    let id = order(
        &mut world,
        planned(1, OperationKind::EndOfDay, |planned| planned.hardware.latency_ms = 10_000),
    );
    until_started(&mut world, id);
    world.cloud.stored.operations.remove(&id);
    world.run_for(MINUTE_MS);
    let foreign = world.cloud.stored.foreign.get(&id).cloned();
    assert!(foreign.is_some_and(|verdict| is_completed(&verdict)));
    end(world);
}
