//! What the kernel does of its own accord on a machine that has been up for longer than a
//! recording lasts: it writes dirty pages back, and commits the journal of the file system, at any
//! time and in any order.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use crate::dice::Dice;

/// Longest time between two acts, in microseconds: several fall into one opening of the store.
const WAIT_MAX_US: u64 = 4_000;
/// Share of the acts that commit the journal, where that is asked for. A commit flushes the drive,
/// which hides what the store does not flush itself.
const COMMITS_PERCENT: u64 = 10;
const PURPOSE: u64 = 3;

/// How much of it there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrest {
    /// Everything waits until somebody asks for it.
    None,
    /// Pages are written back; the drive is not flushed.
    Writeback,
    /// The journal is committed too, now and then.
    Commits,
}

impl Unrest {
    /// One of them.
    pub fn any(dice: &mut Dice) -> Self {
        match dice.below(3) {
            0 => Self::None,
            1 => Self::Writeback,
            _ => Self::Commits,
        }
    }
}

/// A thread that does it until this is dropped.
#[derive(Debug)]
pub(crate) struct Restless {
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Restless {
    /// Begins with everything below `directory`.
    pub(crate) fn start(unrest: Unrest, directory: PathBuf, seed: u64) -> Self {
        let stops = Arc::new(AtomicBool::new(false));
        let (stop, mut dice) = (Arc::clone(&stops), Dice::new(seed, PURPOSE));
        let run = move || {
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(dice.below(WAIT_MAX_US)));
                if unrest == Unrest::Commits && dice.chance(COMMITS_PERCENT) {
                    let _ = File::open(&directory).and_then(|directory| directory.sync_all());
                } else {
                    write_back(&directory, &mut dice);
                }
            }
        };
        let thread = (unrest != Unrest::None).then(|| thread::spawn(run));
        Self { stops, thread }
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Writes back some of the files. Whatever cannot be opened has just been renamed or deleted.
fn write_back(directory: &Path, dice: &mut Dice) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            write_back(&path, dice);
        } else if dice.chance(50) {
            let Ok(file) = File::open(&path) else { continue };
            // The pages must be clean before they can be dropped: the kernel starts writing.
            let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
        }
    }
}
