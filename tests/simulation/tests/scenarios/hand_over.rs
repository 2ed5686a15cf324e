//! Rules 1 to 5: what is taken is durable, runs once, and is reported until it is acked.

use terminal_hal::{ErrorCode, OperationKind, SideEffects};
use terminal_simulation::plan::{Hostility, Setting, What};

use crate::support::{
    HOUR_MS, MINUTE_MS, begin_with, code, connect, connected, crash_after, effects, end,
    is_completed, order, plain, planned, power_cut, side_effects, starts, until_started, verdict,
};

// Rule 1
#[test]
fn wherever_the_process_dies_while_it_takes_an_operation_it_runs_once() {
    for kind in OperationKind::ALL {
        for effects_before in 0..6 {
            let mut world = connected();
            world.apply(&crash_after(effects_before));
            let id = plain(&mut world, 1, kind);
            verdict(&mut world, id);
            assert!(world.counters.of("process", "started") >= 2, "{kind}");
            end(world);
        }
    }
}

// Rule 1
#[test]
fn a_commit_that_fails_is_as_if_the_process_had_died_whether_it_is_durable_or_not() {
    for applied in [false, true] {
        let mut world = connected();
        world.apply(&What::AppendFails { applied });
        let id = plain(&mut world, 1, OperationKind::EndOfDay);
        assert!(is_completed(&verdict(&mut world, id)));
        assert_eq!(effects(&world, id), 1);
        end(world);
    }
}

// Rule 2
#[test]
fn an_id_that_comes_again_at_any_stage_starts_nothing() {
    for (after_ms, then) in [(0, None), (5_000, None), (HOUR_MS, None), (HOUR_MS, Some(()))] {
        let mut world = connected();
        let id = order(
            &mut world,
            planned(1, OperationKind::EndOfDay, |planned| planned.hardware.latency_ms = 10_000),
        );
        world.run_for(after_ms);
        if then.is_some() {
            world.apply(&power_cut(10_000));
            world.run_for(MINUTE_MS);
        }
        for _ in 0..3 {
            world.apply(&What::DispatchAgain { n: 1 });
            world.run_for(100);
        }
        assert!(is_completed(&verdict(&mut world, id)));
        assert_eq!((starts(&world, id), effects(&world, id)), (1, 1));
        end(world);
    }
}

// Rule 2
#[test]
fn an_id_that_comes_again_after_it_was_forgotten_is_expired_and_nobody_knows_more() {
    let mut world = connected();
    let id =
        order(&mut world, planned(1, OperationKind::OpenMenu, |planned| planned.not_after_s = 60));
    assert!(is_completed(&verdict(&mut world, id)));
    world.run_for(10 * MINUTE_MS);
    // Forgetting rides on a commit.
    plain(&mut world, 2, OperationKind::CheckUpdate);
    world.run_for(MINUTE_MS);
    assert!(world.devices[0].store.verdict(id).is_none(), "not forgotten");
    world.apply(&What::DispatchAgain { n: 1 });
    world.run_for(MINUTE_MS);
    assert_eq!(starts(&world, id), 1);
    assert!(is_completed(&verdict(&mut world, id)), "the first verdict stays");
    end(world);
}

// Rule 3
#[test]
fn what_was_reported_without_a_link_is_reported_after_it() {
    let mut world = connected();
    let id = order(
        &mut world,
        planned(1, OperationKind::EndOfDay, |planned| planned.hardware.latency_ms = 20_000),
    );
    until_started(&mut world, id);
    world.apply(&What::NetworkDown { ms: 10 * MINUTE_MS, hangs: true });
    world.run_for(5 * MINUTE_MS);
    assert!(world.cloud.verdict(id).is_none());
    assert!(world.devices[0].store.verdict(id).is_some());
    assert!(is_completed(&verdict(&mut world, id)));
    end(world);
}

// Rule 3
#[test]
fn a_report_whose_ack_was_lost_is_sent_again_and_stored_once() {
    let mut world = connected();
    world.apply(&What::CloudMute { ms: 30_000 });
    let id = {
        // The dispatch has to come through first.
        world.run_for(31_000);
        plain(&mut world, 1, OperationKind::CheckUpdate)
    };
    until_started(&mut world, id);
    world.apply(&What::CloudMute { ms: 300_000 });
    world.run_for(400_000);
    assert!(is_completed(&verdict(&mut world, id)));
    assert!(world.counters.of("closed by the terminal", "1001") > 0, "no ack for 60 s");
    end(world);
}

// Rule 3
#[test]
fn a_cloud_that_went_back_gets_the_gap_and_asks_for_the_verdicts_again() {
    let mut world = connected();
    world.apply(&What::CloudBackup);
    let ids: Vec<_> = (1..4).map(|n| plain(&mut world, n, OperationKind::EndOfDay)).collect();
    for id in &ids {
        verdict(&mut world, *id);
    }
    world.run_for(MINUTE_MS);
    world.apply(&What::CloudRestore);
    assert!(ids.iter().all(|id| world.cloud.verdict(*id).is_none()), "it has forgotten");
    for id in &ids {
        assert!(is_completed(&verdict(&mut world, *id)));
        assert_eq!((starts(&world, *id), effects(&world, *id)), (1, 1));
    }
    assert!(world.counters.of("link", "gap after the cloud was restored") > 0);
    end(world);
}

// Rule 3
#[test]
fn a_store_that_went_back_begins_a_new_epoch_when_the_cloud_knows_more_or_something_else() {
    for operations in [1, 3] {
        let mut world = connected();
        plain(&mut world, 9, OperationKind::CheckUpdate);
        world.run_for(MINUTE_MS);
        let before = world.devices[0].store.meta.clone().unwrap().store_epoch;
        world.apply(&What::StoreBackup);
        for n in 0..operations {
            let id = plain(&mut world, 1 + n, OperationKind::OpenMenu);
            verdict(&mut world, id);
        }
        world.run_for(MINUTE_MS);
        world.apply(&What::StoreRestore);
        world.run_for(10 * MINUTE_MS);
        let after = world.devices[0].store.meta.clone().unwrap().store_epoch;
        assert_ne!(before, after);
        assert!(world.counters.of("event", "epoch_changed") > 0);
        let id = plain(&mut world, 20, OperationKind::CheckUpdate);
        assert!(is_completed(&verdict(&mut world, id)));
        end(world);
    }
}

// Rule 3
#[test]
fn under_pressure_events_give_way_and_verdicts_do_not() {
    let mut world = connected();
    let id = order(
        &mut world,
        planned(1, OperationKind::EndOfDay, |planned| planned.hardware.latency_ms = 5_000),
    );
    until_started(&mut world, id);
    world.apply(&What::NetworkDown { ms: 100 * HOUR_MS, hangs: false });
    world.run_for(MINUTE_MS);
    for _ in 0..400 {
        world.apply(&power_cut(100));
        world.run_for(5_000);
    }
    assert!(world.devices[0].store.verdict(id).is_some());
    world.devices[0].store.reports.values().for_each(|report| assert!(report.seq.0 > 0));
    end(world);
}

// Rule 3
#[test]
fn an_ack_of_another_epoch_or_beyond_what_was_sent_deletes_nothing() {
    for hostility in [Hostility::AckBeyond, Hostility::AckOfAnotherEpoch] {
        let mut world = connected();
        let id = plain(&mut world, 1, OperationKind::EndOfDay);
        until_started(&mut world, id);
        world.run_for(900);
        world.apply(&What::CloudMute { ms: 20_000 });
        world.run_for(2_000);
        world.apply(&What::Hostile(hostility));
        world.run_for(1_000);
        assert!(world.devices[0].store.verdict(id).is_some());
        assert!(is_completed(&verdict(&mut world, id)));
        assert!(world.counters.of("error frame", "INVALID_ACK") > 0);
        end(world);
    }
}

// Rule 4
#[test]
fn what_a_lost_store_had_begun_is_asked_about_run_again_or_given_up_by_kind() {
    for kind in OperationKind::ALL {
        let mut world = connected();
        let id = order(&mut world, planned(1, kind, |planned| planned.hardware.latency_ms = 2_000));
        until_started(&mut world, id);
        world.run_for(1_500);
        world.apply(&What::StoreDamage);
        let verdict = verdict(&mut world, id);
        match kind {
            OperationKind::OpenMenu | OperationKind::Reboot => {
                assert_eq!(code(&verdict), Some(ErrorCode::OutcomeUnknown));
                assert_eq!(side_effects(&verdict), Some(SideEffects::Unknown));
                assert_eq!(starts(&world, id), 1);
            }
            OperationKind::EndOfDay | OperationKind::Update => {
                assert!(is_completed(&verdict), "{verdict:?}");
                assert_eq!(effects(&world, id), 1);
            }
            _ => {
                assert!(is_completed(&verdict), "{verdict:?}");
                assert_eq!(starts(&world, id), 2);
            }
        }
        assert!(world.counters.of("event", "store_damaged") > 0);
        end(world);
    }
}

// Rule 4
#[test]
fn a_store_on_another_device_finishes_nothing_that_was_begun_elsewhere() {
    let mut world = connected();
    let id = order(
        &mut world,
        planned(1, OperationKind::SendLogs, |planned| planned.hardware.latency_ms = 60_000),
    );
    until_started(&mut world, id);
    world.apply(&What::SerialNumber { n: 5 });
    let verdict = verdict(&mut world, id);
    assert_eq!(code(&verdict), Some(ErrorCode::WrongTerminal));
    assert_eq!(starts(&world, id), 1);
    end(world);
}

// Rule 5
#[test]
fn more_than_the_terminal_takes_is_refused_and_comes_in_its_turn() {
    let mut world = connected();
    world.apply(&What::Flood { first: 1_000, count: 700, one_lane: false });
    world.run_for(2 * MINUTE_MS);
    assert!(world.counters.of("error frame", "OVERLOADED") > 0);
    end(world);
}

// Rule 5
#[test]
fn a_full_disk_takes_nothing_and_loses_nothing() {
    for hard in [false, true] {
        // The engine learns of it when the state of the hardware is read.
        let mut world =
            begin_with(Setting { heartbeat_s: 10, application_ms: 0, ..Setting::default() });
        connect(&mut world);
        let running = order(
            &mut world,
            planned(1, OperationKind::EndOfDay, |planned| planned.hardware.latency_ms = 10_000),
        );
        until_started(&mut world, running);
        world.apply(&What::DiskFull { ms: 2 * MINUTE_MS, hard });
        world.run_for(30_000);
        let refused = plain(&mut world, 2, OperationKind::CheckUpdate);
        world.run_for(30_000);
        assert!(!world.devices[0].store.operations.contains_key(&refused));
        assert!(is_completed(&verdict(&mut world, running)));
        assert_eq!(effects(&world, running), 1);
        assert!(is_completed(&verdict(&mut world, refused)));
        end(world);
    }
}
