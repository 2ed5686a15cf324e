//! Rule 3: reports go out in order, in a window, again and again until they are acked.

use terminal_hal::{OperationKind, Timestamp};
use uuid::Uuid;

use super::{
    samples::{MINUTE_MS, id, result},
    store::Store,
    world::World,
};
use crate::engine::{
    CallOutcome, Event,
    limits::{REPORTS_IN_FLIGHT_MAX, UNACKED_EVENTS_MAX, UNACKED_MAX},
};
use crate::protocol::{
    Ack, CloudFrame, EventName, EventReport, Report, ReportBody, ReportId, Seq, StoreEpoch, Welcome,
};

/// Runs operations `1..=n` to their end.
fn run_operations(w: &mut World, n: u128) {
    for n in 1..=n {
        w.dispatch(n, OperationKind::SendLogs);
        w.complete(n);
    }
}

/// A store with that many events that nobody has acked.
fn store_with_events(n: u64) -> Store {
    let mut store = World::new().store;
    let meta = store.meta.as_ref().unwrap();
    for seq in (1..=n).map(Seq) {
        let body = ReportBody::Event(EventReport {
            event: EventName::Booted,
            at: Timestamp::default(),
            data: serde_json::Map::new(),
        });
        let report_id = ReportId(Uuid::from_u128(seq.0.into()));
        store.reports.insert(seq, Report { seq, store_epoch: meta.store_epoch, report_id, body });
    }
    store
}

// Rule 3
#[test]
fn after_every_reconnect_reports_go_out_again_in_order_from_the_first_unacked() {
    let mut w = World::connected();
    run_operations(&mut w, 4);
    w.ack(1);
    for _ in 0..2 {
        w.lose_link();
        assert_eq!(w.connect().seqs(), [2, 3, 4]);
    }
    w.ack(3);
    w.restart();
    assert_eq!(w.connect().seqs(), [4]);
}

// Rule 3
#[test]
fn an_ack_that_got_lost_with_the_link_comes_with_the_welcome() {
    let mut w = World::connected();
    run_operations(&mut w, 3);
    w.lose_link();
    w.open_link();
    let report_id = Some(w.store.reports[&Seq(2)].report_id);
    let welcome = Welcome { ack_seq: Seq(2), ack_report_id: report_id, ..w.welcome() };
    assert_eq!(w.receive(&CloudFrame::Welcome(welcome)).seqs(), [3]);
}

// Rule 3
#[test]
fn only_a_window_of_reports_is_in_flight_and_acks_move_it() {
    let mut w = World::connected();
    w.lose_link();
    w.compares_memory = false;
    let total = REPORTS_IN_FLIGHT_MAX + 10;
    w.store = store_with_events(total);
    w.restart();
    let first = w.connect();
    assert_eq!(first.seqs(), (1..=REPORTS_IN_FLIGHT_MAX).collect::<Vec<_>>());
    let n = REPORTS_IN_FLIGHT_MAX;
    assert_eq!(w.ack(2).seqs(), [n + 1, n + 2]);
    assert_eq!(w.ack(n).seqs(), (n + 3..=total).collect::<Vec<_>>());
}

// Rule 3
#[test]
fn hello_names_the_unacked_reports_and_none_as_an_empty_range() {
    let mut w = World::new();
    let outbox = w.open_link().hello().outbox;
    assert_eq!((outbox.first_seq, outbox.last_seq), (Seq(1), Seq(0)));
    let welcome = w.welcome();
    w.receive(&CloudFrame::Welcome(welcome));
    run_operations(&mut w, 3);
    w.ack(1);
    w.lose_link();
    let outbox = w.open_link().hello().outbox;
    assert_eq!((outbox.first_seq, outbox.last_seq), (Seq(2), Seq(3)));
}

// Rule 3
#[test]
fn a_cloud_that_went_back_gets_what_is_left_and_nothing_waits_for_the_gap() {
    let mut w = World::connected();
    run_operations(&mut w, 4);
    w.ack(3);
    w.lose_link();
    w.open_link();
    let report_id = Some(w.store.reports[&Seq(1)].report_id);
    let welcome = Welcome { ack_seq: Seq(1), ack_report_id: report_id, ..w.welcome() };
    let epoch = w.epoch();
    let effects = w.receive(&CloudFrame::Welcome(welcome));
    assert_eq!(effects.seqs(), [4]);
    assert_eq!(w.epoch(), epoch);
    assert!(w.ack(4).error_codes().is_empty());
    assert!(!w.engine.outbox.in_flight());
}

// Rule 3
#[test]
fn an_ack_for_another_epoch_or_beyond_what_was_sent_settles_nothing() {
    let mut w = World::connected();
    run_operations(&mut w, 2);
    let epoch = w.epoch();
    let elsewhere = StoreEpoch(Uuid::from_u128(7));
    for (store_epoch, seq) in [(elsewhere, 1), (epoch, 3), (epoch, u64::MAX)] {
        let effects = w.receive(&CloudFrame::Ack(Ack { store_epoch, seq: Seq(seq) }));
        assert_eq!(effects.error_codes(), ["INVALID_ACK"]);
    }
    assert_eq!(w.engine.outbox.acked(), Seq(0));
    assert!(w.receive(&CloudFrame::Ack(Ack { store_epoch: epoch, seq: Seq(0) })).is_empty());
}

// Rule 3
#[test]
fn what_the_window_has_not_sent_cannot_be_acked_away() {
    let mut w = World::connected();
    w.lose_link();
    w.compares_memory = false;
    w.store = store_with_events(REPORTS_IN_FLIGHT_MAX + 1);
    w.restart();
    w.connect();
    assert_eq!(w.ack(REPORTS_IN_FLIGHT_MAX + 1).error_codes(), ["INVALID_ACK"]);
    assert_eq!(w.ack(REPORTS_IN_FLIGHT_MAX).seqs(), [REPORTS_IN_FLIGHT_MAX + 1]);
}

// Rule 3
#[test]
fn under_pressure_the_oldest_event_leaves_a_dropped_report_and_verdicts_stay() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::SendLogs);
    w.complete(1);
    w.lose_link();
    for _ in 0..UNACKED_EVENTS_MAX {
        w.step(&Event::StorageChanged { low: true });
        w.step(&Event::StorageChanged { low: false });
    }
    let dropped = |w: &World| {
        let dropped = w.store.reports.values().filter(|report| report.body == ReportBody::Dropped);
        dropped.map(|report| report.seq.0).collect::<Vec<_>>()
    };
    assert!(dropped(&w).is_empty());
    let report_id = w.store.reports[&Seq(2)].report_id;
    w.step(&Event::StorageChanged { low: true });
    w.step(&Event::StorageChanged { low: false });
    assert_eq!(dropped(&w), [2]);
    assert_eq!(w.store.reports[&Seq(2)].report_id, report_id, "the cloud may know it by that");
    assert_eq!(w.connect().seqs()[..3], [1, 2, 3]);
    assert!(w.store.verdict(id(1)).is_some());
}

// Rule 3
#[test]
fn events_stay_within_their_limit_across_restarts_that_forget_which_were_dropped() {
    let mut w = World::with(super::samples::settings(), store_with_events(1_000), 1);
    w.compares_memory = false;
    w.step(&Event::StorageChanged { low: true });
    w.step(&Event::StorageChanged { low: false });
    let kept = w.store.reports.values().filter(|report| report.body != ReportBody::Dropped);
    assert_eq!(kept.count(), UNACKED_EVENTS_MAX);
}

// Rule 3
#[test]
fn an_event_without_a_place_in_a_full_outbox_is_not_reported() {
    let events = (UNACKED_MAX + UNACKED_EVENTS_MAX) as u64;
    for (there, stored) in [(events - 1, events), (events, events)] {
        let mut w = World::with(super::samples::settings(), store_with_events(there), 1);
        w.compares_memory = false;
        w.step(&Event::StorageChanged { low: true });
        w.step(&Event::StorageChanged { low: false });
        assert_eq!(w.engine.outbox.last(), Seq(stored));
    }
}

// Rule 3
#[test]
fn configuration_reports_are_forgotten_after_the_ack_and_bounded_without_one() {
    let mut w = World::connected();
    for revision in 1..=UNACKED_EVENTS_MAX as u64 + 5 {
        w.configuration(revision);
        let outcome = crate::engine::ConfigurationOutcome::Applied { sha256: "0".repeat(64) };
        w.configured(revision, outcome);
    }
    let kept = w.store.reports.values().filter(|report| report.body != ReportBody::Dropped);
    assert_eq!(kept.count(), UNACKED_EVENTS_MAX);
    while w.engine.outbox.in_flight() {
        let sent = w.engine.outbox.sent().0;
        w.ack(sent);
    }
    w.dispatch(1, OperationKind::OpenMenu);
    assert_eq!(w.store.reports.len(), 0);
}

// Rule 3
#[test]
fn many_removals_do_not_wait_for_a_commit_for_ever() {
    let mut w = World::with(super::samples::settings(), store_with_events(2_000), 1);
    w.compares_memory = false;
    w.connect();
    let mut appends = 0;
    while w.engine.outbox.in_flight() {
        let sent = w.engine.outbox.sent().0;
        appends += w.ack(sent).appends();
    }
    assert_eq!(appends, 1);
    assert!(w.store.reports.len() < 1_000);
}

// Rule 3
#[test]
fn a_result_that_a_backend_made_too_long_still_fits_into_a_frame() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::SendLogs);
    let mut failure = terminal_hal::Failure::new(terminal_hal::ErrorCode::DeviceFault, "x");
    failure.failure_reason = "x".repeat(1 << 20);
    let effects = w.finish(1, CallOutcome::Failed(failure));
    assert_eq!(effects.failure(id(1)).failure_reason.len(), 256);
}

// Rule 3
#[test]
fn a_late_outcome_after_the_verdict_never_becomes_a_second_verdict() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::SendLogs);
    w.complete(1);
    let outcome = CallOutcome::Completed(Box::new(result(OperationKind::SendLogs)));
    let again = w.step(&Event::Finished { id: id(1), attempt: 1, outcome });
    assert_eq!(again.appends(), 0);
    w.wait(MINUTE_MS);
    assert_eq!(w.store.reports.len(), 1);
}
