//! One open sled database: commits that are on the medium when they return, and reads.
//!
//! sled's own `flush` hands data to the kernel and stops there: a power cut takes it back. So each
//! commit ends with an `fdatasync` of sled's file `db` through a handle of our own.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use sled::{Batch, IVec};
use terminal_core::engine::Snapshot;
use terminal_core::protocol::{Report, Seq};

use super::disk::{self, Changes};
use super::error::{Fault, StoreError, While};
use super::idle::with_relaxed_timers;
use super::key::{self, Key};
use super::medium::Medium;
use super::place;
use super::summary::{Summary, Witness};

/// sled divides it by 256 and keeps a page in memory only if it is smaller than the result.
const CACHE_BYTES: u64 = 1 << 20;
/// sled lets go of its file in the background; ten times what was seen on a busy machine.
const RELEASE_TRIES_MAX: u32 = 500;
const RELEASE_WAIT: Duration = Duration::from_millis(10);

/// Key and value of one entry to write.
type Piece<'a> = (Vec<u8>, &'a [u8]);

/// An open database.
pub(super) struct Journal {
    db: sled::Db,
    file: File,
    witness: Witness,
    summary: Summary,
    directory: PathBuf,
}

impl Journal {
    /// Opens a database that is complete, and proves that it is.
    pub(super) fn open(directory: &Path, medium: &dyn Medium) -> Result<Self, Fault> {
        for name in ["db", "conf", "blobs"] {
            if !exists(&directory.join(name))? {
                return Err(Fault::Damage(format!("its {name} is missing")));
            }
        }
        let mut journal = Self::start(directory, medium)?;
        journal.summary = journal.proven()?;
        // What the kernel still held after a kill is not durable yet.
        journal.sync(medium)?;
        Ok(journal)
    }

    /// Makes a database of these entries in an empty directory.
    pub(super) fn create(
        directory: &Path,
        entries: impl Iterator<Item = Result<(IVec, IVec), Fault>>,
        medium: &dyn Medium,
    ) -> Result<(), Fault> {
        File::create(directory.join("db")).during("creating", &directory.join("db"))?;
        let mut journal = Self::start(directory, medium)?;
        let insert = |key: &[u8], value: &[u8]| {
            let inserted = journal.db.insert(key, value);
            inserted.map(drop).map_err(|error| Fault::sled("writing", directory, error))
        };
        insert(key::SUMMARY, &Summary::default().to_bytes())?;
        for entry in entries {
            let (key, value) = entry?;
            insert(&key, &value)?;
        }
        journal.summary = journal.proven()?;
        journal.sync(medium)?;
        let noted = journal.witness.note(journal.summary.commits);
        noted.during("writing the witness of", directory)?;
        drop(journal);
        wait_until_released(&directory.join("db"))?;
        Ok(())
    }

    fn start(directory: &Path, medium: &dyn Medium) -> Result<Self, Fault> {
        let path = directory.join("db");
        let file =
            OpenOptions::new().read(true).write(true).open(&path).during("opening", &path)?;
        // Before sled looks, because it syncs conclusions from what it reads.
        sync_data(medium, &file, &path)?;
        wait_until_released(&path)?;
        remove_unfinished_snapshots(directory)?;
        let witness_path = directory.join("witness");
        let witness = Witness::open(&witness_path).during("opening", &witness_path)?;
        let db = open_sled(directory)?;
        let directory = directory.to_path_buf();
        Ok(Self { db, file, witness, summary: Summary::default(), directory })
    }

    /// Writes all changes or none; returns when they are on the medium, with the bytes written.
    pub(super) fn commit(
        &mut self,
        changes: &Changes,
        medium: &dyn Medium,
    ) -> Result<u64, StoreError> {
        let (batch, summary, bytes) =
            self.batch(changes).map_err(|fault| fault.into_error(&self.directory))?;
        self.db
            .apply_batch(batch)
            .map_err(|error| self.fault("writing to", error).into_error(&self.directory))?;
        self.sync(medium).map_err(|fault| fault.into_error(&self.directory))?;
        self.summary = summary;
        // Only a hint: without it, losing this commit later could go unnoticed.
        let _ = self.witness.note(summary.commits);
        Ok(bytes)
    }

    fn batch(&self, changes: &Changes) -> Result<(Batch, Summary, u64), Fault> {
        let mut batch = Batch::default();
        let mut summary = self.summary;
        let mut written = 0;
        summary.commits = summary.commits.saturating_add(1);
        for (key, bytes) in changes {
            let pieces = self.pieces(*key, bytes.as_deref())?;
            for old in self.db.scan_prefix(key.prefix()) {
                let (old_key, old_value) = old.map_err(|error| self.fault("reading", error))?;
                summary.remove(&old_key, &old_value);
                if !pieces.iter().any(|(new_key, _)| *new_key == *old_key) {
                    batch.remove(old_key);
                }
            }
            for (key, value) in pieces {
                summary.add(&key, value);
                written += key.len() + value.len();
                batch.insert(key, value);
            }
        }
        batch.insert(key::SUMMARY, summary.to_bytes().as_slice());
        Ok((batch, summary, u64::try_from(written).unwrap_or(u64::MAX)))
    }

    fn pieces<'a>(&self, key: Key, bytes: Option<&'a [u8]>) -> Result<Vec<Piece<'a>>, StoreError> {
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        if bytes.len() > key::RECORD_BYTES_MAX {
            let path = self.directory.clone();
            return Err(StoreError::TooLarge { path, bytes: bytes.len() });
        }
        let numbered = (0..=u8::MAX).zip(bytes.chunks(key::PIECE_BYTES));
        Ok(numbered.map(|(index, piece)| (key.piece(index), piece)).collect())
    }

    /// The whole body of a stored report.
    pub(super) fn report(&self, seq: Seq) -> Result<Option<Report>, StoreError> {
        let mut bytes = Vec::new();
        for piece in self.db.scan_prefix(Key::Report(seq).prefix()) {
            let (_, value) =
                piece.map_err(|error| self.fault("reading", error).into_error(&self.directory))?;
            bytes.extend_from_slice(&value);
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let damaged = |reason| {
            let reason = format!("report {seq} cannot be read: {reason}");
            StoreError::Damaged { path: self.directory.clone(), reason }
        };
        disk::report(seq, &bytes).map(Some).map_err(damaged)
    }

    /// Everything, without the bodies of reports.
    pub(super) fn snapshot(&self) -> Result<Snapshot, Fault> {
        let mut snapshot = Snapshot::default();
        let mut record: Option<(Key, Vec<u8>)> = None;
        for entry in self.entries() {
            let (bytes, value) = entry?;
            if bytes == key::SUMMARY {
                continue;
            }
            let Some((key, index)) = Key::parse(&bytes) else {
                return Err(Fault::Damage("it holds a record of an unknown kind".to_owned()));
            };
            match &mut record {
                Some((same, whole)) if *same == key => whole.extend_from_slice(&value),
                Some(_) | None if index == 0 => {
                    load(&mut snapshot, record.replace((key, value.to_vec())))?;
                }
                Some(_) | None => return Err(Fault::Damage(format!("{key:?} has no beginning"))),
            }
        }
        load(&mut snapshot, record)?;
        Ok(snapshot)
    }

    /// All entries as they are.
    pub(super) fn entries(&self) -> impl Iterator<Item = Result<(IVec, IVec), Fault>> {
        self.db.iter().map(|entry| entry.map_err(|error| self.fault("reading", error)))
    }

    /// The summary, if it is true of what is here and of what was here before.
    fn proven(&self) -> Result<Summary, Fault> {
        let mut stored = None;
        let mut found = Summary::default();
        for entry in self.entries() {
            let (key, value) = entry?;
            if key == key::SUMMARY {
                stored = Summary::from_bytes(&value);
            } else {
                found.add(&key, &value);
            }
        }
        let Some(summary) = stored else {
            return Err(Fault::Damage("its summary is missing".to_owned()));
        };
        if summary.digest != found.digest {
            return Err(Fault::Damage("its records are not those that were written".to_owned()));
        }
        let seen = self.witness.commits();
        if summary.commits < seen {
            let commits = summary.commits;
            let reason = format!("it ends at commit {commits}, and commit {seen} was made");
            return Err(Fault::Damage(reason));
        }
        Ok(summary)
    }

    fn sync(&self, medium: &dyn Medium) -> Result<(), Fault> {
        // sled starts its threads when it first has something to write.
        with_relaxed_timers(|| self.db.flush()).map_err(|error| self.fault("writing to", error))?;
        Ok(sync_data(medium, &self.file, &self.directory.join("db"))?)
    }

    /// Gives the database up; returns when it can be opened again.
    pub(super) fn close(self) -> Result<(), StoreError> {
        let path = self.directory.join("db");
        drop(self.db);
        wait_until_released(&path)
    }

    /// Bytes of the file that holds the records.
    pub(super) fn file_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    fn fault(&self, action: &'static str, error: sled::Error) -> Fault {
        Fault::sled(action, &self.directory, error)
    }
}

fn load(snapshot: &mut Snapshot, record: Option<(Key, Vec<u8>)>) -> Result<(), Fault> {
    let Some((key, bytes)) = record else { return Ok(()) };
    disk::load(snapshot, key, &bytes)
        .map_err(|reason| Fault::Damage(format!("{key:?} cannot be read: {reason}")))
}

fn open_sled(directory: &Path) -> Result<sled::Db, Fault> {
    let config = sled::Config::new()
        .path(directory)
        .mode(sled::Mode::LowSpace)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None);
    with_relaxed_timers(|| config.open()).map_err(|error| Fault::sled("opening", directory, error))
}

/// sled takes the snapshot of its page table that a crash or a full disk cut short for the newest
/// one, and itself for corrupted. It makes them when it opens, and does without.
fn remove_unfinished_snapshots(directory: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(directory).during("reading", directory)? {
        let path = entry.during("reading", directory)?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            place::remove_file(&path)?;
        }
    }
    Ok(())
}

fn sync_data(medium: &dyn Medium, file: &File, path: &Path) -> Result<(), StoreError> {
    let path = path.to_path_buf();
    medium.sync_data(file).map_err(|source| StoreError::Unsynced { path, source })
}

/// sled gives its lock up when its last thread has ended, which is later than the end of its `Db`.
pub(super) fn wait_until_released(path: &Path) -> Result<(), StoreError> {
    for _ in 0..RELEASE_TRIES_MAX {
        let file = File::open(path).during("opening", path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_) => return Ok(()),
            Err((_, Errno::EWOULDBLOCK)) => thread::sleep(RELEASE_WAIT),
            Err((_, errno)) => return Err(StoreError::io("locking", path, errno.into())),
        }
    }
    Err(StoreError::Locked { path: path.to_path_buf() })
}

fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().during("looking for", path)
}
