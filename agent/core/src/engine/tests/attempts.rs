//! Rule 9: attempts are journalled before they begin, and there are three of them.

use terminal_hal::{ErrorCode, OperationKind, SideEffects};

use super::{samples::id, world::World};
use crate::engine::{CallOutcome, Verification, Write};

// Rule 9
#[test]
fn every_kind_is_tried_three_times_at_most() {
    for kind in OperationKind::ALL {
        let mut w = World::connected();
        w.dispatch(1, kind);
        for attempt in 2..=3 {
            let started = w.restart();
            if kind == OperationKind::OpenMenu {
                break;
            }
            let begun = [started.starts(), started.questions()].concat();
            assert_eq!(begun, [(id(1), attempt)], "{kind}");
            assert!(matches!(started.writes()[..], [Write::PutOperation(_)]), "{kind}");
        }
        let started = w.restart();
        assert!(started.starts().is_empty() && started.questions().is_empty(), "{kind}");
        assert_eq!(w.failure(1).code, ErrorCode::Interrupted, "{kind}");
    }
}

// Rule 9
#[test]
fn verification_that_is_cut_off_counts_as_an_attempt() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    assert_eq!(w.restart().questions(), [(id(1), 2)]);
    assert_eq!(w.verified(1, Verification::NotStarted).starts(), [(id(1), 2)]);
    assert_eq!(w.restart().questions(), [(id(1), 3)]);
    w.verified(1, Verification::Running);
    w.restart();
    assert_eq!(w.failed_with(1), (ErrorCode::Interrupted, SideEffects::Unknown));
}

// Rule 9
#[test]
fn an_attempt_that_was_put_off_does_not_count() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Update);
    for _ in 0..5 {
        w.finish(1, CallOutcome::Deferred { retry_after_s: 1 });
        assert_eq!(w.wait(1_000).starts(), [(id(1), 1)]);
    }
    w.restart();
    w.verified(1, Verification::NotStarted);
    w.finish(1, CallOutcome::Deferred { retry_after_s: 1 });
    assert_eq!(w.wait(1_000).starts(), [(id(1), 2)], "the one before was cut off");
}

// Rule 9
#[test]
fn a_crash_before_the_append_leaves_nothing_and_one_after_it_costs_an_attempt() {
    let mut w = World::connected();
    let frame = w.operation(1, OperationKind::SendLogs);
    let frame = crate::protocol::CloudFrame::Operation(Box::new(frame));
    let event = crate::engine::Event::FrameReceived(crate::protocol::encode(&frame).into_bytes());
    let nothing = w.store.clone();
    w.step_cut(&event, 0);
    assert_eq!(w.store, nothing);
    w.restart();
    w.connect();
    w.step_cut(&event, 1);
    assert_eq!(w.attempt(1), 1);
    assert_eq!(w.restart().starts(), [(id(1), 2)]);
}
