//! Programs that a backend runs: each in a process group of its own, with bounded output and a
//! deadline, and never left behind.
//!
//! A program is an absolute path and a list of arguments; no shell reads them. Its group is killed
//! when its time is up, when the call is cancelled, when the future is dropped and when it has
//! ended itself. What a process that was killed left running is found by its record and killed at
//! the next start.

use std::{
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::api::Cancellation;

pub(crate) mod failure;
mod leftover;
pub mod trusted;

/// What is kept of standard error, for messages.
const STDERR_BYTES_MAX: usize = 4 << 10;

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
}

impl Program {
    /// Without arguments. `path` is absolute: nothing is looked up.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), arguments: Vec::new(), environment: Vec::new() }
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// With these further arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// With one more variable in its environment, beside `PATH` and `LANG=C.UTF-8`.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// How much a program may say, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// More on standard output is an error.
    pub output_bytes: usize,
    /// From the start to the end.
    pub time: Duration,
}

/// What a program that has ended by itself has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output, whole.
    pub stdout: Vec<u8>,
    /// Standard error, its first 4 KiB.
    pub stderr: String,
}

/// Why there is no [`Output`].
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// It cannot be started: it did not run.
    #[error("cannot start {program}: {source}")]
    Start {
        /// Its path.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// Its input or output broke.
    #[error("cannot talk to {program}: {source}")]
    Talk {
        /// Its path.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It said more than it may; it was killed.
    #[error("{program} wrote more than {limit} bytes")]
    TooMuchOutput {
        /// Its path.
        program: String,
        /// How much it may say.
        limit: usize,
    },
    /// It took too long; it was killed.
    #[error("{program} did not end within {} ms", limit.as_millis())]
    Overdue {
        /// Its path.
        program: String,
        /// How long it may take.
        limit: Duration,
    },
    /// The call was cancelled; it was killed.
    #[error("{program} was stopped because the operation was canceled")]
    Canceled {
        /// Its path.
        program: String,
    },
}

/// Starts programs and remembers their groups for as long as they run. Clones share the memory.
#[derive(Clone, Debug)]
pub struct Runner {
    records: Arc<PathBuf>,
}

impl Runner {
    /// Kills what an agent before this one has left running. `records` is a folder that belongs to
    /// the agent alone; it is made, and is best on a file system that is empty after a boot.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(records: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&records)?;
        leftover::kill_all(&records)?;
        Ok(Self { records: Arc::new(records) })
    }

    /// Runs a program to its end, with `input` on its standard input.
    ///
    /// # Errors
    /// When it cannot be started, breaks a limit or is cancelled. That it ended with a failure is
    /// in [`Output::status`].
    pub async fn run(
        &self,
        program: &Program,
        input: &[u8],
        limits: Limits,
        cancellation: Option<&Cancellation>,
    ) -> Result<Output, ChildError> {
        let name = || program.path.display().to_string();
        let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
        let (child, group) = self.spawn(program, stdin)?;
        let cancelled = async {
            match cancellation {
                Some(cancellation) => cancellation.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = cancelled => Err(ChildError::Canceled { program: name() }),
            ended = timeout(limits.time, group.converse(child, input, limits, &name)) => {
                ended.unwrap_or_else(|_| {
                    Err(ChildError::Overdue { program: name(), limit: limits.time })
                })
            }
        }
    }

    /// Starts a program whose output is read while it runs; it is killed with the returned value.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn stream(&self, program: &Program) -> Result<Streaming, ChildError> {
        let (mut child, group) = self.spawn(program, Stdio::null())?;
        let no_pipe = || ChildError::Start {
            program: program.path.display().to_string(),
            source: io::Error::other("it has no standard output"),
        };
        let stdout = child.stdout.take().ok_or_else(no_pipe)?;
        let complaints = child.stderr.take().map(|stderr| tokio::spawn(read_start(stderr)));
        Ok(Streaming { stdout, complaints, child, _group: group })
    }

    fn spawn(&self, program: &Program, stdin: Stdio) -> Result<(Child, Group), ChildError> {
        let failed =
            |source| ChildError::Start { program: program.path.display().to_string(), source };
        let child = program
            .command()
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.ok_or_else(|| failed(io::Error::other("it has no process id")))?;
        // Without a record it would be left behind by a crash: that is worth no failure.
        let record = leftover::record(&self.records, id)
            .inspect_err(|error| tracing::warn!(%error, "a started program is not on record"))
            .ok();
        Ok((child, Group { id: Pid::from_raw(id), record }))
    }
}

/// A program that runs and is read.
#[derive(Debug)]
pub struct Streaming {
    /// Its standard output.
    pub stdout: ChildStdout,
    complaints: Option<JoinHandle<String>>,
    child: Child,
    _group: Group,
}

impl Streaming {
    /// Waits for its end once its output has been read; its standard error, the first 4 KiB.
    ///
    /// # Errors
    /// When the system does not tell how it ended.
    pub async fn end(mut self) -> io::Result<(ExitStatus, String)> {
        let status = self.child.wait().await?;
        let said = match self.complaints.take() {
            Some(complaints) => complaints.await.unwrap_or_default(),
            None => String::new(),
        };
        Ok((status, said))
    }
}

/// A process group that is killed when this is dropped.
#[derive(Debug)]
struct Group {
    id: Pid,
    record: Option<PathBuf>,
}

impl Group {
    /// Says `input`, listens, and waits for the end.
    async fn converse(
        &self,
        mut child: Child,
        input: &[u8],
        limits: Limits,
        name: &impl Fn() -> String,
    ) -> Result<Output, ChildError> {
        let failed = |source| ChildError::Talk { program: name(), source };
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let complaints = child.stderr.take().map(|stderr| tokio::spawn(read_start(stderr)));
        let write = async {
            if let Some(mut stdin) = stdin {
                // One that does not read what it is told may still know what to do.
                let _ = stdin.write_all(input).await;
            }
            Ok(())
        };
        let end = async {
            let status = child.wait().await.map_err(failed)?;
            // What it has left in the background would hold its output open.
            self.kill();
            Ok(status)
        };
        let read = async {
            let mut bytes = Vec::new();
            if let Some(stdout) = stdout {
                let most = u64::try_from(limits.output_bytes).unwrap_or(u64::MAX);
                let mut bounded = stdout.take(most.saturating_add(1));
                bounded.read_to_end(&mut bytes).await.map_err(failed)?;
            }
            if bytes.len() > limits.output_bytes {
                let limit = limits.output_bytes;
                return Err(ChildError::TooMuchOutput { program: name(), limit });
            }
            Ok(bytes)
        };
        let (stdout, status, ()) = tokio::try_join!(read, end, write)?;
        let stderr = match complaints {
            Some(complaints) => complaints.await.unwrap_or_default(),
            None => String::new(),
        };
        Ok(Output { status, stdout, stderr })
    }

    fn kill(&self) {
        // Fails when all of it has ended, which is what is wanted.
        let _ = killpg(self.id, Signal::SIGKILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
        if let Some(record) = &self.record {
            let _ = fs::remove_file(record);
        }
    }
}

/// The first 4 KiB as text; the rest is read and dropped, so that the writer does not stop.
async fn read_start(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = STDERR_BYTES_MAX.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(count.min(room)));
    }
    String::from_utf8_lossy(&kept).trim_end().to_owned()
}

#[cfg(test)]
mod tests;
