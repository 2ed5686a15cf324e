//! Rule 7: time to live counts on the boot clock, and never on a clock that nobody vouches for.

use terminal_hal::{ErrorCode, OperationKind, SideEffects, operation::reboot::BootReason};

use super::{
    samples::{HOUR_MS, MINUTE_MS, id},
    world::World,
};
use crate::engine::{Effect, Event, Verification};
use crate::protocol::OperationFrame;

/// A world in which operation 1 runs and operation 2 waits for ten minutes at most.
fn with_a_waiting_operation() -> World {
    let mut w = World::connected();
    let frame = OperationFrame { deadline_s: 3600, ..w.operation(1, OperationKind::OpenMenu) };
    w.send(frame);
    w.dispatch(2, OperationKind::EndOfDay);
    w
}

// Rule 7
#[test]
fn what_waits_too_long_expires_to_the_millisecond_and_never_starts() {
    let mut w = with_a_waiting_operation();
    w.wait(10 * MINUTE_MS - 1);
    assert!(!w.has_verdict(id(2)));
    w.wait(1);
    assert_eq!(w.failed_with(2), (ErrorCode::Expired, SideEffects::None));
    assert!(w.complete(1).starts().is_empty());
}

// Rule 7
#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    for jump in [-30_i64, 30] {
        let mut w = with_a_waiting_operation();
        w.wall = w.wall.saturating_add_signed(jump * HOUR_MS as i64);
        w.wait(10 * MINUTE_MS - 1);
        assert!(!w.has_verdict(id(2)));
        w.wait(1);
        assert_eq!(w.failure(2).code, ErrorCode::Expired);
    }
}

// Rule 7
#[test]
fn time_in_suspend_counts_even_if_the_first_thing_after_it_would_free_the_lane() {
    let mut w = with_a_waiting_operation();
    w.pass(10 * MINUTE_MS);
    assert!(w.complete(1).starts().is_empty());
    assert_eq!(w.failure(2).code, ErrorCode::Expired);

    let mut w = World::connected();
    // Less than a link outlives.
    w.send(OperationFrame { ttl_s: 60, ..w.operation(1, OperationKind::Update) });
    w.finish(1, crate::engine::CallOutcome::Deferred { retry_after_s: 30 });
    w.pass(MINUTE_MS);
    let effects = w.dispatch(2, OperationKind::OpenMenu);
    assert_eq!(effects.starts(), [(id(2), 1)]);
    assert_eq!(w.failure(1).code, ErrorCode::Expired);
}

// Rule 7
#[test]
fn a_ttl_of_zero_is_expired_and_of_a_second_is_not() {
    let mut w = World::connected();
    for (n, ttl_s) in [(1, 0), (2, 1)] {
        let frame = OperationFrame { ttl_s, ..w.operation(n, OperationKind::EndOfDay) };
        w.send(frame);
    }
    assert_eq!(w.failed_with(1), (ErrorCode::Expired, SideEffects::None));
    assert_eq!(w.attempt(2), 1);
}

// Rule 7
#[test]
fn after_a_restart_in_the_same_boot_the_boot_clock_goes_on_counting() {
    let mut w = with_a_waiting_operation();
    w.dispatch(3, OperationKind::EndOfDay);
    w.wall_trusted = false;
    w.pass(10 * MINUTE_MS);
    w.restart();
    for n in [2, 3] {
        assert_eq!(w.failure(n).code, ErrorCode::Expired);
    }
}

// Rule 7
#[test]
fn after_a_boot_without_trusted_time_nothing_queued_starts_before_welcome() {
    let mut w = with_a_waiting_operation();
    w.wall_trusted = false;
    let booted = w.power_cycle(BootReason::Power);
    assert!(booted.starts().is_empty());
    assert!(w.wait(10 * MINUTE_MS).starts().is_empty());
    assert!(!w.has_verdict(id(2)), "nobody knows how long the power was away");
    w.wall -= 8 * MINUTE_MS;
    assert_eq!(w.connect().starts(), [(id(2), 1)]);
}

// Rule 7
#[test]
fn after_a_boot_the_clouds_time_decides_what_has_expired() {
    let mut w = with_a_waiting_operation();
    w.wall_trusted = false;
    w.power_cycle(BootReason::Power);
    w.cloud_ahead_ms = HOUR_MS;
    assert!(w.connect().starts().is_empty());
    assert_eq!(w.failure(2).code, ErrorCode::Expired);
}

// Rule 7
#[test]
fn after_a_boot_with_trusted_time_nothing_waits_for_the_cloud() {
    let mut w = with_a_waiting_operation();
    assert_eq!(w.power_cycle(BootReason::Power).starts(), [(id(2), 1)]);

    let mut w = with_a_waiting_operation();
    w.wall += HOUR_MS;
    assert!(w.power_cycle(BootReason::Power).starts().is_empty());
    assert_eq!(w.failure(2).code, ErrorCode::Expired);
}

// Rule 7
#[test]
fn what_turned_out_not_to_have_started_waits_for_the_time_like_anything_queued() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.wall_trusted = false;
    assert_eq!(w.power_cycle(BootReason::Power).questions(), [(id(1), 2)]);
    let answered = w.verified(1, Verification::NotStarted);
    assert_eq!((answered.starts().len(), answered.appends()), (0, 1));
    assert!(w.wait(MINUTE_MS).starts().is_empty());
    assert_eq!(w.connect().starts(), [(id(1), 2)]);
}

// Rule 7
#[test]
fn what_turned_out_not_to_have_started_expires_if_its_time_has_run_out() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.wall += HOUR_MS;
    w.power_cycle(BootReason::Power);
    assert!(w.verified(1, Verification::NotStarted).starts().is_empty());
    assert_eq!(w.failed_with(1), (ErrorCode::Expired, SideEffects::None));
}

// Rule 7
#[test]
fn a_device_that_slept_while_it_was_linked_expires_what_waited_and_connects_again() {
    let mut w = with_a_waiting_operation();
    w.pass(2 * HOUR_MS);
    let effects = w.step(&Event::Woken);
    assert_eq!(w.failure(2).code, ErrorCode::Expired);
    assert!(effects.has(&Effect::Cancel(id(1))));
    assert_eq!(effects.close_codes(), [1001]);
}

// Rule 7
#[test]
fn what_another_boot_cut_off_runs_again_only_while_its_time_to_live_lasts() {
    for (away_ms, runs_again) in [(MINUTE_MS, true), (HOUR_MS, false)] {
        let mut w = World::connected();
        w.dispatch(1, OperationKind::Lock);
        w.wall += away_ms;
        w.wall_trusted = false;
        assert!(w.power_cycle(BootReason::Power).starts().is_empty(), "nobody knows the time");
        let connected = w.connect();
        if runs_again {
            assert_eq!(connected.starts(), [(id(1), 2)]);
        } else {
            assert!(connected.starts().is_empty());
            assert_eq!(w.failed_with(1), (ErrorCode::Interrupted, SideEffects::Unknown));
        }
    }
}

// Rule 7
#[test]
fn what_an_earlier_boot_took_expires_to_the_millisecond_too() {
    let mut w = World::connected();
    let frame = w.operation(1, OperationKind::EndOfDay);
    w.send(OperationFrame { deadline_s: 3600, ..frame.clone() });
    w.send(OperationFrame { id: id(2), ..frame });
    w.power_cycle(BootReason::Power);
    w.connect();
    let expiry = w.store.operations[&id(2)].expiry.cloud;
    w.verified(1, Verification::NotStarted);
    w.wait(expiry.ms_since(w.cloud_time()) - 1);
    assert!(!w.has_verdict(id(2)));
    w.wait(1);
    assert_eq!(w.failed_with(2), (ErrorCode::Expired, SideEffects::None));
}
