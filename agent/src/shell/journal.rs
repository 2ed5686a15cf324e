//! Where log lines go: the journal if it is there, standard error otherwise.
//!
//! A line that cannot be written at once is lost: the link matters more. The journal's socket is
//! therefore made non-blocking.

use std::{collections::BTreeSet, env, fs, io};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{LogConfig, LogTarget},
    sys,
};

/// Sets up logging for the process. The second call has no effect.
pub fn init(config: LogConfig) {
    let to_journal = match config.target {
        LogTarget::Journald => true,
        LogTarget::Stderr => false,
        LogTarget::Auto => env::var_os("JOURNAL_STREAM").is_some(),
    };
    let level = LevelFilter::from_level(config.level);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match to_journal.then(journald) {
        Some(Ok(layer)) => layer.with_filter(level).boxed(),
        Some(Err(_)) | None => stderr().with_filter(level).boxed(),
    };
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

fn stderr() -> impl Layer<Registry> {
    tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false)
}

/// The journal, through a socket that never blocks: it is the one that opening has added.
fn journald() -> io::Result<tracing_journald::Layer> {
    let before = open_sockets();
    let layer = tracing_journald::layer()?.with_field_prefix(None);
    for fd in open_sockets().difference(&before) {
        sys::set_nonblocking(*fd)?;
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
