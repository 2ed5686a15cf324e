//! One connection: lines in, requests out to tasks, answers and notifications back.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde_json::{Value, json};
use terminal_hal::{
    api::{self, Call, Payments},
    mock::MockTerminal,
    vendor::{
        lines::{LineError, Lines},
        wire::{
            Cancel, EventParams, HelloParams, OperationContext, PROTOCOL_VERSION, ProgressParams,
            RpcError, WRITE_MS_MAX, method, rpc,
        },
    },
};
use tokio::{
    io::AsyncWriteExt,
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::{Notify, mpsc},
    task::JoinSet,
    time::timeout,
};

use crate::{dispatch, server};

/// Messages that wait to be written; who sends more waits.
const OUTGOING_QUEUE: usize = 32;
/// How often the terminal is looked at for something to tell.
const WATCH_EVERY: Duration = Duration::from_millis(200);

/// What the tasks of a connection share.
#[derive(Clone)]
struct Session {
    terminal: MockTerminal,
    outgoing: mpsc::Sender<Vec<u8>>,
    /// How to cancel what runs.
    running: Arc<Mutex<HashMap<u64, Arc<Notify>>>>,
    /// The application has restarted: this connection belongs to an instance that is gone.
    over: Arc<Notify>,
}

pub(crate) async fn run(stream: UnixStream, terminal: &MockTerminal, nonce: &str) -> Result<()> {
    let (reader, writer) = stream.into_split();
    let mut lines = Lines::new(reader);
    let (outgoing, to_write) = mpsc::channel(OUTGOING_QUEUE);
    let session = Session {
        terminal: terminal.clone(),
        outgoing,
        running: Arc::default(),
        over: Arc::default(),
    };
    // Dropped with the connection, and everything that has not begun with it.
    let mut tasks = JoinSet::new();
    let over = Arc::clone(&session.over);
    tokio::select! {
        // First, so that the last answer is written before the connection is closed.
        biased;
        ended = write(writer, to_write) => ended,
        read = read(&session, &mut lines, nonce, &mut tasks) => read,
        () = over.notified() => Ok(()),
    }
}

async fn read(
    session: &Session,
    lines: &mut Lines<tokio::net::unix::OwnedReadHalf>,
    nonce: &str,
    tasks: &mut JoinSet<()>,
) -> Result<()> {
    let mut is_greeted = false;
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(()),
            Err(error @ LineError::TooLong) => {
                let error = RpcError::new(rpc::INVALID_REQUEST, error.to_string());
                session.answer(Value::Null, Err(error)).await;
                bail!("a message was too long");
            }
            Err(error) => return Err(error.into()),
        };
        while tasks.try_join_next().is_some() {}
        let message = match serde_json::from_slice::<Value>(&line) {
            Ok(message) => message,
            Err(error) => {
                let error = RpcError::new(rpc::PARSE_ERROR, error.to_string());
                session.answer(Value::Null, Err(error)).await;
                continue;
            }
        };
        let Some(request) = session.request(message).await else { continue };
        if request.method == method::HELLO {
            let greeted = session.greet(request.params, nonce).await;
            is_greeted |= greeted.is_ok();
            session.answer(request.id.into(), greeted).await;
            tasks.spawn(watch(session.clone()));
        } else if !is_greeted {
            let error = RpcError::new(rpc::HELLO_FIRST, "hello must be the first request");
            session.answer(request.id.into(), Err(error)).await;
        } else {
            session.start(request, tasks);
        }
    }
}

/// A request that can be read.
pub(crate) struct Request {
    pub(crate) id: u64,
    pub(crate) method: String,
    pub(crate) params: Value,
}

impl Session {
    /// `None` for what is no request; it has been dealt with.
    async fn request(&self, message: Value) -> Option<Request> {
        let method = message.get("method").and_then(Value::as_str);
        let id = message.get("id");
        let params = message.get("params").cloned().unwrap_or_else(|| json!({}));
        let is_version_2 = message.get("jsonrpc").and_then(Value::as_str) == Some("2.0");
        match (method, id.map(Value::as_u64)) {
            (Some(method), None) if is_version_2 => {
                self.notified(method, params);
                None
            }
            (Some(method), Some(Some(id))) if is_version_2 => {
                Some(Request { id, method: method.to_owned(), params })
            }
            _ => {
                let error = RpcError::new(rpc::INVALID_REQUEST, "want a request of JSON-RPC 2.0");
                self.answer(id.cloned().unwrap_or_default(), Err(error)).await;
                None
            }
        }
    }

    fn notified(&self, method: &str, params: Value) {
        if method != method::CANCEL {
            return;
        }
        let Ok(Cancel { request }) = serde_json::from_value(params) else { return };
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancel) = running.get(&request) {
            cancel.notify_one();
        }
    }

    async fn greet(&self, params: Value, nonce: &str) -> Result<Value, RpcError> {
        let hello: HelloParams = dispatch::read(params)?;
        if hello.protocol != PROTOCOL_VERSION {
            let reason = format!("protocol {} is not spoken, want 1", hello.protocol);
            let code = terminal_hal::ErrorCode::UnsupportedVersion;
            return Err(terminal_hal::Failure::new(code, reason).into());
        }
        let instance = self.terminal.instance().await.map_err(RpcError::from)?;
        Ok(dispatch::write(&server::hello(&self.terminal, instance, nonce)))
    }

    /// What changes the terminal for good goes on when the connection ends; the rest ends with it.
    fn start(&self, request: Request, tasks: &mut JoinSet<()>) {
        let cancel = Arc::new(Notify::new());
        let running = self.running.lock();
        running.unwrap_or_else(PoisonError::into_inner).insert(request.id, Arc::clone(&cancel));
        let goes_on = [method::CLOSE, method::INSTALL].contains(&request.method.as_str());
        let task = self.clone().carry_out(request, cancel);
        if goes_on {
            tokio::spawn(task);
        } else {
            tasks.spawn(task);
        }
    }

    async fn carry_out(self, request: Request, cancel: Arc<Notify>) {
        let Request { id, method, params } = request;
        let answer = self.drive(id, &method, params, &cancel).await;
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let has_restarted = method == method::RESTART_APPLICATION && answer.is_ok();
        self.answer(id.into(), answer).await;
        if has_restarted {
            self.over.notify_one();
        }
    }

    /// Passes progress on and a cancellation in.
    async fn drive(
        &self,
        id: u64,
        method: &str,
        params: Value,
        cancel: &Notify,
    ) -> Result<Value, RpcError> {
        let context = serde_json::from_value::<OperationContext>(params.clone()).ok();
        let (call, mut handle) = context.map_or_else(
            || call_of(OperationContext { operation_id: none(), attempt: 1, time_left_ms: 0 }),
            call_of,
        );
        let work = dispatch::answer(&self.terminal, method, params, &call);
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                answer = &mut work => return answer,
                () = cancel.notified() => handle.cancel(),
                Some(progress) = handle.progress.recv() => {
                    let (phase, percent) = (progress.phase, progress.percent);
                    self.notify(method::PROGRESS, &ProgressParams { request: id, phase, percent });
                }
            }
        }
    }

    async fn answer(&self, id: Value, answer: Result<Value, RpcError>) {
        let message = match answer {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
            Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
        };
        // The peer may be gone.
        let _ = self.outgoing.send(line(&message)).await;
    }

    /// A notification is dropped when nobody reads fast enough.
    fn notify(&self, method: &str, params: &impl Serialize) {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        let _ = self.outgoing.try_send(line(&message));
    }
}

fn call_of(context: OperationContext) -> (Call, api::CallHandle) {
    let OperationContext { operation_id, attempt, time_left_ms } = context;
    api::call(operation_id, attempt, Duration::from_millis(time_left_ms))
}

const fn none() -> terminal_hal::OperationId {
    terminal_hal::OperationId(uuid::Uuid::nil())
}

fn line(message: &Value) -> Vec<u8> {
    let mut line = message.to_string().into_bytes();
    line.push(b'\n');
    line
}

async fn write(mut writer: OwnedWriteHalf, mut to_write: mpsc::Receiver<Vec<u8>>) -> Result<()> {
    while let Some(line) = to_write.recv().await {
        let written = timeout(Duration::from_millis(WRITE_MS_MAX), writer.write_all(&line)).await;
        written.context("the agent does not read")??;
    }
    Ok(())
}

/// Tells what has changed at the terminal without the agent.
async fn watch(session: Session) {
    let look = |terminal: &MockTerminal| {
        let script = terminal.script();
        let lock = terminal.state().lock.is_some();
        let health = (lock, script.printer, script.tampered, terminal.screen());
        (health, script.payment_active)
    };
    let mut before = look(&session.terminal);
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let now = look(&session.terminal);
        let changes =
            [(now.0 != before.0, "health_changed"), (now.1 != before.1, "payment_changed")];
        for (_, event) in changes.into_iter().filter(|(is, _)| *is) {
            session.notify(method::EVENT, &EventParams { event: event.to_owned() });
        }
        if let Some(request) = &session.terminal.script().chosen {
            // Again and again: the same key is the same operation.
            session.notify(method::OPERATION_REQUEST, request);
        }
        before = now;
    }
}
