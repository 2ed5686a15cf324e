//! Nothing is acknowledged before it is on the medium.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use terminal_core::engine::Write;
use terminal_core::protocol::Seq;

use super::killed::run_limited;
use super::sample::{self, Dice, Model};
use super::{Home, Watched, copy_directory};
use crate::store::StoreError;

#[test]
fn every_append_syncs_once() {
    let home = Home::new();
    let medium = Arc::new(Watched::default());
    let mut store = home.open_on(&medium).unwrap().store;
    for n in 1..50 {
        let before = medium.syncs.load(Ordering::SeqCst);
        store.append(&[Write::PutMeta(sample::meta(n))]).unwrap();
        assert_eq!(medium.syncs.load(Ordering::SeqCst), before + 1);
    }
    assert_eq!(store.stats().syncs, medium.syncs.load(Ordering::SeqCst));
    assert_eq!(store.stats().commits, 49);
}

#[test]
fn an_empty_append_touches_nothing() {
    let home = Home::new();
    let medium = Arc::new(Watched::default());
    let mut store = home.open_on(&medium).unwrap().store;
    let before = store.stats();
    store.append(&[]).unwrap();
    assert_eq!(store.stats(), before);
}

/// The image is what a power cut right after the last sync would leave.
#[test]
fn what_was_on_the_medium_at_the_last_sync_holds_every_acknowledged_record() {
    let home = Home::new();
    let image = home.directory.path().join("image");
    let medium = Arc::new(Watched::default());
    let mut store = home.open_on(&medium).unwrap().store;
    *medium.image.lock().unwrap() = Some((home.store(), image.clone()));
    let mut dice = Dice(7);
    let mut model = Model::default();
    for _ in 0..60 {
        let writes = dice.writes();
        store.append(&writes).unwrap();
        model.apply(&writes);
        let after_cut = Home::new();
        copy_directory(&image, &after_cut.store());
        let opened = after_cut.open();
        assert_eq!(opened.damage, None);
        assert_eq!(opened.snapshot, model.snapshot());
        model.assert_bodies(&opened.store);
    }
}

#[test]
fn opening_syncs_what_a_killed_process_left_in_the_page_cache() {
    let home = Home::new();
    drop(home.open());
    let medium = Arc::new(Watched::default());
    let opened = home.open_on(&medium).unwrap();
    // Before sled looks, and after what it did.
    assert_eq!(opened.store.stats().syncs, 2);
}

#[test]
fn a_failed_sync_ends_the_store_and_the_next_opening_copies_it() {
    let home = Home::new();
    let medium = Arc::new(Watched::default());
    let writes = sample::one_of_each();
    let mut store = home.open_on(&medium).unwrap().store;
    store.append(&writes).unwrap();

    medium.fails.store(true, Ordering::SeqCst);
    let error = store.append(&[Write::PutMeta(sample::meta(2))]).unwrap_err();
    assert!(matches!(error, StoreError::Unsynced { .. }), "{error}");
    medium.fails.store(false, Ordering::SeqCst);
    let error = store.append(&[Write::PutMeta(sample::meta(3))]).unwrap_err();
    assert!(matches!(error, StoreError::Closed { .. }), "{error}");
    drop(store);
    assert!(home.names().contains(&"store.unsynced".to_owned()));

    let before = inode(&home);
    let opened = home.open();
    assert_eq!(opened.damage, None);
    let mut either = [Model::of(&writes), Model::of(&writes)];
    either[1].apply(&[Write::PutMeta(sample::meta(2))]);
    assert!(either.iter().any(|model| model.snapshot() == opened.snapshot));
    either[0].assert_bodies(&opened.store);
    assert_ne!(inode(&home), before, "the store was not copied");
    drop(opened);
    assert_eq!(home.names(), ["store", "store.lock"]);
    let after = inode(&home);
    drop(home.open());
    assert_eq!(inode(&home), after, "the store was copied again");
}

/// sled syncs by itself: the next sync, of another handle, may succeed without what was lost.
#[test]
fn an_error_that_sled_itself_has_met_ends_in_a_copy_too() {
    let home = Home::new();
    home.open().store.append(&sample::one_of_each()).unwrap();
    let begin = home.snapshot().meta.unwrap().acked_seq;
    let bytes = fs::metadata(home.store().join("db")).unwrap().len();
    let output = run_limited("child_that_appends", &home.store(), bytes + (64 << 10));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Io { action: \"writing to\""), "{said}");
    assert!(home.names().contains(&"store.unsynced".to_owned()));

    let before = inode(&home);
    let acked = home.snapshot().meta.unwrap().acked_seq;
    assert_ne!(inode(&home), before, "the store was not copied");
    let out = String::from_utf8_lossy(&output.stdout);
    let acknowledged = out.lines().filter_map(|line| line.parse().ok()).next_back();
    assert!(acked >= acknowledged.map_or(begin, Seq), "{acked} of {acknowledged:?}");
}

#[test]
fn a_failed_sync_while_opening_is_remembered_too() {
    let home = Home::new();
    home.open().store.append(&sample::one_of_each()).unwrap();
    let medium = Arc::new(Watched::default());
    medium.fails.store(true, Ordering::SeqCst);
    assert!(matches!(home.open_on(&medium), Err(StoreError::Unsynced { .. })));
    assert!(home.names().contains(&"store.unsynced".to_owned()));
    assert_eq!(home.snapshot(), Model::of(&sample::one_of_each()).snapshot());
}

#[test]
fn a_crash_while_the_copy_takes_its_place_loses_nothing() {
    let home = Home::new();
    home.open().store.append(&sample::one_of_each()).unwrap();
    let expected = home.snapshot();
    // Complete copy, old store half deleted.
    copy_directory(&home.store(), &home.beside("fresh"));
    fs::remove_file(home.store().join("db")).unwrap();
    assert_eq!(home.snapshot(), expected);
    // Old store deleted.
    fs::rename(home.store(), home.beside("fresh")).unwrap();
    assert_eq!(home.snapshot(), expected);
    // Copy not complete.
    fs::create_dir(home.beside("building")).unwrap();
    fs::write(home.beside("building").join("db"), b"half").unwrap();
    assert_eq!(home.snapshot(), expected);
}

fn inode(home: &Home) -> u64 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(home.store().join("db")).unwrap().ino()
}
