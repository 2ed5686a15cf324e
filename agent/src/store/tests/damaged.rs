//! Damage is found, moved aside and told; what is not damage is left alone.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use nix::unistd::{Uid, setfsuid};
use terminal_core::engine::{Snapshot, Write};

use super::sample::{self, Dice, Model};
use super::{Home, contents, copy_directory};
use crate::store::{DAMAGED_STORES_MAX, StoreError, journal::wait_until_released};

#[test]
fn a_damaged_store_is_moved_aside_and_told_until_it_is_on_record() {
    let home = Home::new();
    home.open().store.append(&sample::one_of_each()).unwrap();
    let db = home.store().join("db");
    let length = fs::metadata(&db).unwrap().len();
    fs::write(&db, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();

    let opened = home.open();
    assert_eq!(opened.snapshot, Snapshot::default());
    let damage = opened.damage.unwrap();
    assert!(!damage.reason.is_empty());
    assert_eq!(fs::metadata(damage.moved_to.join("db")).unwrap().len(), length);
    drop(opened.store);

    let mut again = home.open();
    assert_eq!(again.damage, Some(damage));
    again.store.append(&[Write::PutMeta(sample::meta(0))]).unwrap();
    drop(again);
    let after = home.open();
    assert_eq!(after.damage, None);
    assert_eq!(after.snapshot.meta, Some(sample::meta(0)));
}

#[test]
fn any_damage_to_any_file_is_told_or_does_no_harm() {
    let good = Home::new();
    let mut model = Model::default();
    let mut dice = Dice(3);
    for _ in 0..4 {
        let mut store = good.open().store;
        for _ in 0..30 {
            let writes = dice.writes();
            store.append(&writes).unwrap();
            model.apply(&writes);
        }
    }
    let expected = model.snapshot();
    let (mut told, mut harmless) = (0, 0);
    for round in 0..300 {
        let home = Home::new();
        copy_directory(&good.store(), &home.store());
        let what = damage_something(&home.store(), &mut dice);
        match home.try_open() {
            Ok(opened) if opened.damage.is_some() => {
                assert_eq!(opened.snapshot, Snapshot::default());
                told += 1;
            }
            Ok(opened) => {
                assert_eq!(opened.snapshot, expected, "round {round}: {what} went unnoticed");
                model.assert_bodies(&opened.store);
                harmless += 1;
            }
            Err(StoreError::NewerFormat { .. }) if what.contains("format") => {}
            Err(error) => panic!("round {round}: {what}: {error:?}"),
        }
    }
    println!("{told} told, {harmless} harmless");
    assert!(told > 100 && harmless > 10, "{told} told, {harmless} harmless");
}

fn damage_something(store: &Path, dice: &mut Dice) -> String {
    let files = contents(store);
    // Half of the time the one that matters.
    let db = files.iter().find(|(path, _)| path.ends_with("db")).unwrap();
    let any = &files[usize::try_from(dice.below(files.len() as u64)).unwrap()];
    let (path, content) = if dice.below(2) == 0 { db } else { any };
    let length = content.len() as u64;
    let at = dice.below(length.max(1));
    let file = OpenOptions::new().write(true).open(path).unwrap();
    let kind = match dice.below(6) {
        0 => {
            file.set_len(at).unwrap();
            "cut"
        }
        1 => {
            file.set_len(0).unwrap();
            "emptied"
        }
        2 => {
            let page = at / 4096 * 4096;
            file.write_all_at(&vec![0; 4096.min((length - page) as usize)], page).unwrap();
            "zeroed a page of"
        }
        3 => {
            let noise: Vec<u8> = (0..64).map(|_| u8::try_from(dice.below(256)).unwrap()).collect();
            file.write_all_at(&noise, at).unwrap();
            "wrote noise to"
        }
        4 => {
            fs::remove_file(path).unwrap();
            "deleted"
        }
        _ => {
            let byte = content.get(at as usize).copied().unwrap_or(0);
            file.write_all_at(&[byte ^ (1 << dice.below(8))], at).unwrap();
            "flipped a bit of"
        }
    };
    format!("{kind} {} at {at} of {length}", path.display())
}

#[test]
fn a_store_that_is_older_than_it_was_is_damaged() {
    let home = Home::new();
    let mut store = home.open().store;
    store.append(&[Write::PutMeta(sample::meta(1))]).unwrap();
    let old = fs::read(home.store().join("db")).unwrap();
    store.append(&[Write::PutMeta(sample::meta(2))]).unwrap();
    drop(store);
    fs::write(home.store().join("db"), old).unwrap();
    let damage = home.open().damage.unwrap();
    assert_eq!(damage.reason, "it ends at commit 1, and commit 2 was made");
}

/// sled finds nothing wrong with these: only the summary does.
#[test]
fn records_that_are_not_those_of_the_last_commit_are_damage() {
    type Change = fn(&sled::Db);
    let changes: [(Change, &str); 4] = [
        (|db| drop(db.remove(b"m\0").unwrap()), "its records are not those that were written"),
        (|db| drop(db.insert(b"c\0", b"\x01{}").unwrap()), "its records are not"),
        (|db| drop(db.insert(b"x\0", b"new").unwrap()), "its records are not"),
        (|db| drop(db.remove(b"s").unwrap()), "its summary is missing"),
    ];
    for (change, reason) in changes {
        let home = Home::new();
        home.open().store.append(&sample::one_of_each()).unwrap();
        wait_until_released(&home.store().join("db")).unwrap();
        let db = sled::Config::new().path(home.store()).flush_every_ms(None).open().unwrap();
        change(&db);
        db.flush().unwrap();
        drop(db);
        let damage = home.open().damage.unwrap();
        assert!(damage.reason.starts_with(reason), "{}", damage.reason);
    }
}

#[test]
fn what_a_power_cut_while_opening_leaves_is_no_damage() {
    let home = Home::new();
    home.open().store.append(&sample::one_of_each()).unwrap();
    fs::write(home.store().join("snap.00000000000FFFFF.generating"), "").unwrap();
    assert!(home.snapshot().meta.is_some());
}

#[test]
fn only_the_newest_damaged_stores_are_kept() {
    let home = Home::new();
    let mut moved = Vec::new();
    // From a time when the clock was wrong.
    fs::create_dir(home.beside("damaged-9999999999-0")).unwrap();
    for _ in 0..DAMAGED_STORES_MAX + 2 {
        drop(home.try_open().unwrap());
        fs::write(home.store().join("format"), "?").unwrap();
        moved.push(home.open().damage.unwrap().moved_to);
    }
    let newest: Vec<_> = moved.split_off(moved.len() - DAMAGED_STORES_MAX);
    assert!(newest.iter().all(|path| path.is_dir()));
    assert_eq!(home.damaged().len(), DAMAGED_STORES_MAX);
}

#[test]
fn a_newer_format_is_refused_and_left_untouched() {
    let home = Home::new();
    home.open().store.append(&sample::one_of_each()).unwrap();
    fs::write(home.store().join("format"), "2\n").unwrap();
    // Whatever a later version has made of the rest.
    fs::write(home.store().join("db"), "something else").unwrap();
    let (names, before) = (home.names(), contents(&home.store()));
    let error = home.try_open().err().unwrap();
    assert!(matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. }), "{error:?}");
    assert!(error.is_permanent() && error.exit_code() == 74);
    let text = error.to_string();
    assert!(text.contains("has format 2") && text.contains("formats up to 1"), "{text}");
    assert_eq!((home.names(), contents(&home.store())), (names, before));
}

#[test]
fn a_store_that_is_open_cannot_be_opened() {
    let home = Home::new();
    let opened = home.open();
    let error = home.try_open().err().unwrap();
    assert!(matches!(error, StoreError::Locked { .. }));
    let path = home.store();
    let expected = format!("the store {} is in use by another process", path.display());
    assert_eq!(error.to_string(), expected);
    drop(opened);
    assert_eq!(home.snapshot(), Snapshot::default());
}

#[test]
fn a_store_that_something_else_locks_is_not_damaged() {
    use nix::fcntl::{Flock, FlockArg};
    let home = Home::new();
    drop(home.open());
    let db = fs::File::open(home.store().join("db")).unwrap();
    let lock = Flock::lock(db, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno);
    assert!(matches!(home.try_open(), Err(StoreError::Locked { .. })));
    drop(lock);
    assert_eq!(home.snapshot(), Snapshot::default());
}

#[test]
fn a_missing_parent_directory_is_an_error_that_names_it() {
    let home = Home::new();
    let path = home.directory.path().join("nowhere/store");
    let error = crate::store::Store::open(&path, super::NO_LIMITS).err().unwrap();
    assert!(error.to_string().starts_with("i/o error while opening the lock "), "{error}");
}

#[test]
fn a_directory_without_permission_is_not_damage() {
    let home = Home::new();
    let path = home.directory.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write everywhere; to files, this thread alone is somebody else for a moment.
    let own = setfsuid(Uid::from_raw(65534));
    let error = home.try_open().err().unwrap();
    setfsuid(own);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert_eq!(error.exit_code(), 77);
}
