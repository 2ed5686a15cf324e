//! The two questions to the storage that tests must be able to answer instead of the kernel.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::statvfs::statvfs;

/// What the store asks of the medium.
pub(crate) trait Medium: Send {
    /// Returns once everything written to `file` is on the medium.
    fn sync_data(&self, file: &File) -> io::Result<()>;

    /// Bytes that this user can still write below `directory`.
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;
}

/// The kernel.
#[derive(Debug)]
pub(super) struct Kernel;

impl Medium for Kernel {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    #[allow(clippy::useless_conversion, reason = "both are narrower on 32-bit machines")]
    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let numbers = statvfs(directory)?;
        let blocks = u64::from(numbers.blocks_available());
        Ok(blocks.saturating_mul(u64::from(numbers.fragment_size())))
    }
}

/// A medium that counts its syncs.
pub(super) struct Counted {
    medium: Box<dyn Medium>,
    syncs: AtomicU64,
}

impl Counted {
    pub(super) fn new(medium: Box<dyn Medium>) -> Self {
        Self { medium, syncs: AtomicU64::new(0) }
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }
}

impl Medium for Counted {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.medium.sync_data(file)
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        self.medium.free_bytes(directory)
    }
}
