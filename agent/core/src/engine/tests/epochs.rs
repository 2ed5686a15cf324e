//! Rules 3 and 4: a new epoch renumbers everything and deletes nothing; an operation of a lost
//! epoch is never simply run.

use terminal_hal::{ErrorCode, Failure, OperationKind, SideEffects};
use uuid::Uuid;

use super::{
    samples::{HOUR_MS, id, result},
    world::World,
};
use crate::engine::{CallOutcome, Event, Verification};
use crate::protocol::{
    CloudFrame, EventName, OperationFrame, ReportBody, ReportId, Seq, StoreEpoch, Welcome,
};

/// Three verdicts, of which the first two are acked, and an operation that waits behind another.
fn used() -> World {
    let mut w = World::connected();
    for n in 1..=3 {
        w.dispatch(n, OperationKind::SendLogs);
        w.complete(n);
    }
    w.ack(2);
    w.dispatch(10, OperationKind::EndOfDay);
    w.dispatch(11, OperationKind::OpenMenu);
    w.lose_link();
    w
}

/// Ids of verdicts that went out with their seqs.
fn verdicts(effects: &super::effects::Effects) -> Vec<(u64, terminal_hal::OperationId)> {
    let verdicts = effects.reports.iter().filter_map(|report| match &report.body {
        ReportBody::Operation(verdict) => Some((report.seq.0, verdict.id)),
        _ => None,
    });
    verdicts.collect()
}

fn assert_minted(w: &mut World, contradiction: Welcome) {
    let old = w.epoch();
    let unfinished = w.engine.operations.len();
    let effects = w.receive(&CloudFrame::Welcome(contradiction));
    assert_ne!(w.epoch(), old);
    assert_eq!(effects.appends(), 1, "the epoch is durable before it is used");
    assert_eq!(effects.close_codes(), [1000]);
    assert!(effects.reports.is_empty());
    w.step(&Event::LinkClosed(crate::engine::LinkEnd::Lost { reason: String::new() }));
    assert_eq!(w.engine.operations.len(), unfinished, "nothing is forgotten");

    let hello = w.open_link();
    assert_eq!(hello.hello().store_epoch, w.epoch());
    assert_eq!((hello.hello().outbox.first_seq, hello.hello().outbox.last_seq), (Seq(1), Seq(4)));
    let welcome = w.welcome();
    let effects = w.receive(&CloudFrame::Welcome(welcome));
    assert_eq!(effects.seqs(), [1, 2, 3, 4]);
    assert_eq!(verdicts(&effects), [(1, id(1)), (2, id(2)), (3, id(3))]);
    assert_eq!(effects.events(), [EventName::EpochChanged]);
    assert!(effects.reports.iter().all(|report| report.store_epoch == w.epoch()));
}

// Rule 3
#[test]
fn a_foreign_report_under_the_acked_seq_mints_an_epoch_and_renumbers_everything() {
    let mut w = used();
    w.open_link();
    let foreign = Some(ReportId(Uuid::from_u128(99)));
    let welcome = Welcome { ack_report_id: foreign, ..w.welcome() };
    assert_minted(&mut w, welcome);
}

// Rule 3
#[test]
fn a_foreign_report_under_an_unacked_seq_mints_an_epoch() {
    let mut w = used();
    w.open_link();
    let foreign = Some(ReportId(Uuid::from_u128(99)));
    let welcome = Welcome { ack_seq: Seq(3), ack_report_id: foreign, ..w.welcome() };
    assert_minted(&mut w, welcome);
}

// Rule 3
#[test]
fn an_ack_beyond_what_was_sent_mints_an_epoch() {
    for ack_seq in [4, u64::MAX] {
        let mut w = used();
        w.open_link();
        let welcome = Welcome { ack_seq: Seq(ack_seq), ack_report_id: None, ..w.welcome() };
        assert_minted(&mut w, welcome);
    }
}

// Rule 3
#[test]
fn a_welcome_that_agrees_mints_nothing() {
    let mut w = used();
    w.open_link();
    let epoch = w.epoch();
    for (seq, known) in [(0, None), (2, None), (3, Some(w.store.reports[&Seq(3)].report_id))] {
        let welcome = Welcome { ack_seq: Seq(seq), ack_report_id: known, ..w.welcome() };
        w.receive(&CloudFrame::Welcome(welcome));
        assert_eq!(w.epoch(), epoch);
        w.lose_link();
        w.open_link();
    }
}

// Rule 3
#[test]
fn the_new_numbers_survive_a_restart_and_acks_of_them_settle_the_right_reports() {
    let mut w = used();
    w.open_link();
    let welcome = Welcome { ack_seq: Seq(9), ack_report_id: None, ..w.welcome() };
    assert_minted(&mut w, welcome);
    w.ack(2);
    let epoch = w.epoch();
    w.restart();
    assert_eq!(w.epoch(), epoch);
    let effects = w.connect();
    assert_eq!(effects.seqs()[..2], [3, 4]);
    assert_eq!(verdicts(&effects)[0], (3, id(3)));
    let again = w.dispatch(1, OperationKind::SendLogs);
    assert_eq!(verdicts(&again), [(1, id(1))]);
    assert!(again.starts().is_empty());
}

// Rule 3
#[test]
fn a_second_new_epoch_begins_with_what_is_left() {
    let mut w = used();
    for _ in 0..3 {
        w.open_link();
        let welcome = Welcome { ack_seq: Seq(1_000), ack_report_id: None, ..w.welcome() };
        w.receive(&CloudFrame::Welcome(welcome));
        w.lose_link();
    }
    let effects = w.connect();
    assert_eq!(effects.seqs(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(verdicts(&effects), [(1, id(1)), (2, id(2)), (3, id(3))]);
}

// Rule 3
#[test]
fn with_nothing_kept_the_new_epoch_begins_with_its_own_event() {
    let mut w = World::connected();
    w.step(&Event::StorageChanged { low: true });
    w.step(&Event::StorageChanged { low: false });
    w.ack(1);
    w.lose_link();
    w.open_link();
    let welcome = Welcome { ack_seq: Seq(50), ack_report_id: None, ..w.welcome() };
    w.receive(&CloudFrame::Welcome(welcome));
    w.lose_link();
    let effects = w.connect();
    assert_eq!((effects.seqs(), effects.events()), (vec![1], vec![EventName::EpochChanged]));
}

// Rule 3
#[test]
fn what_was_acked_and_forgotten_keeps_its_place_in_the_new_epoch_as_dropped() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::SendLogs);
    w.complete(1);
    w.step(&Event::StorageChanged { low: true });
    w.step(&Event::StorageChanged { low: false });
    w.ack(2);
    w.lose_link();
    w.open_link();
    let welcome = Welcome { ack_seq: Seq(50), ack_report_id: None, ..w.welcome() };
    w.receive(&CloudFrame::Welcome(welcome));
    w.lose_link();
    let before = w.connect();
    assert_eq!(before.seqs(), [1, 2, 3]);
    assert_eq!(before.reports[1].body, ReportBody::Dropped);
    w.restart();
    assert_eq!(w.connect().reports, before.reports);
}

// Rule 3
#[test]
fn a_store_made_on_another_device_gets_an_epoch_and_its_work_is_not_finished_here() {
    let mut w = used();
    w.connect();
    w.configuration(4);
    let old = w.epoch();
    w.identity.serial_number = "SN-2".into();
    let started = w.restart();
    assert_ne!(w.epoch(), old);
    assert!(started.starts().is_empty() && started.questions().is_empty());
    for n in [10, 11] {
        assert_eq!(w.failed_with(n), (ErrorCode::WrongTerminal, SideEffects::Unknown));
    }
    let effects = w.connect();
    assert_eq!(effects.seqs(), [1, 2, 3, 4, 5, 6]);
    assert!(w.step(&Event::HalConnected).configured().is_empty(), "nor its configuration");
    assert!(w.restart().appends() == 0, "it is this device's store now");
}

// Rule 3
#[test]
fn a_damaged_store_is_reported_with_the_new_epoch() {
    let mut w = used();
    w.store = super::store::Store::default();
    w.start_process(Some("torn page; moved to store.damaged-1".into()));
    assert_eq!(w.connect().events(), [EventName::StoreDamaged]);
}

// Rule 4
#[test]
fn an_operation_of_a_lost_epoch_is_run_asked_about_or_failed_by_kind() {
    for kind in OperationKind::ALL {
        let mut w = World::connected();
        let first_epoch = Some(StoreEpoch(Uuid::from_u128(5)));
        let frame = OperationFrame { first_epoch, ..w.operation(1, kind) };
        let effects = w.send(frame);
        match kind {
            OperationKind::SendLogs
            | OperationKind::CheckUpdate
            | OperationKind::Lock
            | OperationKind::Unlock
            | OperationKind::Configure => assert_eq!(effects.starts(), [(id(1), 1)]),
            OperationKind::EndOfDay | OperationKind::Update => {
                assert!(effects.starts().is_empty());
                assert_eq!(effects.questions(), [(id(1), 1)]);
            }
            OperationKind::OpenMenu | OperationKind::Reboot => {
                assert!(effects.starts().is_empty());
                assert_eq!(w.failed_with(1), (ErrorCode::OutcomeUnknown, SideEffects::Unknown));
            }
        }
    }
}

// Rule 4
#[test]
fn an_operation_of_this_epoch_runs_without_a_question() {
    let mut w = World::connected();
    let first_epoch = Some(w.epoch());
    let frame = OperationFrame { first_epoch, ..w.operation(1, OperationKind::Reboot) };
    assert_eq!(w.send(frame).starts(), [(id(1), 1)]);
}

// Rule 4
#[test]
fn what_was_asked_about_runs_in_the_same_attempt_only_if_nothing_had_happened() {
    let of_lost_epoch = || {
        let mut w = World::connected();
        let first_epoch = Some(StoreEpoch(Uuid::from_u128(5)));
        let frame = OperationFrame { first_epoch, ..w.operation(1, OperationKind::EndOfDay) };
        w.send(frame);
        w
    };
    let mut w = of_lost_epoch();
    assert_eq!(w.verified(1, Verification::NotStarted).starts(), [(id(1), 1)]);
    let mut w = of_lost_epoch();
    let done = Box::new(result(OperationKind::EndOfDay));
    assert!(w.verified(1, Verification::Completed(done)).starts().is_empty());
    assert!(w.verdict(1).outcome.error.is_none());
    let mut w = of_lost_epoch();
    w.verified(1, Verification::Unknown);
    assert_eq!(w.failed_with(1), (ErrorCode::OutcomeUnknown, SideEffects::Unknown));
    w.wait(HOUR_MS);
}

// Rule 4
#[test]
fn a_failure_does_not_deny_what_the_lost_memory_may_have_held() {
    for (kind, left) in [
        (OperationKind::Lock, SideEffects::Unknown),
        (OperationKind::SendLogs, SideEffects::Partial),
        (OperationKind::CheckUpdate, SideEffects::None),
        (OperationKind::EndOfDay, SideEffects::Unknown),
        (OperationKind::OpenMenu, SideEffects::Unknown),
    ] {
        let mut w = World::connected();
        let first_epoch = Some(StoreEpoch(Uuid::from_u128(5)));
        let frame = OperationFrame { first_epoch, ttl_s: 0, ..w.operation(1, kind) };
        w.send(frame);
        assert_eq!(w.failed_with(1), (ErrorCode::Expired, left), "{kind}");
    }
    let mut w = World::connected();
    let first_epoch = Some(StoreEpoch(Uuid::from_u128(5)));
    let frame = OperationFrame { first_epoch, ..w.operation(1, OperationKind::Lock) };
    w.send(frame);
    w.finish(1, CallOutcome::Failed(Failure::new(ErrorCode::HalUnavailable, "gone")));
    assert_eq!(w.failed_with(1), (ErrorCode::HalUnavailable, SideEffects::Unknown));
}
