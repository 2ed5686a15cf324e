//! Durable records: a sled database whose commits are on the medium when they return.
//!
//! The store keeps what the engine tells it to and decides nothing. It never reports success
//! before the data is on the medium, never loses damage silently and never touches a store that a
//! later version wrote.
//!
//! Beside a store `store` there may be, each outliving it:
//!
//! | name | what for |
//! |---|---|
//! | `store.lock` | held while a process has the store open |
//! | `store.ballast` | deleted when the disk is full |
//! | `store.opening` | attempts to open that did not return |
//! | `store.unsynced` | the medium failed: copy the store before using it |
//! | `store.building`, `store.fresh` | a new store, incomplete and complete |
//! | `store.damage` | damage that is not on record yet |
//! | `store.damaged-<unix s>-<n>` | damaged stores, the newest two |

mod ballast;
mod damage;
mod disk;
mod error;
mod idle;
mod journal;
mod key;
mod medium;
mod opening;
mod place;
mod summary;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::Path;

use nix::fcntl::Flock;
use terminal_core::engine::{Snapshot, Write};
use terminal_core::protocol::{Report, Seq};

pub use damage::{DAMAGED_STORES_MAX, Damage};
pub use disk::kept;
pub use error::StoreError;

use ballast::Ballast;
use disk::Changes;
use error::Fault;
use journal::Journal;
use medium::{Counted, Kernel, Medium};
use opening::Opened;
use place::Place;

/// Space that the store holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Size of the file that is given up when the disk is full. sled takes up to 1.5 MiB to open
    /// and to grow by a segment; 0 for none.
    pub ballast_bytes: u64,
    /// Free space below which [`Store::storage_low`] says so.
    pub reserve_bytes: u64,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { ballast_bytes: 2 << 20, reserve_bytes: 4 << 20 }
    }
}

/// What opening a store yields.
pub struct OpenedStore {
    /// The store.
    pub store: Store,
    /// What it holds; bodies of reports are read with [`Store::report`].
    pub snapshot: Snapshot,
    /// The store before this one was damaged and has been moved aside. Told at every opening
    /// until the first commit, which must hold the report about it.
    pub damage: Option<Damage>,
}

/// Counters since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Commits.
    pub commits: u64,
    /// Bytes of the keys and values in them, without what sled and the file system add.
    pub bytes: u64,
    /// Bytes of the file that holds the records.
    pub file_bytes: u64,
    /// Syncs of that file, those of the opening included.
    pub syncs: u64,
    /// Times the ballast was given up.
    pub ballast_spent: u64,
}

/// An open store. One process has it open at a time.
pub struct Store {
    place: Place,
    medium: Counted,
    ballast: Ballast,
    /// Absent after an error.
    journal: Option<Journal>,
    damage_unrecorded: bool,
    stats: StoreStats,
    _lock: Flock<File>,
}

impl Store {
    /// Opens the store at `path`, or makes one where there is none. Its parent directory must
    /// exist. A damaged store is moved aside and a new one made: see [`OpenedStore::damage`].
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from being used and is not damage, such as another process, a
    /// newer format, permissions, or no space even without the ballast.
    pub fn open(path: &Path, limits: StoreLimits) -> Result<OpenedStore, StoreError> {
        Self::open_on(path, limits, Box::new(Kernel))
    }

    fn open_on(
        path: &Path,
        limits: StoreLimits,
        medium: Box<dyn Medium>,
    ) -> Result<OpenedStore, StoreError> {
        let place = Place::new(path);
        let lock = place.lock()?;
        let medium = Counted::new(medium);
        let mut ballast = Ballast::find(place.beside("ballast"), limits);
        let mut stats = StoreStats::default();
        let mut opened = open_marking(&place, &medium);
        if opened.as_ref().is_err_and(StoreError::is_full) && ballast.give_up()? {
            stats.ballast_spent += 1;
            opened = open_marking(&place, &medium);
        }
        let Opened { journal, snapshot, damage } = opened?;
        let damage_unrecorded = damage.is_some();
        let journal = Some(journal);
        let mut store =
            Self { place, medium, ballast, journal, damage_unrecorded, stats, _lock: lock };
        store.storage_low();
        Ok(OpenedStore { store, snapshot, damage })
    }

    /// Makes all changes durable together: when this returns they are on the medium, after an
    /// error it is unknown whether they are. On a full disk it first gives up the ballast.
    ///
    /// # Errors
    ///
    /// Any; the store is closed then, and opening it again tells what it holds.
    pub fn append(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        let result = self.append_or_retry(writes);
        if let Err(error) = &result {
            if error.leaves_medium_in_doubt() {
                opening::mark_unsynced(&self.place);
            }
            self.journal = None;
        }
        self.stats.bytes = self.stats.bytes.saturating_add(result?);
        self.stats.commits = self.stats.commits.saturating_add(1);
        Ok(())
    }

    fn append_or_retry(&mut self, writes: &[Write]) -> Result<u64, StoreError> {
        let changes = disk::changes(writes).map_err(|error| {
            StoreError::io("encoding a record for", &self.place.directory, error.into())
        })?;
        let mut result = self.commit(&changes);
        if result.as_ref().is_err_and(StoreError::is_full) && self.ballast.give_up()? {
            self.stats.ballast_spent += 1;
            self.reopen()?;
            // All changes replace or remove: it does no harm if the first try made it.
            result = self.commit(&changes);
        }
        let bytes = result?;
        if self.damage_unrecorded {
            damage::recorded(&self.place)?;
            self.damage_unrecorded = false;
        }
        Ok(bytes)
    }

    fn commit(&mut self, changes: &Changes) -> Result<u64, StoreError> {
        match &mut self.journal {
            Some(journal) => journal.commit(changes, &self.medium),
            None => Err(self.closed()),
        }
    }

    /// sled answers nothing but errors after one.
    fn reopen(&mut self) -> Result<(), StoreError> {
        if let Some(journal) = self.journal.take() {
            journal.close()?;
        }
        let opened = Journal::open(&self.place.directory, &self.medium);
        let damaged = |fault: Fault| fault.into_error(&self.place.directory);
        self.journal = Some(opened.map_err(damaged)?);
        Ok(())
    }

    /// Reads a report, whole.
    ///
    /// # Errors
    ///
    /// When the medium cannot be read or holds something else.
    pub fn report(&self, seq: Seq) -> Result<Option<Report>, StoreError> {
        self.journal.as_ref().ok_or_else(|| self.closed())?.report(seq)
    }

    /// Whether free space is below the reserve or the ballast is spent. Restores the ballast when
    /// there is room again, so call it now and then.
    pub fn storage_low(&mut self) -> bool {
        self.ballast.is_low(&self.medium)
    }

    /// Free bytes on the file system that the store is on, if that can be told.
    pub fn free_bytes(&self) -> Option<u64> {
        self.medium.free_bytes(&self.place.directory).ok()
    }

    /// Counters since the store was opened.
    pub fn stats(&self) -> StoreStats {
        let file_bytes = self.journal.as_ref().map_or(0, Journal::file_bytes);
        StoreStats { file_bytes, syncs: self.medium.syncs(), ..self.stats }
    }

    fn closed(&self) -> StoreError {
        StoreError::Closed { path: self.place.directory.clone() }
    }
}

fn open_marking(place: &Place, medium: &dyn Medium) -> Result<Opened, StoreError> {
    let opened = opening::open(place, medium);
    if opened.as_ref().is_err_and(StoreError::leaves_medium_in_doubt) {
        opening::mark_unsynced(place);
    }
    opened
}
