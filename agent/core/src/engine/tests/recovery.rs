//! Rule 11: what a crash has cut off is rerun, asked about or failed, by kind.

use terminal_hal::{ErrorCode, Failure, OperationId, OperationKind, SideEffects};

use super::{
    samples::{MINUTE_MS, id, object, result},
    world::World,
};
use crate::engine::{CallOutcome, Event, OperationState, Verification};
use crate::protocol::{AgentFrame, CloudFrame, OperationFrame, UnfinishedState};

fn cut_off(kind: OperationKind) -> (World, super::effects::Effects) {
    let mut w = World::connected();
    w.dispatch(1, kind);
    let started = w.restart();
    (w, started)
}

// Rule 11
#[test]
fn each_kind_is_recovered_as_the_table_says() {
    for kind in OperationKind::ALL {
        let (w, started) = cut_off(kind);
        match kind {
            OperationKind::SendLogs
            | OperationKind::CheckUpdate
            | OperationKind::Reboot
            | OperationKind::Lock
            | OperationKind::Unlock
            | OperationKind::Configure => assert_eq!(started.starts(), [(id(1), 2)], "{kind}"),
            OperationKind::EndOfDay | OperationKind::Update => {
                assert_eq!(started.questions(), [(id(1), 2)], "{kind}");
                assert!(started.starts().is_empty(), "{kind}");
            }
            OperationKind::OpenMenu => {
                assert!(started.starts().is_empty());
                assert_eq!(w.failed_with(1), (ErrorCode::Interrupted, SideEffects::Unknown));
            }
        }
        assert_eq!(started.appends(), 1, "{kind}");
    }
}

// Rule 11
#[test]
fn the_answer_of_the_hardware_is_the_verdict() {
    let (mut w, _) = cut_off(OperationKind::EndOfDay);
    w.verified(1, Verification::Completed(Box::new(result(OperationKind::EndOfDay))));
    assert_eq!(w.verdict(1).outcome.result.unwrap()["batch_id"], "B1");
    let (mut w, _) = cut_off(OperationKind::EndOfDay);
    let failure = Failure::new(ErrorCode::TotalsMismatch, "differ");
    w.verified(1, Verification::Failed(failure.clone()));
    assert_eq!(w.failure(1), failure);
    let (mut w, _) = cut_off(OperationKind::EndOfDay);
    w.verified(1, Verification::Unknown);
    assert_eq!(w.failed_with(1), (ErrorCode::OutcomeUnknown, SideEffects::Unknown));
}

// Rule 11
#[test]
fn a_question_holds_the_slot_and_is_repeated_until_the_hardware_is_up() {
    let (mut w, _) = cut_off(OperationKind::EndOfDay);
    w.connect();
    assert!(w.dispatch(2, OperationKind::OpenMenu).starts().is_empty());
    for answer in [Verification::Unavailable, Verification::Running] {
        assert!(w.verified(1, answer).is_empty());
        let effects = w.wait(5_000);
        assert_eq!(effects.questions(), [(id(1), 2)]);
    }
    let effects = w.verified(1, Verification::NotStarted);
    assert_eq!((effects.starts(), effects.appends()), (vec![(id(1), 2)], 0));
    assert_eq!(w.complete(1).starts(), [(id(2), 1)]);
}

// Rule 11
#[test]
fn waiting_for_the_hardware_is_bounded_and_ends_in_outcome_unknown() {
    let (mut w, _) = cut_off(OperationKind::EndOfDay);
    w.verified(1, Verification::Unavailable);
    let asked = w.wait(5_000).questions().len();
    assert_eq!(asked, 1, "no second question while the first has no answer");
    w.wait(5 * MINUTE_MS - 5_001);
    assert!(!w.has_verdict(id(1)));
    w.wait(1);
    assert_eq!(w.failed_with(1), (ErrorCode::OutcomeUnknown, SideEffects::Unknown));
    assert!(w.verified_stray(1, 2, Verification::NotStarted).is_empty());
}

// Rule 11
#[test]
fn a_long_deadline_gives_the_hardware_longer_to_answer() {
    let mut w = World::connected();
    let frame = OperationFrame { deadline_s: 600, ..w.operation(1, OperationKind::EndOfDay) };
    w.send(frame);
    w.restart();
    w.wait(10 * MINUTE_MS - 1);
    assert!(!w.has_verdict(id(1)));
    w.wait(1);
    assert!(w.has_verdict(id(1)));
}

// Rule 11
#[test]
fn an_answer_to_another_attempt_is_ignored() {
    let (mut w, _) = cut_off(OperationKind::EndOfDay);
    assert!(w.verified_stray(1, 1, Verification::NotStarted).is_empty());
    assert_eq!(w.verified(1, Verification::NotStarted).starts(), [(id(1), 2)]);
    assert!(w.verified_stray(1, 2, Verification::NotStarted).is_empty(), "it runs already");
}

// Rule 9
#[test]
fn an_outcome_of_another_attempt_is_ignored() {
    let (mut w, _) = cut_off(OperationKind::SendLogs);
    let outcome = CallOutcome::Completed(Box::new(result(OperationKind::SendLogs)));
    assert!(w.step(&Event::Finished { id: id(1), attempt: 1, outcome }).is_empty());
    assert!(!w.has_verdict(id(1)));
    w.complete(1);
    assert_eq!(w.verdict(1).attempt, 2);
}

// Rule 11
#[test]
fn hello_says_what_is_unfinished_and_how_far() {
    let (mut w, _) = cut_off(OperationKind::EndOfDay);
    w.connect();
    w.dispatch(2, OperationKind::OpenMenu);
    w.lose_link();
    let hello = w.open_link();
    let unfinished: Vec<_> = hello.hello().unfinished.iter().map(|u| (u.id, u.state)).collect();
    let want = [(id(1), UnfinishedState::Started), (id(2), UnfinishedState::Accepted)];
    assert_eq!(unfinished, want);
}

// Rule 11
#[test]
fn what_the_terminal_may_no_longer_run_is_neither_started_nor_started_again() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::SendLogs);
    w.dispatch(2, OperationKind::Update);
    w.settings.allowed = vec![OperationKind::OpenMenu];
    let started = w.restart();
    assert!(started.starts().is_empty());
    assert_eq!(w.failed_with(1), (ErrorCode::Unauthorized, SideEffects::Partial));
    assert_eq!(w.failed_with(2), (ErrorCode::Unauthorized, SideEffects::None));
}

// Rule 11
#[test]
fn an_operation_that_a_newer_agent_left_fails_and_blocks_nobody() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::OpenMenu);
    w.dispatch(2, OperationKind::OpenMenu);
    w.dispatch(3, OperationKind::OpenMenu);
    for n in [1, 2] {
        w.store.operations.get_mut(&id(n)).unwrap().operation = "dance".into();
    }
    assert_eq!(w.restart().starts(), [(id(3), 1)]);
    assert_eq!(w.failed_with(1), (ErrorCode::UnsupportedOperation, SideEffects::Unknown));
    assert_eq!(w.failed_with(2), (ErrorCode::UnsupportedOperation, SideEffects::None));
}

// Rule 11
#[test]
fn parameters_that_this_version_does_not_know_fail_the_operation() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::SendLogs);
    w.dispatch(2, OperationKind::SendLogs);
    for n in [1, 2] {
        let parameters = object(serde_json::json!({"later": 1}));
        w.store.operations.get_mut(&id(n)).unwrap().parameters = parameters;
    }
    assert!(w.restart().starts().is_empty());
    for n in [1, 2] {
        assert_eq!(w.failure(n).code, ErrorCode::InvalidParameters);
    }
}

// Rule 11
#[test]
fn no_started_leaves_before_welcome() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::SendLogs);
    let started = w.restart();
    assert!(started.frames().is_empty());
    w.open_link();
    assert!(w.complete(1).frames().is_empty());
    let welcome = w.welcome();
    let effects = w.receive(&CloudFrame::Welcome(welcome));
    assert_eq!(effects.seqs(), [1]);
    assert!(matches!(w.store.operations[&id(1)].state, OperationState::Finished { .. }));
}

// Rule 11
#[test]
fn what_has_begun_without_a_link_or_since_hello_is_announced_after_welcome() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::SendLogs);
    w.dispatch(2, OperationKind::OpenMenu);
    w.dispatch(3, OperationKind::CheckUpdate);
    w.lose_link();
    assert!(w.complete(1).frames().is_empty());
    let hello = w.open_link();
    let waits = hello.hello().unfinished.iter().filter(|u| u.state == UnfinishedState::Accepted);
    assert_eq!(waits.map(|u| u.id).collect::<Vec<_>>(), [id(3)]);
    assert_eq!(w.complete(2).starts(), [(id(3), 1)]);
    let welcome = w.welcome();
    let effects = w.receive(&CloudFrame::Welcome(welcome));
    let frames = effects.frames();
    let announced: Vec<_> = frames.iter().filter_map(|frame| started(frame)).collect();
    assert_eq!(announced, [(id(3), 1)]);
}

const fn started(frame: &AgentFrame) -> Option<(OperationId, u32)> {
    if let AgentFrame::Started(started) = frame {
        Some((started.id, started.attempt))
    } else {
        None
    }
}

// Rule 11
#[test]
fn an_attempt_that_fails_does_not_hide_what_the_one_before_may_have_done() {
    let (mut w, _) = cut_off(OperationKind::Lock);
    w.finish(1, CallOutcome::Failed(Failure::new(ErrorCode::HalUnavailable, "gone")));
    assert_eq!(w.failed_with(1), (ErrorCode::HalUnavailable, SideEffects::Unknown));
    // The hardware said that nothing had happened.
    let (mut w, _) = cut_off(OperationKind::EndOfDay);
    w.verified(1, Verification::NotStarted);
    w.finish(1, CallOutcome::Failed(Failure::new(ErrorCode::HalUnavailable, "gone")));
    assert_eq!(w.failed_with(1), (ErrorCode::HalUnavailable, SideEffects::None));
}
