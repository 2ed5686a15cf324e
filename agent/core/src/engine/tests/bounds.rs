//! Rule 5: above its caps the terminal stores nothing and says so; at its caps it still works.

use serde_json::json;
use terminal_hal::{ErrorCode, OperationKind, Timestamp};

use super::{
    samples::{DAY_MS, id, object, settings},
    store::Store,
    world::World,
};
use crate::engine::{
    Event, OperationRecord, OperationState,
    limits::{PARAMETERS_BYTES_MAX, QUEUED_MAX, REMEMBERED_MAX, UNACKED_MAX, UNFINISHED_MAX},
};
use crate::protocol::{
    AgentFrame, OperationFrame, OperationReport, Origin, Outcome, Report, ReportBody, ReportId,
    Seq, TEXT_FRAME_BYTES_MAX, encode,
};

/// A store with that many verdicts, acked or not.
fn store_with_verdicts(n: usize, acked: bool) -> Store {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::OpenMenu);
    let mut store = w.store;
    let record = store.operations.remove(&id(1)).unwrap();
    let meta = store.meta.as_mut().unwrap();
    for seq in (1..=n as u64).map(Seq) {
        let id = id(1_000_000 + u128::from(seq.0));
        let state = OperationState::Finished { seq };
        store.operations.insert(id, OperationRecord { id, state, ..record.clone() });
        let report_id = ReportId(uuid::Uuid::from_u128(seq.0.into()));
        let body = ReportBody::Operation(Box::new(OperationReport {
            id,
            operation: "open_menu".into(),
            outcome: Outcome::completed(json!({})),
            started_at: None,
            finished_at: Timestamp::default(),
            duration_ms: 0,
            attempt: 1,
            boot_id: meta.boot_id,
            clock_trusted: true,
            origin: Origin::Cloud,
            created_by: String::new(),
        }));
        store.reports.insert(seq, Report { seq, store_epoch: meta.store_epoch, report_id, body });
    }
    if acked {
        meta.acked_seq = Seq(n as u64);
    }
    store
}

fn with_verdicts(n: usize, acked: bool) -> World {
    let mut w = World::with(settings(), store_with_verdicts(n, acked), 3);
    w.compares_memory = false;
    w.connect();
    w
}

fn assert_refused(w: &mut World, frame: OperationFrame, code: &str) {
    let (id, before) = (frame.id, w.store.clone());
    let effects = w.send(frame);
    assert_eq!(effects.error_codes(), [code]);
    assert_eq!(effects.errors()[0].reference, Some(id.to_string()));
    assert_eq!((effects.appends(), effects.accepted().len()), (0, 0));
    assert_eq!(w.store, before, "nothing is stored");
}

// Rule 5
#[test]
fn as_many_operations_as_promised_are_unfinished_and_one_more_is_refused() {
    let mut w = World::connected();
    w.compares_memory = false;
    let kinds = [OperationKind::EndOfDay, OperationKind::Lock];
    for n in 0..UNFINISHED_MAX as u128 {
        let effects = w.dispatch(n, kinds[usize::from(n % 2 == 0)]);
        assert_eq!(effects.accepted(), [(id(n), false)], "{n}");
    }
    assert_eq!(w.engine.operations.len(), UNFINISHED_MAX);
    let frame = w.operation(9_999, OperationKind::Lock);
    assert_refused(&mut w, frame, "OVERLOADED");
    assert_eq!(w.dispatch(0, OperationKind::Lock).accepted(), [(id(0), true)]);
    w.complete(0);
    assert_eq!(w.dispatch(9_999, OperationKind::Lock).accepted(), [(id(9_999), false)]);

    w.lose_link();
    let hello = w.open_link();
    let hello = AgentFrame::Hello(Box::new(hello.hello().clone()));
    assert!(encode(&hello).len() <= TEXT_FRAME_BYTES_MAX, "{}", encode(&hello).len());
}

// Rule 5
#[test]
fn parameters_of_all_operations_together_are_bounded() {
    let mut w = World::connected();
    let config = |bytes: usize| object(json!({"revision": 1, "config": {"a": "x".repeat(bytes)}}));
    let overhead = encode(&config(0)).len();
    for n in 0..16 {
        let parameters = config(PARAMETERS_BYTES_MAX / 16 - overhead);
        let frame = OperationFrame { parameters, ..w.operation(n, OperationKind::Configure) };
        assert_eq!(w.send(frame).accepted().len(), 1, "{n}");
    }
    let frame = w.operation(16, OperationKind::Lock);
    assert_refused(&mut w, frame, "OVERLOADED");
    w.complete(0);
    assert_eq!(w.dispatch(16, OperationKind::Lock).accepted(), [(id(16), false)]);
}

// Rule 5
#[test]
fn room_for_the_verdict_of_everything_accepted_is_reserved_before_accepting() {
    let mut w = with_verdicts(UNACKED_MAX - 2, false);
    assert_eq!(w.dispatch(1, OperationKind::EndOfDay).accepted().len(), 1);
    assert_eq!(w.dispatch(2, OperationKind::EndOfDay).accepted().len(), 1);
    let frame = w.operation(3, OperationKind::EndOfDay);
    assert_refused(&mut w, frame, "OVERLOADED");
    assert_eq!(w.complete(1).appends(), 1, "what was accepted gets its verdict");
    w.ack(1);
    assert_eq!(w.dispatch(3, OperationKind::EndOfDay).accepted().len(), 1);
}

// Rule 5
#[test]
fn reports_of_an_owner_before_take_room_until_they_are_discarded() {
    let mut w = with_verdicts(UNACKED_MAX - 1, false);
    w.identity.terminal_id = "T-2".into();
    w.restart();
    w.connect();
    let frame = w.operation(1, OperationKind::EndOfDay);
    assert_refused(&mut w, frame, "OVERLOADED");
    w.step(&Event::DiscardRequested);
    assert_eq!(w.dispatch(1, OperationKind::EndOfDay).accepted().len(), 1);
}

// Rule 5
#[test]
fn remembered_verdicts_are_bounded() {
    let mut w = with_verdicts(REMEMBERED_MAX - 1, true);
    assert_eq!(w.dispatch(1, OperationKind::EndOfDay).accepted().len(), 1);
    let frame = w.operation(2, OperationKind::EndOfDay);
    assert_refused(&mut w, frame, "OVERLOADED");
    w.pass(2 * DAY_MS);
    w.step(&Event::Woken);
    w.lose_link();
    w.connect();
    let frame = OperationFrame {
        not_after: w.cloud_time().plus_ms(1),
        ..w.operation(3, OperationKind::Lock)
    };
    assert_eq!(w.send(frame).accepted().len(), 1, "the oldest are forgotten");
}

// Rule 5
#[test]
fn a_full_disk_takes_no_operation_and_no_configuration_but_still_answers_for_known_ones() {
    let mut w = World::connected();
    w.dispatch(1, OperationKind::EndOfDay);
    assert_eq!(w.step(&Event::StorageChanged { low: true }).statuses().len(), 1);
    let frame = w.operation(2, OperationKind::EndOfDay);
    assert_refused(&mut w, frame, "STORAGE_FULL");
    let refused = w.configuration(1);
    assert_eq!((refused.error_codes(), refused.appends()), (vec!["STORAGE_FULL"], 0));
    assert_eq!(w.dispatch(1, OperationKind::EndOfDay).accepted(), [(id(1), true)]);
    assert_eq!(w.complete(1).appends(), 1);
    w.step(&Event::StorageChanged { low: false });
    assert_eq!(w.dispatch(2, OperationKind::EndOfDay).accepted(), [(id(2), false)]);
    assert_eq!(w.configuration(1).configured(), [1]);
}

// Rules 5 and 6
#[test]
fn a_full_lane_fails_what_comes_with_queue_full_at_n_plus_one() {
    let mut w = World::connected();
    w.compares_memory = false;
    for n in 0..=QUEUED_MAX as u128 {
        w.dispatch(n, OperationKind::EndOfDay);
        assert!(!w.has_verdict(id(n)), "{n}");
    }
    let effects = w.dispatch(1_000, OperationKind::EndOfDay);
    let failure = effects.failure(id(1_000));
    assert_eq!((failure.code, failure.retry_after_s), (ErrorCode::QueueFull, Some(60)));
    assert_eq!(w.dispatch(1_001, OperationKind::Lock).starts(), [(id(1_001), 1)]);
}
