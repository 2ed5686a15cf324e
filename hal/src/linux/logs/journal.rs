//! The journal, as `journalctl` tells it: a program that is read while it runs.

use std::{io, ops::Range};

use tokio::io::AsyncReadExt;

use super::{JournalConfig, entry::Reader, is_in, lines::Line};
use crate::{
    ErrorCode, Failure,
    api::{LogLine, LogRange},
    child::{Program, Runner, Streaming, failure::complaint},
    error::Effect,
    operation::send_logs::LogLevel,
};

/// Bytes of an entry in JSON. One that is longer is left out, and counted in the agent's log.
const ENTRY_BYTES_MAX: usize = 256 << 10;
/// Bytes that are taken from the program at a time.
const CHUNK_BYTES: usize = 16 << 10;
/// All that is read of an entry.
const FIELDS: &str = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT,UNIT";

/// A running program, and what it has said.
pub(super) struct Journal {
    program: Option<Streaming>,
    name: String,
    range: LogRange,
    reader: Reader,
    chunk: Box<[u8]>,
    unread: Range<usize>,
    line: Line,
    lines: u64,
    unreadable: u64,
}

impl Journal {
    /// `None` when nothing of it is asked for.
    pub(super) fn open(
        config: &JournalConfig,
        range: &LogRange,
        runner: &Runner,
    ) -> Result<Option<Self>, Failure> {
        let reader = Reader::new(&config.components, range);
        if reader.is_empty() {
            return Ok(None);
        }
        let program = program(config, range, &reader);
        let streaming = runner.stream(&program).map_err(|error| error.failure(Effect::None))?;
        Ok(Some(Self {
            program: Some(streaming),
            name: config.journalctl.display().to_string(),
            range: range.clone(),
            reader,
            chunk: vec![0; CHUNK_BYTES].into(),
            unread: 0..0,
            line: Line::new(ENTRY_BYTES_MAX),
            lines: 0,
            unreadable: 0,
        }))
    }

    /// The next line that is asked for.
    pub(super) async fn next(&mut self) -> Option<Result<LogLine, Failure>> {
        loop {
            match self.next_entry().await {
                Ok(true) => {}
                Ok(false) => return self.end().await.err().map(Err),
                Err(error) => return Some(Err(self.failure(&error.to_string()))),
            }
            self.lines += 1;
            match self.reader.line(self.line.bytes()) {
                Ok(Some(line)) if is_in(&self.range, &line) => return Some(Ok(line.bounded())),
                Ok(_) => {}
                Err(_) => self.unreadable += 1,
            }
        }
    }

    /// False at the end of the output.
    async fn next_entry(&mut self) -> io::Result<bool> {
        loop {
            let unread = self.chunk.get(self.unread.clone()).unwrap_or_default();
            if !unread.is_empty() {
                self.unread.start += self.line.take(unread);
                if self.line.is_ended() {
                    return Ok(true);
                }
                continue;
            }
            let Some(program) = &mut self.program else { return Ok(false) };
            self.unread = 0..program.stdout.read(&mut self.chunk).await?;
            if self.unread.is_empty() {
                return Ok(false);
            }
        }
    }

    /// How the program has ended.
    async fn end(&mut self) -> Result<(), Failure> {
        if self.unreadable > 0 {
            let (unreadable, name) = (self.unreadable, &self.name);
            tracing::warn!(unreadable, program = %name, "entries of the journal were left out");
        }
        let Some(program) = self.program.take() else { return Ok(()) };
        let (status, said) =
            program.end().await.map_err(|error| self.failure(&error.to_string()))?;
        let said = complaint(&said);
        if !status.success() {
            return Err(self.failure(&format!("{status}: {said}")));
        }
        // Such as a journal that may not be read: an empty range would be a lie.
        if self.lines == 0 && !said.is_empty() {
            return Err(self.failure(&said));
        }
        Ok(())
    }

    fn failure(&self, why: &str) -> Failure {
        let reason = format!("{} does not give the journal: {why}", self.name);
        Failure::new(ErrorCode::DeviceFault, reason)
    }
}

fn program(config: &JournalConfig, range: &LogRange, reader: &Reader) -> Program {
    // Whole seconds around the range; the rest is looked at line by line.
    let seconds = |ms: u64| format!("@{}", ms / 1000);
    let mut program = Program::new(&config.journalctl)
        .args(["--output=json", "--all", "--quiet", "--no-pager"])
        .arg(format!("--output-fields={FIELDS}"))
        .arg(format!("--since={}", seconds(range.from.unix_ms())))
        .arg(format!("--until={}", seconds(range.to.unix_ms().saturating_add(999))));
    if let Some(directory) = &config.directory {
        program = program.arg(format!("--directory={}", directory.display()));
    }
    // An entry without a priority counts as info: it is not lost by asking for less.
    match range.min_level {
        LogLevel::Error => program = program.arg("--priority=err"),
        LogLevel::Warn => program = program.arg("--priority=warning"),
        LogLevel::Info | LogLevel::Debug | LogLevel::Trace => {}
    }
    program.args(reader.matches())
}
