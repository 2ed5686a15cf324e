//! Every change of what is on the medium, each complete before the next: nothing else here writes.
//!
//! Tests cut the power between any two of them.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use nix::sys::statvfs::statvfs;
use serde::{Serialize, de::DeserializeOwned};

use crate::{ErrorCode, Failure, durable};

/// Longest record.
const RECORD_BYTES_MAX: u64 = 256 << 10;
/// Free space that is left to others.
const RESERVE_BYTES: u64 = 4 << 20;

/// Where records and images are kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) power: super::tests::power::PowerLine,
}

impl Disk {
    /// Fails once the power is off, in tests.
    #[cfg_attr(not(test), expect(clippy::unused_self, reason = "only tests cut the power"))]
    pub(super) fn step(&self) -> io::Result<()> {
        #[cfg(test)]
        self.power.step()?;
        Ok(())
    }

    /// Makes a folder for this user alone.
    pub(super) fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
    }

    /// Replaces a file as a whole: after a power cut it is the old one or the new one.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.step()?;
        let new = durable::write_beside(path, bytes)?;
        self.rename(&new, path)
    }

    /// Writes a record as [`Disk::replace`] does.
    pub(super) fn write_record(&self, path: &Path, record: &impl Serialize) -> io::Result<()> {
        self.replace(path, &serde_json::to_vec(record)?)
    }

    /// Points a symbolic link elsewhere, in one step.
    pub(super) fn relink(&self, path: &Path, target: &str) -> io::Result<()> {
        let new = durable::beside(path);
        self.remove(&new)?;
        self.step()?;
        symlink(target, &new)?;
        self.rename(&new, path)
    }

    /// Durable when it returns.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)?;
        durable::sync_parent(to)
    }

    /// Durable when it returns; what is not there is removed already.
    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        durable::remove(path)
    }

    /// With everything in it; what is not there is removed already.
    pub(super) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        let mut removed = fs::remove_dir_all(path);
        if removed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            make_writable(path)?;
            removed = fs::remove_dir_all(path);
        }
        match removed {
            Ok(()) => durable::sync_parent(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A folder and those in it: a system may have some that even their owner may not change.
fn make_writable(folder: &Path) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

/// The record in a file; `None` without one.
pub(super) fn read_record<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(RECORD_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/// Refuses what does not fit into the free space of a folder.
#[allow(clippy::useless_conversion, reason = "both are narrower on 32-bit machines")]
pub(super) fn check_room(folder: &Path, bytes: u64, what: &str) -> Result<(), Failure> {
    let free = statvfs(folder).map_err(|error| trouble(what, &error.into()))?;
    let free = u64::from(free.blocks_available()).saturating_mul(u64::from(free.fragment_size()));
    if free >= bytes.saturating_add(RESERVE_BYTES) {
        return Ok(());
    }
    let reason = format!(
        "{what}: needs {} MiB, {} MiB are free",
        bytes.saturating_add(RESERVE_BYTES) >> 20,
        free >> 20
    );
    Err(Failure::new(ErrorCode::StorageFull, reason))
}

/// What an input or output error means to a person.
pub(super) fn trouble(what: &str, error: &io::Error) -> Failure {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    let code =
        if full.contains(&error.kind()) { ErrorCode::StorageFull } else { ErrorCode::DeviceFault };
    Failure::new(code, format!("{what}: {error}"))
}

/// Runs what waits for the medium where nobody else waits for it.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
