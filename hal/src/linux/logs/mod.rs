//! Logs of a Linux system: the journal and plain files, merged by time as they are read.

use std::{collections::BTreeMap, path::PathBuf};

use tokio::sync::mpsc;

mod entry;
mod files;
mod journal;
mod line;
mod lines;

use super::Linux;
use crate::{
    ErrorCode, Failure,
    api::{Call, Cancellation, HalFuture, LogLine, LogRange, LogStream, Logs},
};
use journal::Journal;
pub use line::TimeFormat;

/// Lines that wait for the reader.
const STREAM_QUEUE: usize = 64;

/// Which logs may leave the terminal; nothing else does.
#[derive(Clone, Debug)]
pub struct LogsConfig {
    /// The journal.
    pub journal: JournalConfig,
    /// Files.
    pub files: Vec<LogFile>,
}

/// How the journal is read.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The program that reads it.
    pub journalctl: PathBuf,
    /// Where it is; where the system keeps it when `None`.
    pub directory: Option<PathBuf>,
    /// Whose lines: component to systemd units (`x.service`) and syslog identifiers (`kernel`).
    /// Empty: the journal is not read.
    pub components: BTreeMap<String, Vec<String>>,
}

/// A file of lines that grow at its end, with its rotations `FILE.1`, `FILE.2.gz` …
#[derive(Clone, Debug)]
pub struct LogFile {
    /// The one that is written.
    pub path: PathBuf,
    /// Whose lines they are.
    pub component: String,
    /// How a line begins.
    pub time_format: TimeFormat,
}

impl LogsConfig {
    /// Whether there is no source at all.
    pub fn is_empty(&self) -> bool {
        self.journal.components.is_empty() && self.files.is_empty()
    }
}

impl Logs for Linux {
    fn collect<'a>(&'a self, call: &'a Call, range: &'a LogRange) -> HalFuture<'a, LogStream> {
        Box::pin(async move {
            let mut sources = self.open(range)?;
            let first = cancellable(&call.cancellation, sources.next()).await;
            let first = first.unwrap_or_else(|| {
                let reason = "no log lines match the range, components and level";
                Err(Failure::new(ErrorCode::LogRangeEmpty, reason))
            })?;
            let (sender, stream) = mpsc::channel(STREAM_QUEUE);
            tokio::spawn(pass_on(first, sources, sender, call.cancellation.clone()));
            Ok(stream)
        })
    }
}

impl Linux {
    fn open(&self, range: &LogRange) -> Result<Sources, Failure> {
        let LogsConfig { journal, files } = &self.config.logs;
        let journal = Journal::open(journal, range, &self.runner)?;
        let wanted = files.iter().filter(|file| is_of(range, &file.component));
        let files: Vec<LogFile> = wanted.cloned().collect();
        let files = (!files.is_empty()).then(|| files::read(files, range.clone()));
        Ok(Sources { journal, files, journal_head: None, files_head: None })
    }
}

/// Both kinds of sources, each in its own order.
struct Sources {
    journal: Option<Journal>,
    files: Option<LogStream>,
    journal_head: Option<LogLine>,
    files_head: Option<LogLine>,
}

impl Sources {
    /// The older one of what comes next.
    async fn next(&mut self) -> Option<Result<LogLine, Failure>> {
        if self.journal_head.is_none() {
            match next_of(&mut self.journal).await {
                Some(Ok(line)) => self.journal_head = Some(line),
                Some(Err(failure)) => return Some(Err(failure)),
                None => self.journal = None,
            }
        }
        if let (None, Some(files)) = (&self.files_head, &mut self.files) {
            match files.recv().await {
                Some(Ok(line)) => self.files_head = Some(line),
                Some(Err(failure)) => return Some(Err(failure)),
                None => self.files = None,
            }
        }
        let is_of_files = match (&self.journal_head, &self.files_head) {
            (Some(journal), Some(file)) => file.time < journal.time,
            (None, _) => true,
            (Some(_), None) => false,
        };
        let head = if is_of_files { &mut self.files_head } else { &mut self.journal_head };
        head.take().map(Ok)
    }
}

async fn next_of(journal: &mut Option<Journal>) -> Option<Result<LogLine, Failure>> {
    match journal {
        Some(journal) => journal.next().await,
        None => None,
    }
}

async fn pass_on(
    first: LogLine,
    mut sources: Sources,
    to: mpsc::Sender<Result<LogLine, Failure>>,
    cancellation: Cancellation,
) {
    let mut next = Some(Ok(first));
    while let Some(line) = next {
        let is_end = line.is_err();
        // A reader that does not take lines any more may still cancel.
        let sent = tokio::select! {
            biased;
            () = cancellation.cancelled() => {
                let _ = to.try_send(Err(canceled()));
                return;
            }
            sent = to.send(line) => sent,
        };
        if sent.is_err() || is_end {
            return;
        }
        next = cancellable(&cancellation, sources.next()).await;
    }
}

async fn cancellable(
    cancellation: &Cancellation,
    line: impl Future<Output = Option<Result<LogLine, Failure>>>,
) -> Option<Result<LogLine, Failure>> {
    tokio::select! {
        biased;
        () = cancellation.cancelled() => Some(Err(canceled())),
        line = line => line,
    }
}

fn canceled() -> Failure {
    Failure::new(ErrorCode::Canceled, "cancelled while lines were read")
}

/// Whether lines of that component are asked for.
fn is_of(range: &LogRange, component: &str) -> bool {
    range.components.is_empty() || range.components.iter().any(|name| name == component)
}

/// Whether a line of a component that is asked for is asked for itself.
fn is_in(range: &LogRange, line: &LogLine) -> bool {
    (range.from..range.to).contains(&line.time) && line.level <= range.min_level
}
