//! Rules 6 and 10: one at a time, in order of arrival, per lane.

use terminal_hal::{ErrorCode, OperationKind};

use super::{
    samples::{MINUTE_MS, id},
    world::World,
};
use crate::engine::{CallOutcome, Effect};
use crate::protocol::{IfBusy, IfPaymentActive, OperationFrame, Policy};

fn reject(w: &World, n: u128, kind: OperationKind) -> OperationFrame {
    let policy = Policy { if_busy: IfBusy::Reject, ..Policy::default() };
    OperationFrame { policy, ..w.operation(n, kind) }
}

// Rule 6
#[test]
fn operations_run_one_at_a_time_in_order_of_arrival_whatever_their_ids() {
    let mut w = World::connected();
    w.dispatch(9, OperationKind::EndOfDay);
    for (n, kind) in [(5, OperationKind::OpenMenu), (7, OperationKind::SendLogs)] {
        let effects = w.dispatch(n, kind);
        assert_eq!((effects.starts().len(), effects.appends()), (0, 1));
    }
    assert_eq!(w.complete(9).starts(), [(id(5), 1)]);
    let effects = w.complete(5);
    assert_eq!((effects.starts(), effects.appends()), (vec![(id(7), 1)], 1));
}

// Rule 6
#[test]
fn the_order_of_arrival_survives_a_restart() {
    let mut w = World::connected();
    for n in [9, 5, 7, 3] {
        w.dispatch(n, OperationKind::OpenMenu);
    }
    let started = w.restart();
    assert_eq!(w.failure(9).code, ErrorCode::Interrupted);
    assert_eq!(started.starts(), [(id(5), 1)]);
    w.connect();
    w.dispatch(1, OperationKind::OpenMenu);
    for (done, next) in [(5, 7), (7, 3), (3, 1)] {
        assert_eq!(w.complete(done).starts(), [(id(next), 1)]);
    }
}

// Rule 6
#[test]
fn a_busy_terminal_rejects_by_policy_and_says_when_to_come_back() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    let frame = reject(&w, 2, OperationKind::OpenMenu);
    let effects = w.send(frame);
    let failure = effects.failure(id(2));
    assert_eq!((failure.code, failure.retry_after_s), (ErrorCode::BusyOperation, Some(60)));
    let frame = reject(&w, 3, OperationKind::Lock);
    assert_eq!(w.send(frame).starts(), [(id(3), 1)], "another lane is not busy");
    w.complete(1);
    let frame = reject(&w, 4, OperationKind::OpenMenu);
    assert_eq!(w.send(frame).starts(), [(id(4), 1)]);
}

// Rule 6
#[test]
fn a_lock_does_not_queue_behind_end_of_day_and_is_serialised_with_unlock() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    assert_eq!(w.dispatch(2, OperationKind::Lock).starts(), [(id(2), 1)]);
    assert!(w.dispatch(3, OperationKind::Unlock).starts().is_empty());
    assert_eq!(w.complete(2).starts(), [(id(3), 1)]);
}

// Rule 6
#[test]
fn a_configure_operation_runs_beside_others_and_alone_in_its_lane() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    assert_eq!(w.dispatch(2, OperationKind::Configure).starts(), [(id(2), 1)]);
    assert!(w.dispatch(3, OperationKind::Configure).starts().is_empty());
    assert_eq!(w.complete(2).starts(), [(id(3), 1)]);
}

// Rule 6
#[test]
fn what_waits_for_a_maintenance_window_holds_no_slot_and_keeps_nobody_busy() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Update);
    w.dispatch(2, OperationKind::OpenMenu);
    let put_off = w.finish(1, CallOutcome::Deferred { retry_after_s: 300 });
    assert_eq!((put_off.appends(), put_off.starts()), (1, vec![(id(2), 1)]));
    w.complete(2);
    let frame = OperationFrame { deadline_s: 900, ..reject(&w, 3, OperationKind::OpenMenu) };
    assert_eq!(w.send(frame).starts(), [(id(3), 1)]);
    assert!(w.wait(5 * MINUTE_MS).starts().is_empty(), "the window is open, the lane is not");
    assert_eq!(w.complete(3).starts(), [(id(1), 1)], "the attempt was put off, not cut off");
}

// Rule 6
#[test]
fn what_was_put_off_starts_when_its_time_comes_and_expires_when_its_ttl_runs_out() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Update);
    w.finish(1, CallOutcome::Deferred { retry_after_s: 300 });
    let effects = w.wait(5 * MINUTE_MS);
    assert_eq!(effects.starts(), [(id(1), 1)]);
    w.finish(1, CallOutcome::Deferred { retry_after_s: u32::MAX });
    w.wait(5 * MINUTE_MS);
    assert_eq!(w.failure(1).code, ErrorCode::Expired);
}

// Rule 6
#[test]
fn what_was_put_off_is_put_off_no_more_than_once_a_second() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Update);
    let effects = w.finish(1, CallOutcome::Deferred { retry_after_s: 0 });
    assert!(effects.starts().is_empty());
    assert_eq!(w.wait(1_000).starts(), [(id(1), 1)]);
}

// Rule 10
#[test]
fn the_order_carries_what_the_hardware_needs_to_hold_payments() {
    let mut w = World::connected();
    let policy = Policy {
        if_payment_active: IfPaymentActive::Cancel,
        wait_max_s: u32::MAX,
        ..Policy::default()
    };
    let frame = OperationFrame { policy, ..w.operation(1, OperationKind::EndOfDay) };
    let effects = w.send(frame);
    let order = effects.all.iter().find_map(|effect| match effect {
        Effect::Start(order) => Some(order),
        _ => None,
    });
    let order = order.unwrap();
    assert_eq!(order.policy.if_payment_active, IfPaymentActive::Cancel);
    assert_eq!(order.policy.wait_max_s, crate::engine::limits::WAIT_S_MAX);
    assert_eq!(order.time_left_ms, 120_000);
}
