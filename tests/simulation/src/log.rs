//! What a life tells: one line per event for people, errors that the engine logs, and the first
//! thing that is wrong.

use std::cell::Cell;

use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

/// Something that must never be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which check found it.
    pub check: &'static str,
    /// When, in milliseconds of the life.
    pub at_ms: u64,
    /// What was found.
    pub detail: String,
}

/// The story of a life, kept only when somebody wants to read it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) lines: Option<Vec<String>>,
}

impl Log {
    pub(crate) fn line(&mut self, now: u64, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>9}.{:03}  {}", now / 1000, now % 1000, text()));
        }
    }
}

thread_local! {
    static ERRORS: Cell<u64> = const { Cell::new(0) };
}

/// Errors that this thread has logged since the last call.
pub(crate) fn take_errors() -> u64 {
    ERRORS.take()
}

/// Counts what is logged as an error and ignores the rest.
#[derive(Debug)]
pub(crate) struct ErrorCounter;

impl Subscriber for ErrorCounter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        ERRORS.set(ERRORS.get() + 1);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
