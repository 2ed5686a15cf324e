//! What is written is what is read, in the smallest of files.

use std::fs;

use serde_json::json;
use terminal_core::engine::{Meta, OperationState, Snapshot, Write};
use terminal_core::protocol::{Outcome, Seq};

use super::sample::{self, Dice, Model};
use super::{Home, contents};
use crate::store::StoreError;

#[test]
fn a_missing_store_is_a_new_one() {
    let home = Home::new();
    assert_eq!(home.snapshot(), Snapshot::default());
    assert_eq!(home.names(), ["store", "store.lock"]);
}

#[test]
fn all_writes_of_a_batch_are_visible_together_after_reopening() {
    let home = Home::new();
    let writes = sample::one_of_each();
    home.open().store.append(&writes).unwrap();
    let opened = home.open();
    let model = Model::of(&writes);
    let mut expected = model.snapshot();
    expected.operations.sort_by_key(|record| record.id);
    assert_eq!(opened.snapshot, expected);
    assert_eq!(expected.reports.len(), 8);
    model.assert_bodies(&opened.store);
}

#[test]
fn the_last_of_several_writes_to_one_record_wins() {
    let home = Home::new();
    let put = |n, state| Write::PutOperation(Box::new(sample::operation(n, state)));
    let writes = [
        Write::PutMeta(sample::meta(1)),
        put(1, sample::queued()),
        put(2, sample::queued()),
        Write::RemoveOperation(sample::operation_id(2)),
        put(1, sample::running()),
        Write::RemoveOperation(sample::operation_id(3)),
        put(3, sample::queued()),
        Write::PutMeta(sample::meta(2)),
    ];
    home.open().store.append(&writes).unwrap();
    let snapshot = home.snapshot();
    assert_eq!(snapshot, Model::of(&writes).snapshot());
    assert_eq!(snapshot.operations.len(), 2);
    assert_eq!(snapshot.meta, Some(sample::meta(2)));
}

#[test]
fn whose_the_records_are_is_remembered() {
    let home = Home::new();
    let owner = Some("P11223351-T0001".to_owned());
    let meta = Meta { owner, held_up_to: Seq(7), ..sample::meta(1) };
    home.open().store.append(&[Write::PutMeta(meta.clone())]).unwrap();
    assert_eq!(home.snapshot().meta, Some(meta));
}

#[test]
fn a_report_that_was_removed_is_gone() {
    let home = Home::new();
    let mut store = home.open().store;
    store.append(&sample::one_of_each()).unwrap();
    assert!(store.report(Seq(6)).unwrap().is_some());
    store.append(&[Write::RemoveReport(Seq(6))]).unwrap();
    assert_eq!(store.report(Seq(6)).unwrap(), None);
    assert_eq!(store.report(Seq(600)).unwrap(), None);
}

#[test]
fn a_reopened_store_equals_the_model_under_random_writes() {
    for seed in 0..12 {
        let home = Home::new();
        let mut dice = Dice(seed);
        let mut model = Model::default();
        let mut opened = home.open();
        for _ in 0..60 {
            let writes = dice.writes();
            opened.store.append(&writes).unwrap();
            model.apply(&writes);
            if dice.below(8) == 0 {
                model.assert_bodies(&opened.store);
                drop(opened);
                opened = home.open();
                assert_eq!(opened.damage, None, "seed {seed}");
                assert_eq!(opened.snapshot, model.snapshot(), "seed {seed}");
            }
        }
        model.assert_bodies(&opened.store);
        // sled does not sync these.
        assert_eq!(contents(&home.store().join("blobs")), [], "seed {seed}");
    }
}

#[test]
fn a_finished_operation_keeps_only_what_answers_a_repetition() {
    let finished = sample::operation(1, OperationState::Finished { seq: Seq(4) });
    let kept = crate::store::kept(&finished);
    assert!(kept.parameters.is_empty() && kept.created_by.is_empty());
    assert_eq!((kept.id, kept.not_after), (finished.id, finished.not_after));
    assert_eq!((kept.arrival, kept.state), (finished.arrival, finished.state));
    let running = sample::operation(1, sample::restarting());
    assert_eq!(crate::store::kept(&running), running);
}

#[test]
fn a_record_at_the_limit_is_stored_and_one_above_is_refused() {
    let home = Home::new();
    let with = |bytes: usize| {
        let mut record = sample::configuration(1);
        let config = &mut record.applied.as_mut().unwrap().config;
        config.insert("filler".to_owned(), json!("x".repeat(bytes)));
        Write::PutConfiguration(Box::new(record))
    };
    let limit = super::super::key::RECORD_BYTES_MAX;
    let mut store = home.open().store;
    let overhead = {
        store.append(&[with(0)]).unwrap();
        usize::try_from(store.stats().bytes).unwrap() - 2
    };
    store.append(&[with(limit - overhead)]).unwrap();
    let error = store.append(&[with(limit - overhead + 1)]).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { .. }), "{error}");
    drop(store);
    assert_eq!(home.snapshot(), Model::of(&[with(limit - overhead)]).snapshot());
}

#[test]
fn the_file_stays_small_when_old_records_are_removed() {
    let home = Home::new();
    let mut store = home.open().store;
    for n in 1..1_500 {
        for writes in life_of_an_operation(n) {
            store.append(&writes).unwrap();
        }
    }
    let bytes = fs::metadata(home.store().join("db")).unwrap().len();
    assert!(bytes <= 3 << 20, "{bytes} bytes");
    let stats = store.stats();
    println!(
        "{} commits, {} syncs, {} bytes of payload, file of {bytes} bytes",
        stats.commits, stats.syncs, stats.bytes
    );
    // Accepted, started, finished, and the removal of another one.
    assert!(stats.bytes / 1_500 < 1_500, "{} bytes per operation", stats.bytes / 1_500);
}

/// The commits of one operation, the last removing the one of twenty before.
pub(super) fn life_of_an_operation(n: u64) -> [Vec<Write>; 2] {
    let put = |state| Write::PutOperation(Box::new(sample::operation(n, state)));
    let started = vec![put(sample::running())];
    let outcome = Outcome::completed(json!({"batch": n, "count": 12, "total": 123_456}));
    let mut finished = vec![
        put(OperationState::Finished { seq: Seq(n) }),
        sample::put_report(sample::report(n, sample::verdict(n, outcome))),
        Write::PutMeta(sample::meta(n.saturating_sub(1))),
    ];
    if let Some(old) = n.checked_sub(20) {
        finished.push(Write::RemoveReport(Seq(old)));
        finished.push(Write::RemoveOperation(sample::operation_id(old)));
    }
    [started, finished]
}
