//! Proof that nothing is missing: a digest over all records, written with every commit, and a
//! witness of the last commit beside the tree.
//!
//! sled takes a record that it cannot read at the end of its log for one that was never finished,
//! and silently opens as of before it. The summary finds lost, altered and stale records; the
//! witness finds a store that as a whole is older than it was.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const SUMMARY_BYTES: usize = 16;

/// What one commit says about everything before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Commits since the store was made.
    pub(super) commits: u64,
    /// Sum of the hashes of all entries: it does not depend on their order.
    pub(super) digest: u64,
}

impl Summary {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.digest = self.digest.wrapping_add(hash(key, value));
    }

    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.digest = self.digest.wrapping_sub(hash(key, value));
    }

    pub(super) fn to_bytes(self) -> [u8; SUMMARY_BYTES] {
        (u128::from(self.commits) << 64 | u128::from(self.digest)).to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let both = u128::from_be_bytes(bytes.try_into().ok()?);
        let low = |number: u128| u64::try_from(number & u128::from(u64::MAX)).ok();
        Some(Self { commits: low(both >> 64)?, digest: low(both)? })
    }
}

/// A file that names the last durable commit. It is written after the commit and not synced
/// itself, so it never claims too much; it may claim too little after a power cut.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
}

impl Witness {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file })
    }

    /// The last commit it was told of, 0 when it cannot be read.
    pub(super) fn commits(&self) -> u64 {
        let mut bytes = [0; SUMMARY_BYTES];
        if self.file.read_exact_at(&mut bytes, 0).is_err() {
            return 0;
        }
        let Some(seen) = Summary::from_bytes(&bytes) else { return 0 };
        if seen.digest == seal(seen.commits) { seen.commits } else { 0 }
    }

    /// Remembers a commit.
    pub(super) fn note(&self, commits: u64) -> io::Result<()> {
        let seen = Summary { commits, digest: seal(commits) };
        self.file.write_all_at(&seen.to_bytes(), 0)
    }
}

fn seal(commits: u64) -> u64 {
    hash(b"witness", &commits.to_be_bytes())
}

/// FNV-1a over the length of the key, the key and the value, then mixed so that sums do not
/// cancel out.
fn hash(key: &[u8], value: &[u8]) -> u64 {
    // As wide on every processor: a terminal may be updated from a 32-bit system to a 64-bit one.
    let length = u64::try_from(key.len()).unwrap_or(u64::MAX).to_le_bytes();
    let bytes = length.iter().chain(key).chain(value);
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
