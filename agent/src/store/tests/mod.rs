//! Tests of the store, with what they share: a medium that can be watched and told to fail, and
//! records to write.

mod basics;
mod damaged;
mod golden;
mod killed;
mod sample;
mod space;
mod synced;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use terminal_core::engine::Snapshot;

use super::medium::{Kernel, Medium};
use super::{OpenedStore, Store, StoreError, StoreLimits};

/// No ballast, and never low: what most tests want.
const NO_LIMITS: StoreLimits = StoreLimits { ballast_bytes: 0, reserve_bytes: 0 };

/// A directory with room for a store called `store`.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.path().join(format!("store.{suffix}"))
    }

    fn open(&self) -> OpenedStore {
        Store::open(&self.store(), NO_LIMITS).unwrap()
    }

    fn try_open(&self) -> Result<OpenedStore, StoreError> {
        Store::open(&self.store(), NO_LIMITS)
    }

    fn open_on(&self, medium: &Arc<Watched>) -> Result<OpenedStore, StoreError> {
        Store::open_on(&self.store(), NO_LIMITS, Box::new(Arc::clone(medium)))
    }

    fn snapshot(&self) -> Snapshot {
        let opened = self.open();
        assert_eq!(opened.damage, None);
        opened.snapshot
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> =
            entries.map(|entry| name(entry).to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn damaged(&self) -> Vec<String> {
        self.names().into_iter().filter(|name| name.starts_with("store.damaged-")).collect()
    }
}

/// A medium that remembers what was synced, and fails when told to.
#[derive(Default)]
struct Watched {
    syncs: AtomicU64,
    fails: AtomicBool,
    /// Free bytes to claim; 0 asks the kernel.
    free_bytes: AtomicU64,
    /// A store directory, and where to copy it at each sync.
    image: Mutex<Option<(PathBuf, PathBuf)>>,
}

impl Medium for Arc<Watched> {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        if let Some((from, to)) = &*self.image.lock().unwrap() {
            let _ = fs::remove_dir_all(to);
            copy_directory(from, to);
        }
        Kernel.sync_data(file)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        match self.free_bytes.load(Ordering::SeqCst) {
            0 => Kernel.free_bytes(directory),
            claimed => Ok(claimed),
        }
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file of a directory with its content.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let content = fs::read(&path).unwrap();
            found.push((path, content));
        }
    }
    found.sort();
    found
}
