//! The daily end of day: when it begins, and when it must not.

use terminal_hal::{OperationId, OperationKind, operation::reboot::BootReason};

use super::{
    effects::Effects,
    samples::{DAY_MS, HOUR_MS, MINUTE_MS, result, settings},
    store::Store,
    world::World,
};
use crate::engine::{
    Calendar, CallOutcome, Due, Event, LocalDate, Verification, limits::SCHEDULE_LOOK_MS_MAX,
};
use crate::protocol::{Origin, VerdictStatus};
use terminal_hal::Timestamp;

const DUE_MS: u64 = 23 * HOUR_MS + 30 * MINUTE_MS;
const WINDOW_MS: u64 = 30 * MINUTE_MS;

/// Every day at 23:30, in a zone that has no summer.
fn calendar(wall: u64) -> Option<Calendar> {
    let days = (wall + DAY_MS - DUE_MS) / DAY_MS;
    let at = (days - 1) * DAY_MS + DUE_MS;
    let date = LocalDate { year: 2024, month: 1, day: u8::try_from(days % 28 + 1).ok()? };
    Some(Calendar {
        last: Due {
            date,
            at: Timestamp::from_unix_ms(at),
            until: Timestamp::from_unix_ms(at + WINDOW_MS),
        },
        next: Timestamp::from_unix_ms(at + DAY_MS),
    })
}

/// A terminal without a link that has been running since the noon of a day.
fn world() -> World {
    let mut w = World::with(settings(), Store::default(), 1);
    w.wall += DAY_MS / 2;
    w.calendar = Some(calendar);
    w.step(&Event::Woken);
    w
}

fn at(w: &mut World, ms_of_day: u64) {
    w.wall = w.wall / DAY_MS * DAY_MS + ms_of_day;
}

fn begun(effects: &Effects) -> Option<OperationId> {
    let questions = effects.questions();
    assert!(effects.starts().is_empty(), "a scheduled end of day begins with a question");
    questions.first().map(|(id, _)| *id)
}

fn complete(w: &mut World, id: OperationId) {
    let not_started = Verification::NotStarted;
    let effects = w.step(&Event::Verified { id, attempt: 1, answer: not_started });
    assert_eq!(effects.starts(), [(id, 1)]);
    let outcome = CallOutcome::Completed(Box::new(result(OperationKind::EndOfDay)));
    w.step(&Event::Finished { id, attempt: 1, outcome });
    let verdict = w.store.verdict(id).expect("a verdict");
    assert_eq!(verdict.outcome.status, VerdictStatus::Completed);
    assert_eq!((verdict.origin, verdict.created_by.as_str()), (Origin::Local, "schedule"));
}

#[test]
fn it_begins_at_its_time_every_day_once_also_while_offline() {
    let mut w = world();
    for _ in 0..3 {
        at(&mut w, DUE_MS - 10 * MINUTE_MS);
        w.step(&Event::Woken);
        assert_eq!(begun(&w.wait(10 * MINUTE_MS - 1)), None);
        let effects = w.wait(1_000);
        complete(&mut w, begun(&effects).expect("begun"));
        assert_eq!(begun(&w.wait(WINDOW_MS + HOUR_MS)), None);
        w.wall += DAY_MS / 2;
    }
}

#[test]
fn another_owner_is_not_told_what_the_one_before_has_closed() {
    let mut w = world();
    at(&mut w, DUE_MS);
    let first = begun(&w.step(&Event::Woken)).expect("begun");
    complete(&mut w, first);
    w.identity.terminal_id = "T-2".into();
    let second =
        begun(&w.restart()).expect("the window is open, and this owner has closed nothing");
    assert_ne!(second, first, "under its id the hardware would tell the totals again");
    complete(&mut w, second);
    assert_eq!(begun(&w.restart()), None);
}

#[test]
fn neither_a_restart_nor_a_power_cut_nor_a_clock_that_is_set_back_closes_twice() {
    let mut w = world();
    at(&mut w, DUE_MS);
    let id = begun(&w.step(&Event::Woken)).expect("begun");
    assert_eq!(w.restart().questions(), [(id, 2)]);
    let finished = Verification::Completed(Box::new(result(OperationKind::EndOfDay)));
    w.step(&Event::Verified { id, attempt: 2, answer: finished });
    at(&mut w, DUE_MS - 5 * MINUTE_MS);
    assert_eq!(begun(&w.restart()), None);
    assert_eq!(begun(&w.power_cycle(BootReason::Power)), None);
    assert_eq!(begun(&w.wait(20 * MINUTE_MS)), None);
}

#[test]
fn what_a_lost_memory_may_have_begun_is_asked_about_under_the_same_id() {
    let mut w = world();
    at(&mut w, DUE_MS);
    let id = begun(&w.step(&Event::Woken)).expect("begun");
    complete(&mut w, id);
    w.store = Store::default();
    let recovered = w.start_process(Some("unreadable".to_owned()));
    assert_eq!((recovered.questions(), recovered.starts()), (vec![(id, 1)], Vec::new()));
}

#[test]
fn a_clock_that_nobody_vouches_for_begins_nothing_until_somebody_does() {
    let mut w = world();
    w.wall_trusted = false;
    at(&mut w, DUE_MS);
    assert_eq!(begun(&w.wait(10 * MINUTE_MS)), None);
    w.wall_trusted = true;
    assert!(begun(&w.wait(SCHEDULE_LOOK_MS_MAX)).is_some());
}

#[test]
fn what_was_missed_is_not_caught_up_in_trading_hours() {
    let mut w = world();
    at(&mut w, DUE_MS - MINUTE_MS);
    // Off in the evening, on in the morning.
    w.wall += DAY_MS / 2;
    assert_eq!(begun(&w.power_cycle(BootReason::Power)), None);
    assert_eq!(begun(&w.wait(2 * HOUR_MS)), None);
}

#[test]
fn it_begins_within_its_window_and_not_at_its_end() {
    let mut w = world();
    at(&mut w, DUE_MS + WINDOW_MS);
    assert_eq!(begun(&w.step(&Event::Woken)), None);
    at(&mut w, DUE_MS + WINDOW_MS - 1);
    assert!(begun(&w.step(&Event::Woken)).is_some());
}

#[test]
fn what_still_waits_at_the_end_of_its_window_never_starts() {
    let mut w = world();
    w.connect();
    w.dispatch(1, OperationKind::EndOfDay);
    at(&mut w, DUE_MS + WINDOW_MS - MINUTE_MS);
    w.step(&Event::Woken);
    let (id, _) = w.store.operations.iter().find(|(_, r)| r.origin == Origin::Local).expect("one");
    let id = *id;
    w.wait(MINUTE_MS);
    assert!(begun(&w.complete(1)).is_none());
    let failure = w.store.verdict(id).expect("a verdict").outcome.error.expect("a failure");
    assert_eq!(failure.code, terminal_hal::ErrorCode::Expired);
}

#[test]
fn a_refusal_is_tried_again_within_the_window() {
    let mut w = world();
    w.step(&Event::StorageChanged { low: true });
    at(&mut w, DUE_MS);
    assert_eq!(begun(&w.wait(10 * MINUTE_MS)), None);
    assert!(begun(&w.step(&Event::StorageChanged { low: false })).is_some());
}

#[test]
fn a_clock_that_is_set_over_the_due_time_begins_it_only_within_the_window() {
    let mut w = world();
    at(&mut w, DUE_MS - 2 * HOUR_MS);
    w.step(&Event::Woken);
    at(&mut w, DUE_MS + WINDOW_MS + MINUTE_MS);
    assert_eq!(begun(&w.wait(2 * MINUTE_MS)), None);
    at(&mut w, DUE_MS + MINUTE_MS);
    // Nobody says that the clock was set: it is looked at all the same.
    assert!(begun(&w.wait(SCHEDULE_LOOK_MS_MAX)).is_some());
}

#[test]
fn without_a_schedule_nothing_is_looked_at() {
    let mut w = World::new();
    w.calendar = None;
    w.step(&Event::Woken);
    assert_eq!(w.engine.schedule.look_at, None);
}
