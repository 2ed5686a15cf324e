//! One connection to the payment application: requests out, answers and notifications in.
//!
//! It knows no method and decides nothing. When it ends, everybody who waits learns that the
//! answer is lost.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    sync::{Notify, mpsc, oneshot},
    time::timeout,
};

use super::{
    lines::{LineError, Lines},
    wire::{
        Cancel, EventParams, FRAME_BYTES_MAX, HelloResult, Incoming, Outgoing, ProgressParams,
        REQUESTS_MAX, RpcError, WRITE_MS_MAX, method,
    },
};
use crate::{api::Call, operation::OperationRequest};

/// Messages that may wait to be written: every request and its cancellation.
const OUTGOING_QUEUE: usize = 2 * REQUESTS_MAX;

/// Why a connection is not, or no longer, of use.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("connecting")]
    Connect(#[source] io::Error),
    #[error("asking who the peer is")]
    Credentials(#[source] io::Error),
    #[error("the peer runs as user {uid}, want one of {allowed:?}")]
    Stranger { uid: u32, allowed: Vec<u32> },
    #[error("it did not answer hello in time")]
    HelloTimeout,
    #[error("it refuses hello: {0}")]
    HelloRefused(String),
    #[error("it speaks protocol version {0}, want 1")]
    Version(u32),
    #[error("it is locked by the cloud and did not take the lock again: {0}")]
    NotLocked(String),
    #[error("it closed the connection")]
    Closed,
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("it sent what is no message: {0}")]
    Malformed(String),
    #[error("writing to the socket")]
    Write(#[source] io::Error),
    #[error("it does not read what is written to it")]
    WriteTimeout,
    #[error("it leaves {REQUESTS_MAX} requests without an answer")]
    Unanswered,
}

impl ConnectionError {
    /// Whether nothing was heard: nobody listens, or whoever does is stuck or has gone. A socket that
    /// may not be opened says nothing about who is behind it.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Connect(error) => error.kind() != io::ErrorKind::PermissionDenied,
            Self::HelloTimeout
            | Self::Closed
            | Self::Line(LineError::Read(_))
            | Self::Write(_)
            | Self::WriteTimeout
            | Self::Unanswered => true,
            Self::Credentials(_)
            | Self::Stranger { .. }
            | Self::HelloRefused(_)
            | Self::Version(_)
            | Self::NotLocked(_)
            | Self::Line(LineError::Truncated | LineError::TooLong)
            | Self::Malformed(_) => false,
        }
    }
}

/// What the application says by itself.
#[derive(Debug)]
pub(super) enum Notification {
    /// Something has changed.
    Event(EventParams),
    /// Somebody at the terminal wants an operation.
    Request(OperationRequest),
}

/// Whoever is told what the application says by itself.
pub(super) type OnNotification<'a> = dyn Fn(Notification) + Send + Sync + 'a;

/// What the application answered.
pub(super) type Answer = Result<Value, RpcError>;

/// A live connection that has said hello.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) hello: HelloResult,
    next_id: AtomicU64,
    outgoing: mpsc::Sender<Vec<u8>>,
    /// Requests that the application has not answered; `None` once the connection has ended.
    open: Mutex<Option<BTreeMap<u64, Open>>>,
    /// The application answers nothing any more.
    is_stuck: Notify,
}

#[derive(Debug)]
enum Open {
    Awaited {
        answer: oneshot::Sender<Answer>,
        /// Whom to tell about progress.
        call: Option<Call>,
    },
    /// Nobody waits any more. It still counts: the application may be working on it.
    Abandoned,
}

/// A request that has been registered; dropping it abandons the request and asks the application
/// to stop.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    connection: &'a Connection,
    id: u64,
    /// Ends with an error when the connection does.
    pub(super) answer: oneshot::Receiver<Answer>,
    is_sent: bool,
    is_answered: bool,
}

/// Why a request could not be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSent {
    /// The connection has ended.
    Ended,
    /// As many requests are open as there may be.
    TooMany,
    /// It does not fit into a message.
    TooLong,
}

impl Connection {
    /// The connection and what it has to write.
    pub(super) fn new(hello: HelloResult) -> (Self, mpsc::Receiver<Vec<u8>>) {
        let (outgoing, to_write) = mpsc::channel(OUTGOING_QUEUE);
        let open = Mutex::new(Some(BTreeMap::new()));
        let is_stuck = Notify::new();
        // `hello` was request 1.
        (Self { hello, next_id: AtomicU64::new(2), outgoing, open, is_stuck }, to_write)
    }

    /// Registers a request and hands it over to be written.
    pub(super) fn begin(
        &self,
        method: &str,
        params: &impl Serialize,
        call: Option<&Call>,
    ) -> Result<Exchange<'_>, NotSent> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let line = encode(Some(id), method, params).ok_or(NotSent::TooLong)?;
        let (sender, answer) = oneshot::channel();
        {
            let mut open = self.open();
            let open = open.as_mut().ok_or(NotSent::Ended)?;
            if open.len() >= REQUESTS_MAX {
                if open.values().any(|open| matches!(open, Open::Abandoned)) {
                    self.is_stuck.notify_one();
                }
                return Err(NotSent::TooMany);
            }
            open.insert(id, Open::Awaited { answer: sender, call: call.cloned() });
        }
        let mut exchange =
            Exchange { connection: self, id, answer, is_sent: false, is_answered: false };
        match self.outgoing.try_send(line) {
            Ok(()) => exchange.is_sent = true,
            Err(mpsc::error::TrySendError::Full(_)) => return Err(NotSent::TooMany),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(NotSent::Ended),
        }
        Ok(exchange)
    }

    /// Moves bytes until the connection ends; then everybody who waits is told.
    pub(super) async fn run<R, W>(
        &self,
        lines: &mut Lines<R>,
        writer: W,
        to_write: mpsc::Receiver<Vec<u8>>,
        on_notification: &OnNotification<'_>,
    ) -> ConnectionError
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let error = tokio::select! {
            error = self.read(lines, on_notification) => error,
            error = write(writer, to_write) => error,
            () = self.is_stuck.notified() => ConnectionError::Unanswered,
        };
        drop(self.open().take());
        error
    }

    async fn read<R: AsyncRead + Unpin>(
        &self,
        lines: &mut Lines<R>,
        on_notification: &OnNotification<'_>,
    ) -> ConnectionError {
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => return ConnectionError::Closed,
                Err(error) => return error.into(),
            };
            if let Err(problem) = self.receive(&line, on_notification) {
                return ConnectionError::Malformed(problem);
            }
        }
    }

    fn receive(&self, line: &[u8], on_notification: &OnNotification<'_>) -> Result<(), String> {
        let message: Incoming = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        match (message.method.as_deref(), message.id) {
            (Some(method::PROGRESS), None) => self.progress(message.params),
            (Some(method::EVENT), None) => {
                if let Some(event) = read(message.params) {
                    on_notification(Notification::Event(event));
                }
            }
            (Some(method::OPERATION_REQUEST), None) => match read(message.params) {
                Some(request) => on_notification(Notification::Request(request)),
                None => tracing::warn!("the application wants an operation and does not say which"),
            },
            // What a newer application says and this agent does not know.
            (Some(_), _) => {}
            (None, Some(id)) => {
                let answer = match (message.result, message.error) {
                    (Some(result), None) => Ok(result),
                    (None, Some(error)) => Err(error),
                    (Some(_), Some(_)) => return Err("result and error in one answer".to_owned()),
                    (None, None) => return Err("neither result nor error".to_owned()),
                };
                self.answered(id, answer);
            }
            (None, None) => {
                let error = message.error.ok_or("neither method nor id")?;
                return Err(format!("it could not read a request: {}", error.message));
            }
        }
        Ok(())
    }

    fn progress(&self, params: Option<Value>) {
        let Some(progress) = read::<ProgressParams>(params) else { return };
        let open = self.open();
        let request = open.as_ref().and_then(|open| open.get(&progress.request));
        if let Some(Open::Awaited { call: Some(call), .. }) = request {
            call.progress(&progress.phase, progress.percent);
        }
    }

    /// An answer that nobody waits for any more is dropped.
    fn answered(&self, id: u64, answer: Answer) {
        let request = self.open().as_mut().and_then(|open| open.remove(&id));
        if let Some(Open::Awaited { answer: waiting, .. }) = request {
            let _ = waiting.send(answer);
        }
    }

    fn open(&self) -> MutexGuard<'_, Option<BTreeMap<u64, Open>>> {
        // The map is whole after every statement.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange<'_> {
    /// Asks the application to stop; it still answers.
    pub(super) fn cancel(&self) {
        if let Some(line) = encode(None, method::CANCEL, &Cancel { request: self.id }) {
            // Without room the application is not reading anyway.
            let _ = self.connection.outgoing.try_send(line);
        }
    }

    /// The answer is here.
    pub(super) const fn answered(&mut self) {
        self.is_answered = true;
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        if let Some(open) = self.connection.open().as_mut() {
            // Answered in this very moment, it is not there any more.
            if !self.is_sent {
                open.remove(&self.id);
            } else if let Some(request) = open.get_mut(&self.id) {
                *request = Open::Abandoned;
            }
        }
        if self.is_sent {
            self.cancel();
        }
    }
}

/// A message as a line; `None` when it is too long.
pub(super) fn encode(id: Option<u64>, method: &str, params: &impl Serialize) -> Option<Vec<u8>> {
    let message = Outgoing { jsonrpc: "2.0", id, method, params };
    let mut line = serde_json::to_vec(&message).ok()?;
    line.push(b'\n');
    (line.len() <= FRAME_BYTES_MAX).then_some(line)
}

fn read<T: serde::de::DeserializeOwned>(params: Option<Value>) -> Option<T> {
    serde_json::from_value(params?).ok()
}

/// Writes until that fails.
async fn write<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut to_write: mpsc::Receiver<Vec<u8>>,
) -> ConnectionError {
    while let Some(line) = to_write.recv().await {
        match timeout(Duration::from_millis(WRITE_MS_MAX), writer.write_all(&line)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return ConnectionError::Write(error),
            Err(_) => return ConnectionError::WriteTimeout,
        }
    }
    ConnectionError::Closed
}
