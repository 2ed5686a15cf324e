//! Rule 13: a cancellation is durable, honoured by recovery, and the first verdict wins.

use serde_json::json;
use terminal_hal::{ErrorCode, Failure, OperationKind, SideEffects, operation::reboot::BootReason};

use super::{
    samples::{id, object, result},
    world::World,
};
use crate::engine::{CallOutcome, Effect, Verification};
use crate::protocol::OperationFrame;

// Rule 13
#[test]
fn what_waits_is_withdrawn_at_once_and_never_starts() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.dispatch(2, OperationKind::OpenMenu);
    let effects = w.cancel(2);
    assert_eq!((effects.appends(), effects.seqs()), (1, vec![1]));
    assert_eq!(w.failed_with(2), (ErrorCode::Canceled, SideEffects::None));
    assert!(w.complete(1).starts().is_empty());
}

// Rule 13
#[test]
fn a_cancellation_of_what_runs_is_durable_before_the_call_is_asked_to_stop() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    let effects = w.cancel(1);
    assert!(matches!(effects.all[..], [Effect::Append(_), Effect::Cancel(_)]));
    assert!(w.store.operations[&id(1)].cancel_requested);
    assert!(w.cancel(1).is_empty(), "once is enough");
}

// Rule 13
#[test]
fn the_first_verdict_wins() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.cancel(1);
    w.complete(1);
    assert!(w.verdict(1).outcome.error.is_none(), "it had been too late");
    let again = w.cancel(1);
    assert_eq!((again.appends(), again.seqs()), (0, vec![1]), "the stored report answers");

    w.dispatch(2, OperationKind::EndOfDay);
    w.cancel(2);
    w.finish(2, CallOutcome::Failed(Failure::new(ErrorCode::Canceled, "stopped")));
    assert_eq!(w.failure(2).code, ErrorCode::Canceled);
}

// Rule 13
#[test]
fn recovery_honours_a_cancellation_by_kind() {
    for kind in OperationKind::ALL {
        let mut w = World::connected();
        w.dispatch(1, kind);
        w.cancel(1);
        let started = w.restart();
        assert!(started.starts().is_empty(), "{kind}");
        match kind {
            OperationKind::SendLogs
            | OperationKind::CheckUpdate
            | OperationKind::Reboot
            | OperationKind::Lock
            | OperationKind::Unlock
            | OperationKind::Configure => assert_eq!(w.failure(1).code, ErrorCode::Canceled),
            OperationKind::OpenMenu => assert_eq!(w.failure(1).code, ErrorCode::Interrupted),
            OperationKind::EndOfDay | OperationKind::Update => {
                assert_eq!(started.questions(), [(id(1), 2)]);
                assert!(w.verified(1, Verification::NotStarted).starts().is_empty());
                assert_eq!(w.failed_with(1), (ErrorCode::Canceled, SideEffects::None));
            }
        }
    }
}

// Rule 13
#[test]
fn what_had_happened_before_the_cancellation_is_reported_as_it_is() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    w.cancel(1);
    w.restart();
    w.verified(1, Verification::Completed(Box::new(result(OperationKind::EndOfDay))));
    assert!(w.verdict(1).outcome.error.is_none());
}

// Rule 13
#[test]
fn a_cancelled_operation_does_not_call_for_its_restart() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Reboot);
    w.cancel(1);
    let effects =
        w.finish(1, CallOutcome::ReadyToRestart { instance: None, application_hangs: false });
    assert!(effects.restarts().is_empty());
    assert_eq!(w.failure(1).code, ErrorCode::Canceled);
}

// Rules 12 and 13
#[test]
fn a_restart_that_was_cancelled_is_not_called_for_again_but_reported_if_it_came() {
    for kind in [OperationKind::Reboot, OperationKind::Update] {
        let cancelled = || {
            let mut w = World::connected();
            w.dispatch(1, kind);
            w.finish(1, CallOutcome::ReadyToRestart { instance: None, application_hangs: false });
            assert!(w.cancel(1).has(&Effect::Cancel(id(1))));
            w
        };
        let mut w = cancelled();
        assert!(w.restart().starts().is_empty());
        assert_eq!(w.failed_with(1), (ErrorCode::Canceled, SideEffects::Unknown));
        let mut w = cancelled();
        let booted = w.power_cycle(BootReason::Unknown);
        match kind {
            OperationKind::Reboot => assert!(w.verdict(1).outcome.error.is_none()),
            _ => assert_eq!(booted.questions(), [(id(1), 1)]),
        }
    }
}

// Rule 13
#[test]
fn what_was_put_off_is_withdrawn_whether_it_waits_or_is_about_to() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::Update);
    w.cancel(1);
    w.finish(1, CallOutcome::Deferred { retry_after_s: 60 });
    assert_eq!(w.failed_with(1), (ErrorCode::Canceled, SideEffects::None));
    w.dispatch(2, OperationKind::Update);
    w.finish(2, CallOutcome::Deferred { retry_after_s: 60 });
    w.cancel(2);
    assert_eq!(w.failed_with(2), (ErrorCode::Canceled, SideEffects::None));
    assert!(w.wait(120_000).starts().is_empty());
}

// Rule 13
#[test]
fn a_cancel_of_an_unknown_operation_is_answered_and_remembers_nothing() {
    let mut w = World::connected();
    let effects = w.cancel(1);
    assert_eq!((effects.error_codes(), effects.appends()), (vec!["UNKNOWN_OPERATION"], 0));
    let parameters = object(json!({}));
    let frame = OperationFrame { parameters, ..w.operation(1, OperationKind::Lock) };
    assert_eq!(w.send(frame).starts(), [(id(1), 1)]);
}
