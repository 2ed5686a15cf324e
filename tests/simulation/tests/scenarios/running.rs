//! Rules 6 to 10: one at a time, in time, with an end, and never beside a payment.

use serde_json::json;
use terminal_core::protocol::IfBusy;
use terminal_hal::{ErrorCode, OperationKind, SideEffects, operation::IfPaymentActive};
use terminal_simulation::plan::{Behaviour, CallEnd, PowerLoss, Setting, What};

use crate::support::{
    HOUR_MS, MINUTE_MS, begin_with, begin_with_seed, code, connect, connected, effects, end,
    is_completed, order, parameters, plain, planned, side_effects, starts, until_started, verdict,
};

fn slow(planned: &mut terminal_simulation::plan::PlannedOperation) {
    planned.hardware.latency_ms = 20_000;
}

// Rule 6
#[test]
fn lanes_run_beside_each_other_and_each_runs_one_at_a_time() {
    let mut world = connected();
    let ids = [
        order(&mut world, planned(1, OperationKind::EndOfDay, slow)),
        order(&mut world, planned(2, OperationKind::CheckUpdate, slow)),
        order(&mut world, planned(3, OperationKind::Lock, slow)),
        order(&mut world, planned(4, OperationKind::Unlock, slow)),
        order(&mut world, planned(5, OperationKind::Configure, slow)),
    ];
    world.run_for(5_000);
    let running: Vec<u32> = ids.iter().map(|id| starts(&world, *id)).collect();
    assert_eq!(running, [1, 0, 1, 0, 1]);
    for id in ids {
        assert!(is_completed(&verdict(&mut world, id)));
    }
    end(world);
}

// Rule 6
#[test]
fn who_does_not_want_to_wait_is_told_when_to_come_again() {
    let mut world = connected();
    let first = order(&mut world, planned(1, OperationKind::EndOfDay, slow));
    until_started(&mut world, first);
    let second = order(
        &mut world,
        planned(2, OperationKind::OpenMenu, |planned| planned.policy.if_busy = IfBusy::Reject),
    );
    let refused = verdict(&mut world, second);
    assert_eq!(code(&refused), Some(ErrorCode::BusyOperation));
    assert_eq!(refused.outcome.error.unwrap().retry_after_s, Some(30));
    assert_eq!(starts(&world, second), 0);
    end(world);
}

// Rule 6
#[test]
fn a_lane_holds_so_many_and_what_waits_for_a_window_holds_up_nobody() {
    let mut world = connected();
    world.apply(&What::Flood { first: 1_000, count: 300, one_lane: true });
    world.run_for(MINUTE_MS);
    assert!(world.counters.of("verdict", "QUEUE_FULL") > 0);
    end(world);

    let mut world = connected();
    let waiting = order(
        &mut world,
        planned(1, OperationKind::Update, |planned| {
            planned.hardware.deferrals = 4;
            planned.hardware.deferral_s = 120;
        }),
    );
    until_started(&mut world, waiting);
    let second = plain(&mut world, 2, OperationKind::CheckUpdate);
    world.run_for(10_000);
    assert!(is_completed(&verdict(&mut world, second)));
    assert!(world.cloud.verdict(waiting).is_none());
    assert!(is_completed(&verdict(&mut world, waiting)));
    assert_eq!(starts(&world, waiting), 5);
    end(world);
}

// Rule 7
#[test]
fn a_time_to_live_that_ends_when_its_turn_comes_has_ended() {
    // The one before ends 10, 1 and 0 ms before, and 1 and 10 ms after that.
    for latency_ms in [29_990, 29_999, 30_000, 30_001, 30_010] {
        let mut world =
            begin_with(Setting { latency_ms: 0, application_ms: 0, ..Setting::default() });
        connect(&mut world);
        let first = planned(1, OperationKind::EndOfDay, |planned| {
            planned.hardware.latency_ms = latency_ms;
        });
        let second = planned(2, OperationKind::CheckUpdate, |planned| planned.ttl_s = 30);
        order(&mut world, first);
        let id = order(&mut world, second);
        let verdict = verdict(&mut world, id);
        if latency_ms < 30_000 {
            assert!(is_completed(&verdict), "{latency_ms}: {verdict:?}");
        } else {
            assert_eq!(code(&verdict), Some(ErrorCode::Expired), "{latency_ms}");
            assert_eq!(starts(&world, id), 0);
        }
        end(world);
    }
}

// Rule 7
#[test]
fn a_wall_clock_that_jumps_changes_no_time_to_live() {
    for ms in [-86_400_000_000, -3_600_000, 3_600_000, 864_000_000] {
        let mut world = connected();
        let first = order(&mut world, planned(1, OperationKind::EndOfDay, slow));
        let second =
            order(&mut world, planned(2, OperationKind::CheckUpdate, |planned| planned.ttl_s = 30));
        until_started(&mut world, first);
        world.apply(&What::ClockJump { ms });
        assert!(is_completed(&verdict(&mut world, second)));
        end(world);
    }
}

// Rule 7
#[test]
fn after_a_boot_without_a_clock_nothing_starts_before_the_time_is_known() {
    let mut world = connected();
    let first = order(&mut world, planned(1, OperationKind::EndOfDay, slow));
    let second =
        order(&mut world, planned(2, OperationKind::CheckUpdate, |planned| planned.ttl_s = 300));
    until_started(&mut world, first);
    world.apply(&What::NetworkDown { ms: HOUR_MS, hangs: false });
    world.apply(&What::PowerCut(PowerLoss { off_ms: 5_000, clock_lost_ms: Some(10 * HOUR_MS) }));
    world.run_for(30 * MINUTE_MS);
    assert_eq!(starts(&world, second), 0, "nobody knows whether it is too late");
    let verdict = verdict(&mut world, second);
    assert_eq!(code(&verdict), Some(ErrorCode::Expired));
    assert_eq!(starts(&world, second), 0);
    end(world);
}

// Rule 7
#[test]
fn what_the_cloud_has_given_up_still_gets_its_verdict() {
    let mut world = connected();
    world.apply(&What::NetworkDown { ms: 2 * HOUR_MS, hangs: false });
    let id =
        order(&mut world, planned(1, OperationKind::CheckUpdate, |planned| planned.ttl_s = 60));
    let verdict = verdict(&mut world, id);
    assert_eq!(code(&verdict), Some(ErrorCode::Expired));
    assert!(world.counters.of("verdict", "after the cloud gave it up") > 0);
    end(world);
}

fn hanging(ms: Option<u64>) -> Behaviour {
    Behaviour { latency_ms: 1_000, end: CallEnd::Hangs { ms }, ..Behaviour::default() }
}

// Rule 8
#[test]
fn a_call_that_outlives_its_deadline_ends_in_one_verdict_and_an_event() {
    for kind in [OperationKind::EndOfDay, OperationKind::Lock, OperationKind::OpenMenu] {
        let mut world = connected();
        let id = order(
            &mut world,
            planned(1, kind, |planned| {
                planned.deadline_s = 10;
                planned.hardware = hanging(Some(25_000));
            }),
        );
        let verdict = verdict(&mut world, id);
        assert_eq!(code(&verdict), Some(ErrorCode::DeadlineExceeded));
        assert_eq!(side_effects(&verdict), Some(SideEffects::Unknown));
        world.run_for(2 * MINUTE_MS);
        assert_eq!(world.counters.of("event", "late_outcome"), 1, "{kind}");
        end(world);
    }
}

// Rule 8
#[test]
fn that_part_of_the_terminal_is_not_used_until_the_call_is_known_to_be_dead() {
    let mut world = connected();
    let stuck = order(
        &mut world,
        planned(1, OperationKind::OpenMenu, |planned| {
            planned.deadline_s = 10;
            planned.hardware = hanging(None);
        }),
    );
    verdict(&mut world, stuck);
    let refused = plain(&mut world, 2, OperationKind::OpenMenu);
    assert_eq!(code(&verdict(&mut world, refused)), Some(ErrorCode::HalUnavailable));
    let other = plain(&mut world, 3, OperationKind::CheckUpdate);
    assert!(is_completed(&verdict(&mut world, other)));
    world.run_for(MINUTE_MS);
    let later = plain(&mut world, 4, OperationKind::OpenMenu);
    assert!(is_completed(&verdict(&mut world, later)));
    end(world);
}

// Rule 9
#[test]
fn an_operation_that_takes_the_agent_down_is_given_up_after_three_attempts() {
    for kind in OperationKind::ALL {
        let mut world = connected();
        let id = order(
            &mut world,
            planned(1, kind, |planned| {
                planned.hardware.crashes = 100;
                planned.hardware.latency_ms = 30_000;
                planned.hardware.effect_percent = 100;
            }),
        );
        let behind = plain(&mut world, 2, OperationKind::CheckUpdate);
        let verdict_of_it = verdict(&mut world, id);
        let asked = matches!(kind, OperationKind::EndOfDay | OperationKind::Update);
        let expected = match kind {
            OperationKind::OpenMenu => 1,
            // The payment application and the updater go on without the agent.
            _ if asked => 1,
            _ => 3,
        };
        assert_eq!(starts(&world, id), expected, "{kind}");
        if !asked {
            assert_eq!(code(&verdict_of_it), Some(ErrorCode::Interrupted), "{kind}");
        }
        assert!(is_completed(&verdict(&mut world, behind)));
        end(world);
    }
}

// Rule 9
#[test]
fn an_answer_to_the_attempt_before_is_not_the_answer_to_this_one() {
    let mut heard_too_early = 0;
    for seed in 0..40 {
        let mut world = begin_with_seed(seed, Setting { application_ms: 0, ..Setting::default() });
        connect(&mut world);
        let id = order(
            &mut world,
            planned(1, OperationKind::SendLogs, |planned| {
                planned.hardware.crashes = 1;
                planned.hardware.latency_ms = 50_000;
                planned.hardware.effect_percent = 100;
            }),
        );
        let behind = plain(&mut world, 2, OperationKind::CheckUpdate);
        assert!(is_completed(&verdict(&mut world, id)), "seed {seed}");
        heard_too_early += world.counters.of("call", "answered to the next process");
        assert_eq!(starts(&world, id), 2, "seed {seed}");
        assert!(is_completed(&verdict(&mut world, behind)));
        end(world);
    }
    assert!(heard_too_early > 0, "no attempt ran while the one before it was answered");
}

// Rule 10
#[test]
fn a_payment_is_waited_for_refused_or_cancelled_as_the_policy_says() {
    for (policy, wait_max_s, expected) in [
        (IfPaymentActive::Wait, 300, None),
        (IfPaymentActive::Wait, 5, Some(ErrorCode::BusyPayment)),
        (IfPaymentActive::Reject, 300, Some(ErrorCode::BusyPayment)),
        (IfPaymentActive::Cancel, 300, None),
    ] {
        let mut world = connected();
        world.apply(&What::Payment { ms: 20_000, cancellable: true });
        let id = order(
            &mut world,
            planned(1, OperationKind::EndOfDay, |planned| {
                planned.policy.if_payment_active = policy;
                planned.policy.wait_max_s = wait_max_s;
            }),
        );
        let verdict = verdict(&mut world, id);
        assert_eq!(code(&verdict), expected, "{policy:?}, {wait_max_s} s");
        assert_eq!(effects(&world, id), u32::from(expected.is_none()));
        end(world);
    }
}

// Rule 10
#[test]
fn a_cancelled_restart_gives_its_hold_back() {
    for cancel_after_ms in [500, 995, 1_005, 1_050, 10_000] {
        let mut world = connected();
        let id = order(
            &mut world,
            planned(1, OperationKind::Reboot, |planned| {
                parameters(planned, &json!({"delay_s": 60}));
            }),
        );
        until_started(&mut world, id);
        world.run_for(cancel_after_ms);
        world.apply(&What::Cancel { n: 1 });
        assert_eq!(code(&verdict(&mut world, id)), Some(ErrorCode::Canceled));
        let next = order(
            &mut world,
            planned(2, OperationKind::OpenMenu, |planned| planned.policy.wait_max_s = 5),
        );
        assert!(is_completed(&verdict(&mut world, next)), "after {cancel_after_ms} ms");
        end(world);
    }
}

// Rule 10
#[test]
fn a_hold_that_a_dead_agent_has_left_ends_by_itself() {
    let mut world = connected();
    let id = order(
        &mut world,
        planned(1, OperationKind::OpenMenu, |planned| planned.hardware.crashes = 1),
    );
    assert_eq!(code(&verdict(&mut world, id)), Some(ErrorCode::Interrupted));
    // It waits at most three quarters of its own deadline.
    let next =
        order(&mut world, planned(2, OperationKind::OpenMenu, |planned| planned.deadline_s = 300));
    assert!(is_completed(&verdict(&mut world, next)));
    assert!(world.now > 60_000, "before the lease had run out");
    end(world);
}
