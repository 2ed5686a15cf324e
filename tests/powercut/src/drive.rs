//! A drive that remembers: every write and every flush in the order in which they came, and between
//! them what was promised to whom.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::image::Image;

/// The smallest part of a write that a drive writes whole.
pub const SECTOR_BYTES: usize = 512;

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A write was answered.
    Write {
        /// Where.
        offset: u64,
        /// What.
        bytes: Box<[u8]>,
    },
    /// A flush was answered: everything before it is on the medium.
    Flush,
    /// The worker begins to open the store.
    Opening,
    /// The worker was told that it may rely on this commit and all before it.
    Holds(u64),
}

/// A drive, shared between those who use it.
#[derive(Clone, Debug)]
pub struct Drive(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    image: Image,
    log: Vec<Event>,
}

impl Drive {
    /// A drive with this content and nothing in its log.
    pub fn new(image: Image) -> Self {
        Self(Arc::new(Mutex::new(State { image, log: Vec::new() })))
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.state().image.bytes()
    }

    /// Reads; whatever was written last, flushed or not.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        self.state().image.read(offset, into);
    }

    /// Writes.
    pub fn write(&self, offset: u64, bytes: &[u8]) {
        let mut state = self.state();
        state.image.write(offset, bytes);
        state.log.push(Event::Write { offset, bytes: bytes.into() });
    }

    /// Puts anything else on record.
    pub fn note(&self, event: Event) {
        self.state().log.push(event);
    }

    /// Everything that happened up to now; the log goes on empty.
    pub fn take_log(&self) -> Vec<Event> {
        mem::take(&mut self.state().log)
    }

    /// What reading would yield now.
    pub fn image(&self) -> Image {
        self.state().image.clone()
    }

    // Nothing panics while it holds the lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
