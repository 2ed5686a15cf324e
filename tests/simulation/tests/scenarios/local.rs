//! Rule 14: what the terminal begins itself, asked for at it or by its daily schedule.

use serde_json::json;
use terminal_core::protocol::{OperationReport, Origin};
use terminal_hal::{ErrorCode, OperationId, OperationKind};
use terminal_simulation::{
    plan::{Behaviour, PlannedOperation, PowerLoss, Schedule, Setting, What},
    world::World,
};

use crate::support::{
    HOUR_MS, MINUTE_MS, begin, begin_with, code, connect, connected, crash_after, effects, end,
    is_completed, parameters, plain, planned, power_cut, starts, verdict,
};

const AT_MS: u64 = 20 * MINUTE_MS;
const WINDOW_MS: u64 = 30 * MINUTE_MS;

/// A terminal that is to close its batch twenty minutes after it was switched on.
fn scheduled() -> World {
    let schedule = Some(Schedule { at_ms: AT_MS, window_ms: WINDOW_MS });
    begin_with(Setting { application_ms: 0, latency_ms: 10, schedule, ..Setting::default() })
}

fn want(world: &mut World, kind: OperationKind) {
    wanted(world, planned(1, kind, |_| {}));
}

fn wanted(world: &mut World, planned: PlannedOperation) {
    world.apply(&What::Local(Box::new(planned)));
}

fn until_requested(world: &mut World) -> OperationId {
    let begun = |world: &World| world.requested(1).is_some();
    assert!(world.run_until_that(MINUTE_MS, begun), "not begun: {:?}", world.violation);
    world.requested(1).unwrap()
}

fn until_scheduled(world: &mut World) -> OperationId {
    let begun = |world: &World| !world.scheduled().is_empty();
    assert!(world.run_until_that(2 * HOUR_MS, begun), "not begun: {:?}", world.violation);
    world.scheduled()[0]
}

/// Waits for the verdict at the cloud, which has never heard of the operation before.
fn foreign(world: &mut World, id: OperationId) -> OperationReport {
    let has = |world: &World| world.cloud.stored.foreign.contains_key(&id);
    assert!(world.run_until_that(24 * HOUR_MS, has), "no verdict: {:?}", world.violation);
    world.cloud.stored.foreign[&id].clone()
}

#[test]
fn begun_while_offline_it_runs_at_once_and_is_reported_as_local_later() {
    let mut world = connected();
    world.apply(&What::NetworkDown { ms: HOUR_MS, hangs: false });
    want(&mut world, OperationKind::EndOfDay);
    let id = until_requested(&mut world);
    world.run_for(10 * MINUTE_MS);
    assert_eq!((effects(&world, id), world.cloud.stored.foreign.len()), (1, 0));
    let verdict = foreign(&mut world, id);
    assert!(is_completed(&verdict));
    assert_eq!((verdict.origin, verdict.created_by.as_str()), (Origin::Local, "1"));
    end(world);
}

#[test]
fn cut_off_anywhere_and_asked_for_again_it_runs_once() {
    for cut in 0..6 {
        let mut world = connected();
        world.apply(&crash_after(cut));
        want(&mut world, OperationKind::EndOfDay);
        world.run_for(2_000);
        // Whoever got no answer asks again, with the same key.
        want(&mut world, OperationKind::EndOfDay);
        let id = until_requested(&mut world);
        assert!(is_completed(&foreign(&mut world, id)), "cut after {cut} effects");
        assert_eq!((starts(&world, id), effects(&world, id)), (1, 1), "cut after {cut} effects");
        end(world);
    }
}

#[test]
fn one_of_the_cloud_and_one_of_the_terminal_take_turns() {
    let mut world = connected();
    want(&mut world, OperationKind::EndOfDay);
    let of_cloud = plain(&mut world, 2, OperationKind::EndOfDay);
    let id = until_requested(&mut world);
    assert!(is_completed(&foreign(&mut world, id)));
    assert!(is_completed(&verdict(&mut world, of_cloud)));
    assert_eq!((effects(&world, id), effects(&world, of_cloud)), (1, 1));
    end(world);
}

#[test]
fn a_terminal_without_room_refuses_and_runs_nothing() {
    let mut world = connected();
    world.apply(&What::DiskFull { ms: 10 * MINUTE_MS, hard: false });
    // It notices with the next commit.
    plain(&mut world, 2, OperationKind::CheckUpdate);
    world.run_for(MINUTE_MS);
    want(&mut world, OperationKind::EndOfDay);
    world.run_for(MINUTE_MS);
    assert_eq!(world.counters.of("answered at the terminal", "STORAGE_FULL"), 1);
    assert_eq!(world.requested(1), None);
    end(world);
}

#[test]
fn what_is_wrong_or_the_clouds_is_refused_and_runs_nothing() {
    let mut world = connected();
    want(&mut world, OperationKind::Unlock);
    let wrong = |planned: &mut PlannedOperation| parameters(planned, &json!({"nonsense": 1}));
    wanted(&mut world, planned(1, OperationKind::EndOfDay, wrong));
    world.run_for(MINUTE_MS);
    let answered = |code| world.counters.of("answered at the terminal", code);
    assert_eq!((answered("UNAUTHORIZED"), answered("INVALID_PARAMETERS")), (1, 1));
    assert_eq!(world.requested(1), None);
    end(world);
}

#[test]
fn the_schedule_closes_once_a_day_also_while_offline() {
    let mut world = scheduled();
    world.apply(&What::NetworkDown { ms: 2 * HOUR_MS, hangs: true });
    let id = until_scheduled(&mut world);
    assert_eq!(world.now, AT_MS);
    world.run_until(23 * HOUR_MS);
    let verdict = foreign(&mut world, id);
    assert!(is_completed(&verdict));
    assert_eq!((verdict.origin, verdict.created_by.as_str()), (Origin::Local, "schedule"));
    assert_eq!((effects(&world, id), world.scheduled().len()), (1, 1));
    world.run_until(24 * HOUR_MS + AT_MS + MINUTE_MS);
    let both = world.scheduled();
    assert_eq!(both.len(), 2);
    assert!(both.iter().all(|id| effects(&world, *id) == 1));
    end(world);
}

#[test]
fn restarts_and_a_clock_that_is_set_back_on_the_same_date_do_not_close_twice() {
    for cut in 0..6 {
        let mut world = scheduled();
        world.run_until(AT_MS - 1);
        world.apply(&crash_after(cut));
        world.run_for(5_000);
        world.apply(&power_cut(5_000));
        world.run_for(MINUTE_MS);
        world.apply(&What::ClockJump { ms: -5 * 60_000 });
        world.run_for(HOUR_MS);
        let [id] = world.scheduled()[..] else { panic!("cut after {cut}: {:?}", world.violation) };
        assert_eq!(effects(&world, id), 1, "cut after {cut} effects");
        assert!(is_completed(&foreign(&mut world, id)), "cut after {cut} effects");
        end(world);
    }
}

#[test]
fn a_memory_that_is_lost_between_does_not_close_twice() {
    let mut world = scheduled();
    let id = until_scheduled(&mut world);
    foreign(&mut world, id);
    world.apply(&What::StoreDamage);
    world.run_for(HOUR_MS);
    assert_eq!(world.scheduled(), [id]);
    assert_eq!((starts(&world, id), effects(&world, id)), (1, 1));
    end(world);
}

#[test]
fn an_untrusted_clock_closes_nothing_until_it_is_set_within_the_window() {
    for (set_at_ms, closes) in [(AT_MS + 10 * MINUTE_MS, 1), (AT_MS + WINDOW_MS, 0)] {
        let mut world = scheduled();
        world.run_until(AT_MS - 10 * MINUTE_MS);
        let (off_ms, clock_lost_ms) = (5_000, Some(set_at_ms - world.now - 5_000));
        world.apply(&What::PowerCut(PowerLoss { off_ms, clock_lost_ms }));
        world.run_until(set_at_ms - 1);
        assert_eq!(world.scheduled(), []);
        world.run_until(set_at_ms + HOUR_MS);
        assert_eq!(world.scheduled().len(), closes);
        end(world);
    }
}

#[test]
fn what_was_due_while_the_terminal_was_off_is_not_caught_up() {
    let mut world = scheduled();
    world.run_until(AT_MS - MINUTE_MS);
    world.apply(&power_cut(9 * HOUR_MS));
    world.run_for(12 * HOUR_MS);
    assert_eq!(world.scheduled(), []);
    connect(&mut world);
    // The next evening it closes as ever.
    world.run_until(24 * HOUR_MS + AT_MS + MINUTE_MS);
    assert_eq!(world.scheduled().len(), 1);
    end(world);
}

#[test]
fn what_cannot_start_within_its_window_expires() {
    let mut world = scheduled();
    connect(&mut world);
    world.run_until(AT_MS - MINUTE_MS);
    plain_hang(&mut world);
    let id = until_scheduled(&mut world);
    world.run_until(AT_MS + WINDOW_MS + MINUTE_MS);
    assert_eq!(code(&foreign(&mut world, id)), Some(ErrorCode::Expired));
    assert_eq!(starts(&world, id), 0);
    end(world);
}

/// Something that keeps the lane for an hour.
fn plain_hang(world: &mut World) {
    let slow = planned(2, OperationKind::CheckUpdate, |planned| {
        planned.deadline_s = 7_200;
        planned.hardware = Behaviour { latency_ms: HOUR_MS, ..Behaviour::default() };
    });
    world.apply(&What::Operation(Box::new(slow)));
}

#[test]
fn a_terminal_that_nobody_asks_anything_begins_nothing() {
    let mut world = begin();
    world.run_for(24 * HOUR_MS);
    assert_eq!(world.scheduled(), []);
    end(world);
}
