//! Plain files with their rotations, on a thread of their own.

use std::{
    collections::{BTreeSet, VecDeque},
    fs::{File, Metadata, OpenOptions},
    io::{self, BufRead, BufReader},
    iter::Peekable,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;
use nix::{errno::Errno, fcntl::OFlag};
use tokio::sync::mpsc;

use super::{
    LogFile, STREAM_QUEUE, is_in,
    line::level,
    lines::{Line, text},
};
use crate::{
    ErrorCode, Failure, Timestamp,
    api::{LogLine, LogRange, LogStream},
    operation::send_logs::LogLevel,
};

/// Rotations of one file that are looked for: all of them are open at the same time.
const ROTATIONS_MAX: usize = 16;
/// Bytes of a line that are kept: as many as the longest message may have.
const LINE_BYTES_MAX: usize = 32 << 10;

/// Reads files, oldest line first. It stops when nobody takes lines any more.
pub(super) fn read(files: Vec<LogFile>, range: LogRange) -> LogStream {
    let (sender, stream) = mpsc::channel(STREAM_QUEUE);
    tokio::task::spawn_blocking(move || {
        let sets: Result<Vec<_>, Failure> =
            files.into_iter().map(|file| Ok(Set::open(file, range.from)?.peekable())).collect();
        match sets {
            Ok(sets) => merge(sets, &range, &sender),
            Err(failure) => drop(sender.blocking_send(Err(failure))),
        }
    });
    stream
}

/// The oldest line of what comes next of each, again and again.
fn merge(
    mut sets: Vec<Peekable<Set>>,
    range: &LogRange,
    to: &mpsc::Sender<Result<LogLine, Failure>>,
) {
    while !to.is_closed() {
        let heads = sets.iter_mut().enumerate();
        let times = heads.filter_map(|(n, set)| set.peek().map(|line| (line.time, n)));
        let Some((_, oldest)) = times.min() else { return };
        let Some(line) = sets.get_mut(oldest).and_then(Iterator::next) else { return };
        if is_in(range, &line) && to.blocking_send(Ok(line.bounded())).is_err() {
            return;
        }
    }
}

/// A file and its rotations, which are read as if they were one.
struct Set {
    file: LogFile,
    /// Oldest first.
    parts: VecDeque<Part>,
    /// Of the first of them, once it is its turn.
    reader: Option<Box<dyn BufRead + Send>>,
    line: Line,
    /// Of the last line that had them: one without belongs to it.
    time: Option<Timestamp>,
    level: LogLevel,
}

struct Part {
    path: PathBuf,
    file: File,
    modified: Timestamp,
}

impl Part {
    fn reader(&self) -> io::Result<Box<dyn BufRead + Send>> {
        let plain = BufReader::new(self.file.try_clone()?);
        if self.path.extension().is_some_and(|extension| extension == "gz") {
            return Ok(Box::new(BufReader::new(MultiGzDecoder::new(plain))));
        }
        Ok(Box::new(plain))
    }
}

impl Set {
    /// The newest is opened first: what is rotated meanwhile is then found twice rather than not
    /// at all. What was written last before `from` is left out.
    fn open(file: LogFile, from: Timestamp) -> Result<Self, Failure> {
        let mut parts = VecDeque::new();
        let mut seen = BTreeSet::new();
        let rotations = (1..=ROTATIONS_MAX).flat_map(|n| ["", ".gz"].map(|e| format!(".{n}{e}")));
        for suffix in std::iter::once(String::new()).chain(rotations) {
            let mut path = file.path.clone().into_os_string();
            path.push(suffix);
            let path = PathBuf::from(path);
            let Some((part, metadata)) = open_part(path)? else { continue };
            if seen.insert((metadata.dev(), metadata.ino())) && part.modified >= from {
                parts.push_front(part);
            }
        }
        let line = Line::new(LINE_BYTES_MAX);
        Ok(Self { file, parts, reader: None, line, time: None, level: LogLevel::Info })
    }

    /// The next line as it is written, with the time at which its file was written last.
    fn next_line(&mut self) -> Option<(String, Timestamp)> {
        loop {
            let part = self.parts.front()?;
            match read_line_of(part, &mut self.reader, &mut self.line) {
                Ok(true) => return Some((text(self.line.bytes()), part.modified)),
                Ok(false) => {}
                Err(error) => {
                    // Such as one whose compression a power cut has cut off.
                    tracing::warn!(%error, path = %part.path.display(), "a log file is damaged");
                    // What the next one begins with belongs to a line that is lost.
                    self.time = None;
                }
            }
            self.line.end();
            self.reader = None;
            self.parts.pop_front();
        }
    }
}

impl Iterator for Set {
    type Item = LogLine;

    /// Lines before the first one with a time are left out: nobody knows when they were written.
    fn next(&mut self) -> Option<LogLine> {
        loop {
            let (text, modified) = self.next_line()?;
            let message = match self.file.time_format.split(&text, modified) {
                Some((time, rest)) => {
                    self.time = Some(time);
                    self.level = level(rest).unwrap_or_default();
                    rest.to_owned()
                }
                None => text,
            };
            let Some(time) = self.time.filter(|_| !message.is_empty()) else { continue };
            let component = self.file.component.clone();
            return Some(LogLine { time, level: self.level, component, message });
        }
    }
}

/// `None` for one that does not exist.
fn open_part(path: PathBuf) -> Result<Option<(Part, Metadata)>, Failure> {
    let (file, metadata) = match open_regular(&path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let reason = format!("cannot read {}: {error}", path.display());
            return Err(Failure::new(ErrorCode::DeviceFault, reason));
        }
    };
    let modified = u64::try_from(metadata.mtime()).unwrap_or(0).saturating_add(1);
    // Rounded up: its last line may be younger than the whole second.
    let modified = Timestamp::from_unix_ms(modified.saturating_mul(1000));
    Ok(Some((Part { path, file, modified }, metadata)))
}

/// Whoever writes the logs could have the agent wait for ever with a pipe, and send what only the
/// agent may read with a link.
fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = opened.map_err(|error| {
        let is_link = error.raw_os_error() == Some(Errno::ELOOP as i32);
        if is_link { io::Error::other("it is a symbolic link") } else { error }
    })?;
    let metadata = file.metadata()?;
    let regular = metadata.is_file();
    if regular { Ok((file, metadata)) } else { Err(io::Error::other("it is no regular file")) }
}

fn read_line_of(
    part: &Part,
    reader: &mut Option<Box<dyn BufRead + Send>>,
    line: &mut Line,
) -> io::Result<bool> {
    let reader = match reader {
        Some(reader) => reader,
        None => reader.insert(part.reader()?),
    };
    read_line(reader, line)
}

/// False at the end. A last line without its line feed is one all the same.
fn read_line(reader: &mut dyn BufRead, line: &mut Line) -> io::Result<bool> {
    let mut has_begun = false;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            line.end();
            return Ok(has_begun);
        }
        let taken = line.take(chunk);
        reader.consume(taken);
        has_begun = true;
        if line.is_ended() {
            return Ok(true);
        }
    }
}
