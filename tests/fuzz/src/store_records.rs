//! Records of the store, whatever wrote them: what is read means the same when it is written
//! again, and an engine can begin with it.

use terminal_agent::store::kept;
use terminal_core::{
    engine::{Event, LinkEnd, OperationRecord, OperationState, Snapshot, Write},
    protocol::Seq,
};

use crate::{
    input::Input,
    store::Store,
    world::{engine, is_ahead, is_in_order, moment},
};

const RECORDS_MAX: usize = 32;
const HOUR_MS: u64 = 3_600_000;

/// Records: of each the kind, the number of its identity, its length and its bytes.
pub fn store_records(data: &[u8]) {
    let mut input = Input::new(data);
    let mut store = Store::default();
    let mut numbers = Vec::new();
    while !input.is_empty() && store.len() < RECORDS_MAX {
        let (kind, number) = (input.byte(), u64::from(input.byte()));
        // Places at both ends of their range.
        let number = if kind & 0x80 == 0 { number } else { u64::MAX - number };
        let length = usize::from(input.u16());
        store.put_raw(kind, number, input.take(length));
        numbers.push(number);
    }
    let Ok(snapshot) = store.snapshot() else { return };
    for number in numbers {
        report_survives(&store, Seq(number));
    }
    survives(&snapshot);
    begins(snapshot);
}

/// A report that can be read is the one that its head tells of, and survives being written.
fn report_survives(store: &Store, seq: Seq) {
    let Ok(Some(report)) = store.report(seq) else { return };
    let once = written(&[Write::PutReport(Box::new(report.clone()))]);
    let again = once.report(seq).ok().flatten();
    assert!(once.has_fraction() || again.as_ref() == Some(&report), "{again:?} from {report:?}");
    let twice = again.map(|report| written(&[Write::PutReport(Box::new(report))]));
    assert!(twice.is_some_and(|twice| twice.is_like(&once)), "{report:?}");
    let heads = once.snapshot().unwrap_or_default().reports;
    assert_eq!(heads.iter().map(|head| head.report_id).collect::<Vec<_>>(), [report.report_id]);
}

/// Everything but the reports, whose bodies a snapshot does not hold.
fn survives(snapshot: &Snapshot) {
    let once = written(&writes(snapshot));
    let again = once.snapshot();
    let operations = snapshot.operations.iter().map(expected_of).collect();
    let expected = Snapshot { operations, reports: Vec::new(), ..snapshot.clone() };
    assert!(once.has_fraction() || again.as_ref() == Ok(&expected), "{again:?} from {expected:?}");
    let twice = again.as_ref().map(|snapshot| written(&writes(snapshot)));
    assert!(twice.is_ok_and(|twice| twice.is_like(&once)), "{again:?} from {snapshot:?}");
}

/// Of an operation with a verdict only what answers a repetition is written.
fn expected_of(record: &OperationRecord) -> OperationRecord {
    match record.state {
        OperationState::Finished { .. } => kept(record),
        OperationState::Queued { .. } | OperationState::Running { .. } => record.clone(),
    }
}

fn writes(snapshot: &Snapshot) -> Vec<Write> {
    let mut writes = Vec::new();
    writes.extend(snapshot.meta.clone().map(Write::PutMeta));
    let operations = snapshot.operations.iter().cloned();
    writes.extend(operations.map(|record| Write::PutOperation(Box::new(record))));
    writes.extend(snapshot.configuration.clone().map(|r| Write::PutConfiguration(Box::new(r))));
    writes
}

fn written(writes: &[Write]) -> Store {
    let mut store = Store::default();
    store.append(writes);
    store
}

/// An engine with that memory starts, connects, waits and is told to stop.
fn begins(snapshot: Snapshot) {
    let mut now = moment(HOUR_MS, HOUR_MS, true, 1);
    let mut engine = engine(1, snapshot, &now);
    let lost = Event::LinkClosed(LinkEnd::Lost { reason: String::new() });
    let events = [Event::Started, Event::Woken, Event::LinkOpened, Event::Woken, lost]
        .into_iter()
        .chain(std::iter::repeat_n(Event::Woken, 8))
        .chain([Event::StopRequested]);
    for event in events {
        let mut effects = Vec::new();
        engine.step(&now, &event, &mut effects);
        is_in_order(&effects);
        is_ahead(&engine, now.monotonic);
        engine.view(&now);
        now.monotonic = engine.next_deadline().unwrap_or(now.monotonic);
        now.entropy += 1;
    }
}
