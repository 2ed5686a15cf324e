//! Rule 8: past its deadline an operation has failed, and its capability is not used again until
//! the call is known to be over.

use terminal_hal::{ErrorCode, Failure, OperationKind, SideEffects};

use super::{
    samples::{HOUR_MS, MINUTE_MS, id, result},
    world::World,
};
use crate::engine::{CallOutcome, Effect, Event, Verification, limits::DEADLINE_S_MAX};
use crate::protocol::{EventName, OperationFrame, encode};

/// Operation 1 has outlived its deadline.
fn overdue(kind: OperationKind) -> (World, super::effects::Effects) {
    let mut w = World::connected();
    w.dispatch(1, kind);
    let mut effects = w.wait(2 * MINUTE_MS - 1);
    assert!(!w.has_verdict(id(1)));
    effects.extend(w.wait(1));
    (w, effects)
}

// Rule 8
#[test]
fn past_its_deadline_an_operation_is_cancelled_and_fails_with_honest_side_effects() {
    for (kind, left) in [
        (OperationKind::CheckUpdate, SideEffects::None),
        (OperationKind::SendLogs, SideEffects::Partial),
        (OperationKind::EndOfDay, SideEffects::Unknown),
        (OperationKind::Lock, SideEffects::Unknown),
    ] {
        let (w, effects) = overdue(kind);
        assert!(effects.has(&Effect::Cancel(id(1))));
        assert_eq!(w.failed_with(1), (ErrorCode::DeadlineExceeded, left));
        assert_eq!(w.verdict(1).duration_ms, 2 * MINUTE_MS);
    }
}

// Rule 8
#[test]
fn the_slot_is_free_but_the_same_capability_is_unavailable_until_the_call_came_back() {
    let (mut w, _) = overdue(OperationKind::EndOfDay);
    w.dispatch(2, OperationKind::EndOfDay);
    assert_eq!(w.failed_with(2), (ErrorCode::HalUnavailable, SideEffects::None));
    assert_eq!(w.dispatch(3, OperationKind::SendLogs).starts(), [(id(3), 1)]);
    w.complete(3);
    let outcome = CallOutcome::Completed(Box::new(result(OperationKind::EndOfDay)));
    let late = w.step(&Event::Finished { id: id(1), attempt: 1, outcome });
    assert_eq!(late.events(), [EventName::LateOutcome]);
    assert_eq!(w.failure(1).code, ErrorCode::DeadlineExceeded, "the verdict stands");
    assert_eq!(w.dispatch(4, OperationKind::EndOfDay).starts(), [(id(4), 1)]);
}

// Rule 8
#[test]
fn update_and_check_update_share_a_capability() {
    let (mut w, _) = overdue(OperationKind::CheckUpdate);
    w.dispatch(2, OperationKind::Update);
    assert_eq!(w.failure(2).code, ErrorCode::HalUnavailable);
}

// Rule 8
#[test]
fn a_call_that_can_be_asked_about_is_asked_until_it_is_known_to_be_over() {
    let (mut w, _) = overdue(OperationKind::EndOfDay);
    w.ack(1);
    for _ in 0..3 {
        assert_eq!(w.wait(MINUTE_MS / 2).questions(), [(id(1), 1)]);
        for answer in [Verification::Running, Verification::Unavailable] {
            assert!(w.step(&Event::Verified { id: id(1), attempt: 1, answer }).is_empty());
        }
    }
    let mut failure = Failure::new(ErrorCode::HostRejected, "no");
    failure.failure_reason = "x".repeat(1 << 20);
    let answer = Verification::Failed(failure);
    let known = w.step(&Event::Verified { id: id(1), attempt: 1, answer });
    assert!(known.has(&Effect::Abandon(id(1))));
    assert_eq!(known.events(), [EventName::LateOutcome]);
    assert!(encode(&known.reports[0]).len() < 1_000, "fits into a frame");
    assert_eq!(w.dispatch(2, OperationKind::EndOfDay).starts(), [(id(2), 1)]);
    assert!(w.wait(MINUTE_MS).questions().is_empty());
}

// Rule 8
#[test]
fn a_call_that_is_dead_without_an_outcome_is_abandoned_silently() {
    for answer in [Verification::NotStarted, Verification::Unknown] {
        let (mut w, _) = overdue(OperationKind::EndOfDay);
        let known = w.step(&Event::Verified { id: id(1), attempt: 1, answer });
        assert!(known.has(&Effect::Abandon(id(1))));
        assert_eq!(known.appends(), 0);
        assert_eq!(w.dispatch(2, OperationKind::EndOfDay).starts(), [(id(2), 1)]);
    }
}

// Rule 8
#[test]
fn a_call_that_cannot_be_asked_about_is_abandoned_after_a_while() {
    let (mut w, _) = overdue(OperationKind::OpenMenu);
    let effects = w.wait(MINUTE_MS / 2);
    assert!(effects.has(&Effect::Abandon(id(1))) && effects.questions().is_empty());
    assert_eq!(w.dispatch(2, OperationKind::OpenMenu).starts(), [(id(2), 1)]);
    let outcome = CallOutcome::Completed(Box::new(result(OperationKind::OpenMenu)));
    let stray = w.step(&Event::Finished { id: id(1), attempt: 1, outcome });
    assert_eq!(stray.appends(), 0, "nobody waits for it any more");
}

// Rule 8
#[test]
fn an_outcome_that_comes_with_the_deadline_counts() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.pass(HOUR_MS);
    w.complete(1);
    assert!(w.verdict(1).outcome.error.is_none());
}

// Rule 8
#[test]
fn a_deadline_is_held_within_its_bounds() {
    let mut w = World::connected();
    for (n, deadline_s, want_s) in
        [(1, 0, 1), (2, DEADLINE_S_MAX, DEADLINE_S_MAX), (3, u32::MAX, DEADLINE_S_MAX)]
    {
        let frame = OperationFrame { deadline_s, ..w.operation(n, OperationKind::EndOfDay) };
        w.send(frame);
        assert_eq!(w.store.operations[&id(n)].deadline_s, want_s);
        w.complete(n);
    }
}

// Rule 8
#[test]
fn a_configure_that_became_stale_while_it_ran_still_ends_at_its_deadline() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Configure);
    assert!(w.configuration(6).configured().is_empty(), "one at a time");
    w.wait(2 * MINUTE_MS);
    assert_eq!(w.failure(1).code, ErrorCode::DeadlineExceeded);
    assert_eq!(w.wait(MINUTE_MS).configured(), [6], "once the call is abandoned");
}

// Rule 8
#[test]
fn late_progress_is_not_passed_on_and_progress_is_at_least_a_second_apart() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    let progress = |w: &mut World| {
        let phase = "x".repeat(100);
        w.step(&Event::Progressed { id: id(1), phase, percent: Some(5) }).frames().len()
    };
    assert_eq!(progress(&mut w), 1);
    w.pass(999);
    assert_eq!(progress(&mut w), 0);
    w.pass(1);
    assert_eq!(progress(&mut w), 1);
    w.lose_link();
    w.pass(5_000);
    assert_eq!(progress(&mut w), 0, "may be dropped");
    w.complete(1);
    assert_eq!(progress(&mut w), 0);
}
