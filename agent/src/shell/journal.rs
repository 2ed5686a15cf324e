//! Where log lines go: the journal if it is there, standard error otherwise.
//!
//! A line that cannot be written at once is lost: the link matters more. The journal's socket is
//! therefore made non-blocking. The library that opens it writes to it before that can be done, and
//! waits for a journal that is stuck: it is opened on a thread of its own.

use std::{
    collections::BTreeSet,
    env, fs, io,
    sync::{Arc, OnceLock, mpsc},
    thread,
    time::Duration,
};

use tracing::{
    Event, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::{
    config::{LogConfig, LogTarget},
    sys,
};

/// The start waits this long for the journal. What is said before it answers is lost.
const OPENING_TIME_MAX: Duration = Duration::from_secs(1);

/// Sets up logging for the process. The second call has no effect.
pub fn init(config: LogConfig) {
    let to_journal = match config.target {
        LogTarget::Journald => true,
        LogTarget::Stderr => false,
        LogTarget::Auto => env::var_os("JOURNAL_STREAM").is_some(),
    };
    let level = LevelFilter::from_level(config.level);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match to_journal.then(Journal::open) {
        Some(Ok(journal)) => journal.with_filter(level).boxed(),
        Some(Err(_)) | None => stderr().with_filter(level).boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

fn stderr() -> impl Layer<Registry> {
    tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false)
}

/// The journal, from the moment on at which it has answered.
struct Journal(Arc<OnceLock<tracing_journald::Layer>>);

impl Journal {
    /// Fails when there is none. One that does not answer is there.
    fn open() -> io::Result<Self> {
        let layer = Arc::new(OnceLock::new());
        let (opened, outcome) = mpsc::channel();
        let slot = Arc::clone(&layer);
        thread::Builder::new().name("journal".to_owned()).spawn(move || {
            let outcome = journald().map(|layer| drop(slot.set(layer)));
            // Nobody waits any more when it took too long.
            let _ = opened.send(outcome);
        })?;
        match outcome.recv_timeout(OPENING_TIME_MAX) {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(Self(layer)),
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Journal {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(layer) = self.0.get() {
            layer.on_new_span(attributes, id, context);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(layer) = self.0.get() {
            layer.on_record(id, values, context);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(layer) = self.0.get() {
            layer.on_event(event, context);
        }
    }
}

/// The journal, through a socket that never blocks: it is the one that opening has added.
fn journald() -> io::Result<tracing_journald::Layer> {
    let before = open_sockets();
    let layer = tracing_journald::layer()?.with_field_prefix(None);
    for fd in open_sockets().difference(&before) {
        sys::set_nonblocking_datagram(*fd)?;
    }
    Ok(layer)
}

fn open_sockets() -> BTreeSet<i32> {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return BTreeSet::new() };
    entries
        .flatten()
        .filter(|entry| {
            fs::read_link(entry.path())
                .is_ok_and(|target| target.as_os_str().to_string_lossy().starts_with("socket:"))
        })
        .filter_map(|entry| entry.file_name().to_string_lossy().parse().ok())
        .collect()
}
