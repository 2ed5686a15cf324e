//! Little space, none, and a file system that takes nothing.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;
use tempfile::TempDir;
use terminal_core::engine::Write;

use super::sample::{self, Model};
use super::{Home, Watched};
use crate::store::{OpenedStore, Store, StoreError, StoreLimits};

const MIB: u64 = 1 << 20;
const LIMITS: StoreLimits = StoreLimits { ballast_bytes: 2 * MIB, reserve_bytes: MIB };

fn open_with_free(home: &Home, free: u64) -> (Store, Arc<Watched>) {
    let medium = Arc::new(Watched::default());
    medium.free_bytes.store(free, Ordering::SeqCst);
    let opened = Store::open_on(&home.store(), LIMITS, Box::new(Arc::clone(&medium))).unwrap();
    (opened.store, medium)
}

#[test]
fn the_ballast_is_written_out_in_full() {
    use std::os::unix::fs::MetadataExt;
    let home = Home::new();
    let (mut store, _) = open_with_free(&home, 100 * MIB);
    let ballast = fs::metadata(home.beside("ballast")).unwrap();
    assert_eq!(ballast.len(), 2 * MIB);
    assert!(ballast.blocks() * 512 >= 2 * MIB);
    assert!(!store.storage_low());
}

#[test]
fn storage_is_low_below_the_reserve_and_not_at_it() {
    let home = Home::new();
    let (mut store, medium) = open_with_free(&home, 100 * MIB);
    medium.free_bytes.store(MIB, Ordering::SeqCst);
    assert!(!store.storage_low());
    medium.free_bytes.store(MIB - 1, Ordering::SeqCst);
    assert!(store.storage_low());
}

#[test]
fn the_ballast_comes_back_when_there_is_room_for_it_and_the_reserve() {
    let home = Home::new();
    let (mut store, medium) = open_with_free(&home, 3 * MIB);
    assert!(!home.beside("ballast").exists());
    assert!(store.storage_low());
    medium.free_bytes.store(3 * MIB + 1, Ordering::SeqCst);
    assert!(!store.storage_low());
    assert_eq!(fs::metadata(home.beside("ballast")).unwrap().len(), 2 * MIB);
}

#[test]
fn a_ballast_that_a_crash_cut_short_is_written_again() {
    let home = Home::new();
    fs::write(home.beside("ballast"), "short").unwrap();
    let (mut store, _) = open_with_free(&home, 100 * MIB);
    assert!(!store.storage_low());
    assert_eq!(fs::metadata(home.beside("ballast")).unwrap().len(), 2 * MIB);
}

#[test]
fn a_full_disk_takes_what_the_ballast_had_room_for_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(6 * MIB) else { return };
    let OpenedStore { mut store, .. } = disk.open();
    let mut model = Model::default();
    let writes = sample::one_of_each();
    store.append(&writes).unwrap();
    model.apply(&writes);
    assert!(!store.storage_low());
    disk.fill();

    let mut before = 0;
    let error = loop {
        let n = 100 + store.stats().commits;
        let writes = [report_of_1_kb(n)];
        match store.append(&writes) {
            Ok(()) if store.stats().ballast_spent == 0 => {
                before = store.stats().commits;
                model.apply(&writes);
            }
            Ok(()) => model.apply(&writes),
            Err(error) => break error,
        }
        assert!(n < 10_000, "the disk never filled up");
    };
    assert!(error.is_full(), "{error:?}");
    assert_eq!(error.exit_code(), 74);
    assert!(error.to_string().starts_with("no space left while writing to "), "{error}");
    let stats = store.stats();
    assert_eq!(stats.ballast_spent, 1);
    let from_ballast = stats.commits - before;
    println!("{from_ballast} commits in the space of the ballast");
    assert!(from_ballast >= 400, "the ballast took {from_ballast} commits");
    assert!(store.storage_low());
    assert!(matches!(store.append(&writes), Err(StoreError::Closed { .. })));
    drop(store);

    disk.empty();
    let mut opened = disk.open();
    assert_eq!(opened.damage, None);
    // Whether the commit that failed is there is open; all before it are.
    opened.snapshot.reports.truncate(model.snapshot().reports.len());
    assert_eq!(opened.snapshot, model.snapshot());
    model.assert_bodies(&opened.store);
    assert!(!opened.store.storage_low(), "the ballast is not back");
    opened.store.append(&writes).unwrap();
}

#[test]
fn a_full_disk_does_not_keep_the_store_from_opening() {
    let Some(disk) = SmallDisk::mount(6 * MIB) else { return };
    disk.open().store.append(&sample::one_of_each()).unwrap();
    disk.fill();
    let mut opened = disk.open();
    assert_eq!(opened.damage, None);
    assert_eq!(opened.snapshot, Model::of(&sample::one_of_each()).snapshot());
    for n in 100..120 {
        opened.store.append(&[Write::PutMeta(sample::meta(n))]).unwrap();
    }
    assert!(opened.store.storage_low() || opened.store.stats().ballast_spent == 0);
}

#[test]
fn a_disk_without_room_for_a_new_store_is_full_and_not_damaged() {
    let Some(disk) = SmallDisk::mount(MIB) else { return };
    disk.fill();
    let error = Store::open(&disk.store(), LIMITS).err().unwrap();
    assert!(error.is_full(), "{error:?}");
    assert!(!error.is_permanent());
    disk.empty();
    assert_eq!(disk.open().damage, None);
}

#[test]
fn a_read_only_file_system_is_not_damage() {
    let Some(disk) = SmallDisk::mount(6 * MIB) else { return };
    disk.open().store.append(&sample::one_of_each()).unwrap();
    disk.run("mount", &["-o", "remount,ro"]);
    let error = Store::open(&disk.store(), LIMITS).err().unwrap();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error:?}");
    assert!(error.to_string().starts_with("read-only file system while opening"), "{error}");
    disk.run("mount", &["-o", "remount,rw"]);
    let opened = disk.open();
    assert_eq!((opened.damage, opened.snapshot.operations.len()), (None, 5));
}

fn report_of_1_kb(n: u64) -> Write {
    let filler = format!("{n:08}").repeat(125);
    sample::put_report(sample::report(n, sample::event(json!({"filler": filler}))))
}

/// A file system of its own, in memory.
struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    fn mount(bytes: u64) -> Option<Self> {
        let disk = Self { directory: tempfile::tempdir().unwrap() };
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(disk.directory.path());
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(disk);
        }
        let why = format!("no permission to mount a file system of {bytes} bytes");
        assert!(std::env::var_os("E2E_REQUIRED").is_none(), "E2E_REQUIRED is set, but {why}");
        println!("skipped: {why}");
        None
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn filler(&self) -> PathBuf {
        self.directory.path().join("filler")
    }

    fn open(&self) -> OpenedStore {
        Store::open(&self.store(), LIMITS).unwrap()
    }

    /// Down to the last page.
    fn fill(&self) {
        let mut file = fs::File::create(self.filler()).unwrap();
        while file.write_all(&[1; 4096]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path: &Path = self.directory.path();
        let output = Command::new(program).args(arguments).arg(path).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).output();
    }
}
