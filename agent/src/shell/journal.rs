//! Where log lines go: the journal if it is there, standard error otherwise.
//!
//! A line that cannot be written at once is lost: the link matters more. The journal is therefore
//! spoken to in its own protocol, through a socket that never blocks, not even when it is opened.

use std::{
    env, fmt, io,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer, Registry,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::config::{LogConfig, LogTarget};

/// Where the journal listens, on every system that has it.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// What `journalctl --identifier` knows the agent by.
const IDENTIFIER: &str = "terminal-agent";

/// Sets up logging for the process. The second call has no effect.
pub fn init(config: LogConfig) {
    let to_journal = match config.target {
        LogTarget::Journald => true,
        LogTarget::Stderr => false,
        LogTarget::Auto => env::var_os("JOURNAL_STREAM").is_some(),
    };
    let level = LevelFilter::from_level(config.level);
    let layer: Box<dyn Layer<Registry> + Send + Sync> =
        match to_journal.then(|| Journal::open(JOURNAL)) {
            Some(Ok(journal)) => journal.with_filter(level).boxed(),
            Some(Err(_)) | None => stderr().with_filter(level).boxed(),
        };
    let _ = tracing_subscriber::registry().with(layer).try_init();
}

fn stderr() -> impl Layer<Registry> {
    tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false)
}

/// The journal's native protocol: one datagram for each line.
struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// Fails when nobody listens there. A journal that is busy is there.
    fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        let path = path.as_ref().to_owned();
        // Of an empty datagram the journal makes nothing.
        match socket.send_to(&[], &path) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(Self { socket, path }),
        }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line(Vec::new());
        line.field("PRIORITY", priority(*event.metadata().level()));
        line.field("SYSLOG_IDENTIFIER", IDENTIFIER);
        line.field("TARGET", event.metadata().target());
        event.record(&mut line);
        // By name each time: a journal that was restarted has another socket under it.
        let _ = self.socket.send_to(&line.0, &self.path);
    }
}

/// As syslog(3) numbers them.
const fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// Fields of one line, in the form that takes any value: name, length, bytes.
struct Line(Vec<u8>);

impl Line {
    /// `name` in the letters that the journal takes: `operation_id` becomes `OPERATION_ID`.
    fn field(&mut self, name: &str, value: &str) {
        let letters = name.bytes().skip_while(|byte| !byte.is_ascii_alphabetic());
        self.0.extend(letters.map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => byte.to_ascii_uppercase(),
            _ => b'_',
        }));
        self.0.push(b'\n');
        self.0.extend((value.len() as u64).to_le_bytes());
        self.0.extend(value.as_bytes());
        self.0.push(b'\n');
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field.name(), &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening() -> (tempfile::TempDir, UnixDatagram, Journal) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let journal = Journal::open(&path).unwrap();
        assert_eq!(receiver.recv(&mut [0; 1]).unwrap(), 0, "only to see whether it is there");
        (directory, receiver, journal)
    }

    #[test]
    fn a_line_has_its_message_severity_and_fields_in_the_journals_own_form() {
        let (_directory, receiver, journal) = listening();
        let subscriber = tracing_subscriber::registry().with(journal);
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(operation_id = %7, code = "A\nB", retry_after_s = 3_u32, "put off");
        });
        let mut bytes = [0; 1024];
        let length = receiver.recv(&mut bytes).unwrap();
        let expected: Vec<u8> = [
            ("PRIORITY", "4"),
            ("SYSLOG_IDENTIFIER", "terminal-agent"),
            ("TARGET", module_path!()),
            ("MESSAGE", "put off"),
            ("OPERATION_ID", "7"),
            ("CODE", "A\nB"),
            ("RETRY_AFTER_S", "3"),
        ]
        .into_iter()
        .flat_map(|(name, value)| {
            let mut field = format!("{name}\n").into_bytes();
            field.extend((value.len() as u64).to_le_bytes());
            field.extend(format!("{value}\n").into_bytes());
            field
        })
        .collect();
        assert_eq!(String::from_utf8_lossy(&bytes[..length]), String::from_utf8_lossy(&expected));
    }

    #[test]
    fn a_journal_that_is_not_read_is_neither_waited_for_nor_taken_for_absent() {
        let (directory, receiver, journal) = listening();
        let path = directory.path().join("socket");
        let mut senders = Vec::new();
        // Each sender has room of its own; the receiver's is full when a new one has none.
        loop {
            let sender = Journal::open(&path).unwrap();
            let mut sent = 0;
            while sender.socket.send_to(b"full", &path).is_ok() {
                sent += 1;
            }
            if sent == 0 {
                break;
            }
            senders.push(sender);
        }
        let subscriber = tracing_subscriber::registry().with(journal);
        tracing::subscriber::with_default(subscriber, || tracing::info!("lost"));
        drop(receiver);
        assert!(Journal::open(&path).is_err(), "nobody listens any more");
    }
}
