//! A file that exists to be deleted when the disk is full: sled does not even open without some
//! free space, and the verdicts of what has been accepted must still be written.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::StoreLimits;
use super::error::{StoreError, While};
use super::medium::Medium;
use super::place;

/// The ballast of one store.
#[derive(Debug)]
pub(super) struct Ballast {
    path: PathBuf,
    limits: StoreLimits,
    is_there: bool,
}

impl Ballast {
    /// Looks whether it is there; one of another size, cut short by a crash, is not.
    pub(super) fn find(path: PathBuf, limits: StoreLimits) -> Self {
        let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let is_there = length == limits.ballast_bytes;
        Self { path, limits, is_there }
    }

    /// Deletes it. Returns whether that freed anything.
    pub(super) fn give_up(&mut self) -> Result<bool, StoreError> {
        self.is_there = self.limits.ballast_bytes == 0;
        match fs::remove_file(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(StoreError::io("deleting", &self.path, error)),
        }
        // The space is free when the deletion is on the medium.
        place::sync_parent(&self.path)?;
        Ok(true)
    }

    /// Whether free space is below the reserve or the ballast is spent, after restoring the
    /// ballast where there is room for both.
    pub(super) fn is_low(&mut self, medium: &dyn Medium) -> bool {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        // Unknown is low: the caller then accepts nothing that needs space.
        let Ok(free) = medium.free_bytes(directory) else { return true };
        let needed = self.limits.reserve_bytes.saturating_add(self.limits.ballast_bytes);
        if !self.is_there && free > needed {
            self.is_there = self.restore().is_ok();
        }
        !self.is_there || free < self.limits.reserve_bytes
    }

    fn restore(&self) -> Result<(), StoreError> {
        let written = fill(&self.path, self.limits.ballast_bytes);
        if written.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        written.during("writing the ballast", &self.path)?;
        place::sync_parent(&self.path)
    }
}

/// Written out, in bytes that no file system compresses away: a hole would hold no space.
fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = bytes;
    let mut block = Vec::with_capacity(4096);
    while left > 0 {
        block.clear();
        while block.len() < 4096 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend_from_slice(&state.to_le_bytes());
        }
        block.truncate(usize::try_from(left).unwrap_or(4096));
        file.write_all(&block)?;
        left = left.saturating_sub(4096);
    }
    file.sync_all()
}
