//! Where a store lives: its directory and the files beside it, which outlive it.
//!
//! A store directory is either complete or not there: it is built under another name, synced and
//! renamed.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use terminal_hal::durable;

use super::error::{StoreError, While};

/// The names that belong to one store.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The store itself.
    pub(super) directory: PathBuf,
}

impl Place {
    pub(super) fn new(path: &Path) -> Self {
        // A trailing slash would put the files beside the store into it.
        Self { directory: path.components().collect() }
    }

    /// A name beside the store: `store.lock` beside `store`.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.directory.file_name().unwrap_or_default().to_os_string();
        name.push(".");
        name.push(suffix);
        self.directory.with_file_name(name)
    }

    /// The directory that all of them are in.
    pub(super) fn parent(&self) -> &Path {
        parent_of(&self.directory)
    }

    /// Keeps other processes out until it is dropped.
    pub(super) fn lock(&self) -> Result<Flock<File>, StoreError> {
        let path = self.beside("lock");
        let mut options = OpenOptions::new();
        let opened = options.write(true).create(true).truncate(false).open(&path);
        let file = opened.during("opening the lock", &path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(lock),
            Err((_, Errno::EWOULDBLOCK)) => {
                Err(StoreError::Locked { path: self.directory.clone() })
            }
            Err((_, errno)) => Err(StoreError::io("locking", &path, errno.into())),
        }
    }

    /// Where a new store is built, empty.
    pub(super) fn building_site(&self) -> Result<PathBuf, StoreError> {
        let path = self.beside("building");
        remove_directory(&path)?;
        fs::create_dir(&path).during("creating", &path)?;
        Ok(path)
    }

    /// Declares what was built to be complete, then puts it in place of the store.
    pub(super) fn finish_building(&self) -> Result<(), StoreError> {
        let built = self.beside("building");
        sync_tree(&built)?;
        let fresh = self.beside("fresh");
        fs::rename(&built, &fresh).during("renaming", &built)?;
        sync_parent(&fresh)?;
        self.finish_replacing()
    }

    /// Goes on where a crash may have cut off [`Place::finish_building`].
    pub(super) fn finish_replacing(&self) -> Result<(), StoreError> {
        let fresh = self.beside("fresh");
        if !fresh.try_exists().during("looking for", &fresh)? {
            return Ok(());
        }
        remove_directory(&self.directory)?;
        fs::rename(&fresh, &self.directory).during("renaming", &fresh)?;
        sync_parent(&self.directory)
    }
}

/// Writes a small file that is complete or not there, durably.
pub(super) fn write_file(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    durable::replace(path, content).during("writing", path)
}

/// Deletes a file that may be there.
pub(super) fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("deleting", path, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Deletes a directory that may be there.
pub(super) fn remove_directory(path: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("deleting", path, error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes names created, renamed or deleted beside `path` durable.
pub(super) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    sync(parent_of(path))
}

fn sync_tree(directory: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(directory).during("reading", directory)? {
        let entry = entry.during("reading", directory)?;
        let path = entry.path();
        if entry.file_type().during("reading", &path)?.is_dir() {
            sync_tree(&path)?;
        } else {
            sync(&path)?;
        }
    }
    sync(directory)
}

fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|file| file.sync_all()).during("syncing", path)
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}
