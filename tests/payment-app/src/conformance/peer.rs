//! The application as its raw socket shows it: lines in, lines out, nothing repaired.

use std::{
    cell::RefCell,
    path::PathBuf,
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use terminal_hal::{
    Timestamp,
    vendor::{
        lines::Lines,
        wire::{EventParams, HelloResult, ProgressParams, method, rpc},
    },
};
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::Command,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

/// What is answered at once may take this long.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);
/// A restart may take this long.
const RESTART_TIME_MAX: Duration = Duration::from_secs(60);

/// The application to check.
pub(crate) struct Target {
    pub(crate) socket: PathBuf,
    restart: Option<String>,
    seen: Rc<RefCell<Seen>>,
}

/// What was seen by the way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) progress: u64,
    pub(crate) bad_notification: Option<String>,
}

impl Target {
    pub(crate) fn new(socket: PathBuf, restart: Option<String>) -> Self {
        Self { socket, restart, seen: Rc::default() }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    pub(crate) const fn can_restart(&self) -> bool {
        self.restart.is_some()
    }

    /// Ends the application and starts it again; returns when it says hello.
    pub(crate) async fn restart(&self) -> Result<Peer> {
        let command = self.restart.as_deref().context("there is no --restart-command")?;
        let running = Command::new("sh").args(["-c", command]).kill_on_drop(true).status();
        let status =
            timeout(RESTART_TIME_MAX, running).await.context("--restart-command hangs")??;
        ensure!(status.success(), "--restart-command: {status}");
        Peer::greeted(self, RESTART_TIME_MAX).await
    }
}

/// One connection.
pub(crate) struct Peer {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    next_id: u64,
    seen: Rc<RefCell<Seen>>,
    /// Of a connection that has said hello.
    pub(crate) hello: HelloResult,
}

impl Peer {
    /// Connects and says nothing.
    pub(crate) async fn silent(target: &Target) -> Result<Self> {
        let stream = UnixStream::connect(&target.socket).await.context("connecting")?;
        let (reader, writer) = stream.into_split();
        let (lines, seen) = (Lines::new(reader), Rc::clone(&target.seen));
        let hello = HelloResult {
            protocol: 0,
            application: String::new(),
            application_version: String::new(),
            instance: String::new(),
            capabilities: Vec::new(),
        };
        Ok(Self { lines, writer, next_id: 1, seen, hello })
    }

    /// Connects and says hello.
    pub(crate) async fn new(target: &Target) -> Result<Self> {
        let mut peer = Self::silent(target).await?;
        let params = json!({ "protocol": 1, "agent_version": "conformance" });
        let result = peer.result(method::HELLO, params).await?;
        peer.hello = serde_json::from_value(result.clone())
            .with_context(|| format!("hello answered {result}"))?;
        Ok(peer)
    }

    /// The same, trying again until it works.
    pub(crate) async fn greeted(target: &Target, patience: Duration) -> Result<Self> {
        let until = Instant::now() + patience;
        loop {
            match Self::new(target).await {
                Ok(peer) => return Ok(peer),
                Err(error) if Instant::now() >= until => {
                    return Err(error.context(format!("no hello within {patience:?}")));
                }
                Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Writes bytes as they are.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        timeout(PROMPT, self.writer.write_all(bytes)).await.context("it does not read")??;
        Ok(())
    }

    /// Sends a request and gives its id.
    pub(crate) async fn send(&mut self, method: &str, params: Value) -> Result<u64> {
        let id = self.next_id;
        self.next_id += 1;
        self.write(&request(id, method, &params)).await?;
        Ok(id)
    }

    /// Sends a notification.
    pub(crate) async fn notify(&mut self, method: &str, params: Value) -> Result<()> {
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        self.write(format!("{message}\n").as_bytes()).await
    }

    /// The next answer, whichever it is; `None` when the connection has been closed.
    pub(crate) async fn next(&mut self, patience: Duration) -> Result<Option<Value>> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line = timeout(left, self.lines.next()).await;
            let line = line.with_context(|| format!("no answer within {patience:?}"))?;
            // A connection that is reset has been closed as well.
            let Ok(Some(line)) = line else { return Ok(None) };
            let message: Value = serde_json::from_slice(&line)
                .with_context(|| format!("no JSON: {:?}", String::from_utf8_lossy(&line)))?;
            ensure!(message["jsonrpc"] == "2.0", "no JSON-RPC 2.0: {message}");
            if message.get("method").is_none() {
                let has = |field| message.get(field).is_some();
                ensure!(has("id"), "neither method nor id: {message}");
                ensure!(has("result") != has("error"), "want result or error: {message}");
                return Ok(Some(message));
            }
            self.note(&message);
        }
    }

    fn note(&self, message: &Value) {
        let params = message.get("params").cloned().unwrap_or_default();
        let mut seen = self.seen.borrow_mut();
        let is_good = match message["method"].as_str() {
            _ if message.get("id").is_some() => false,
            Some(method::PROGRESS) => {
                seen.progress += 1;
                serde_json::from_value::<ProgressParams>(params).is_ok_and(|progress| {
                    let chars = progress.phase.chars().count();
                    (1..=32).contains(&chars) && progress.percent.is_none_or(|p| p <= 100)
                })
            }
            Some(method::EVENT) => serde_json::from_value::<EventParams>(params).is_ok(),
            _ => true,
        };
        if !is_good {
            seen.bad_notification = Some(message.to_string());
        }
    }

    /// The answer to a request; no other is expected meanwhile.
    pub(crate) async fn answer_to(&mut self, id: u64, patience: Duration) -> Result<Value> {
        let answer = self.next(patience).await?.context("the connection was closed")?;
        ensure!(answer["id"] == id, "want the answer to request {id}, got {answer}");
        Ok(answer)
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.send(method, params).await?;
        self.answer_to(id, Duration::from_secs(70)).await
    }

    /// The same; the answer must be a result.
    pub(crate) async fn result(&mut self, method: &str, params: Value) -> Result<Value> {
        let answer = self.ask(method, params).await?;
        let result = answer.get("result").cloned();
        let result = result.with_context(|| format!("{method}: {}", answer["error"]))?;
        ensure!(result.is_object(), "{method}: the result is no object: {result}");
        Ok(result)
    }

    /// The same; the answer must be an error of that code.
    pub(crate) async fn error(&mut self, method: &str, params: Value, code: i64) -> Result<Value> {
        let answer = self.ask(method, params).await?;
        error_of(&answer, code)
    }

    /// The same; the operation must fail with one of these codes and without side effects.
    pub(crate) async fn refused(
        &mut self,
        method: &str,
        params: Value,
        codes: &[&str],
    ) -> Result<()> {
        let error = self.error(method, params, rpc::OPERATION_FAILED).await?;
        check_failure(&error, codes)
    }

    /// Whether the connection works.
    pub(crate) async fn is_usable(&mut self) -> Result<()> {
        self.result(method::ACTIVITY, json!({})).await.context("afterwards")?;
        Ok(())
    }
}

pub(crate) fn request(id: u64, method: &str, params: &Value) -> Vec<u8> {
    let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
    format!("{message}\n").into_bytes()
}

/// The error of an answer, if it has that code.
pub(crate) fn error_of(answer: &Value, code: i64) -> Result<Value> {
    let Some(error) = answer.get("error") else { bail!("want error {code}, got {answer}") };
    ensure!(error["code"] == code, "want error {code}, got {error}");
    ensure!(error["message"].is_string(), "an error without message: {error}");
    Ok(error.clone())
}

/// The data of a failed operation.
pub(crate) fn check_failure(error: &Value, codes: &[&str]) -> Result<()> {
    let (code, effects) = (&error["data"]["code"], &error["data"]["side_effects"]);
    ensure!(codes.iter().any(|known| code == known), "want {codes:?}, got {error}");
    ensure!(effects == "none", "want side effects none, got {error}");
    Ok(())
}

/// Parameters of an order.
pub(crate) fn order(id: Uuid, parameters: Value) -> Value {
    json!({ "operation_id": id, "attempt": 1, "time_left_ms": 60_000, "parameters": parameters })
}

/// Parameters of a hold.
pub(crate) fn hold(id: Uuid, if_payment_active: &str, wait_max_ms: u64) -> Value {
    let how = json!({
        "lease_ms": 30_000, "if_payment_active": if_payment_active, "wait_max_ms": wait_max_ms,
    });
    order(id, how)
}

/// Names an operation.
pub(crate) fn about(id: Uuid) -> Value {
    json!({ "operation_id": id })
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
