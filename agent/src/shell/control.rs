//! The control socket: what `terminal-agent status` and other commands ask, one JSON line each way.
//!
//! Peers are known by their credentials: root and the agent's own user may ask for everything;
//! members of its group, and the users that the configuration names, may read; some of those may
//! begin operations.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use terminal_core::{
    engine::{EngineView, FinishedView, LinkView, MembershipState, MembershipView},
    protocol::ReportBody,
};
use terminal_hal::{ErrorCode, Timestamp};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream, unix::UCred},
    sync::{mpsc, oneshot},
    task::LocalSet,
};

use crate::{config::ControlConfig, store::Store, sys};

/// Questions that may wait for the loop.
pub(super) const CALLS_MAX: usize = 4;
/// Longest question, in bytes.
const REQUEST_BYTES_MAX: u64 = 4096;
/// Longest answer that a client reads, in bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// A question and its answer may take this long.
const CALL_TIME_MAX: Duration = Duration::from_secs(5);
/// Whoever may ask nothing is listened to for so long.
const STRANGER_TIME_MAX: Duration = Duration::from_millis(20);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlRequest {
    /// Link, clock, current operation, queue, unsent reports.
    Status,
    /// Operations that run or wait, and the newest verdicts.
    Operations,
    /// Have a deactivated terminal activated again.
    Activate,
    /// Begin an operation.
    Start(StartRequest),
    /// Remove the reports of an owner before, which are never sent.
    Discard,
}

/// An operation that somebody at the terminal wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartRequest {
    /// Name of its kind.
    pub operation: String,
    /// Of the kind.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Names the request: the same key is the same request. Every request is another without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// What a peer may do; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Right {
    Nothing,
    Read,
    Start,
    Everything,
}

impl ControlRequest {
    const fn needs(&self) -> Right {
        match self {
            Self::Status | Self::Operations => Right::Read,
            Self::Start(_) => Right::Start,
            Self::Activate | Self::Discard => Right::Everything,
        }
    }
}

/// A question on its way to the loop.
pub(super) struct ControlCall {
    pub(super) request: ControlRequest,
    /// User that asks.
    pub(super) uid: u32,
    pub(super) reply: oneshot::Sender<Value>,
}

/// Listens on the socket.
pub(super) fn serve(
    config: &ControlConfig,
    calls: mpsc::Sender<ControlCall>,
    tasks: &LocalSet,
) -> io::Result<()> {
    let listener = bind(&config.socket)?;
    let config = config.clone();
    tasks.spawn_local(async move {
        loop {
            match listener.accept().await {
                // One at a time: a slow client delays only other clients, and not for long.
                Ok((stream, _)) => {
                    let served = serve_one(stream, &config, &calls);
                    match tokio::time::timeout(CALL_TIME_MAX, served).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!(%error, "control client"),
                        Err(_) => tracing::debug!("control client too slow"),
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(())
}

/// Replaces what an earlier process has left. Two agents cannot get here: the store is locked.
fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let listener = UnixListener::bind(path)?;
    // Who may ask is decided by credentials, not by the mode of the file.
    fs::set_permissions(path, fs::Permissions::from_mode(0o666))?;
    Ok(listener)
}

async fn serve_one(
    mut stream: UnixStream,
    config: &ControlConfig,
    calls: &mpsc::Sender<ControlCall>,
) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let groups = sys::peer_groups(&stream);
    let uid = peer.uid();
    let right = right(&peer, &groups, config);
    // Read in any case: a client that is still writing would miss the refusal. But whoever may not
    // ask cannot keep others waiting by saying nothing.
    let patience = if right == Right::Nothing { STRANGER_TIME_MAX } else { CALL_TIME_MAX };
    let mut line = String::new();
    let mut request = BufReader::new((&mut stream).take(REQUEST_BYTES_MAX));
    if let Ok(read) = tokio::time::timeout(patience, request.read_line(&mut line)).await {
        read?;
    }
    let answer = if right >= Right::Read {
        answer_to(&line, uid, right, calls).await?
    } else {
        refusal(&format!("user {uid} may not ask; add it to the agent's group or control.readers"))
    };
    let mut line = answer.to_string();
    line.push('\n');
    stream.write_all(line.as_bytes()).await?;
    stream.shutdown().await
}

fn right(peer: &UCred, groups: &[u32], config: &ControlConfig) -> Right {
    let group = nix::unistd::getegid().as_raw();
    let uid = peer.uid();
    if [0, nix::unistd::geteuid().as_raw()].contains(&uid) {
        Right::Everything
    } else if config.operators.contains(&uid) {
        Right::Start
    } else if peer.gid() == group || groups.contains(&group) || config.readers.contains(&uid) {
        Right::Read
    } else {
        Right::Nothing
    }
}

async fn answer_to(
    line: &str,
    uid: u32,
    right: Right,
    calls: &mpsc::Sender<ControlCall>,
) -> io::Result<Value> {
    let request = match serde_json::from_str::<ControlRequest>(line) {
        Ok(request) if right >= request.needs() => request,
        Ok(ControlRequest::Start(_)) => {
            let whom = "only root, the agent's own user and control.operators may start operations";
            return Ok(refusal(whom));
        }
        Ok(_) => return Ok(refusal("only root and the agent's own user may ask for that")),
        Err(error) => return Ok(refusal(&format!("not a request: {error}"))),
    };
    let (reply, answer) = oneshot::channel();
    let gone = |_| io::Error::other("the agent is stopping");
    calls.send(ControlCall { request, uid, reply }).await.map_err(|_| gone(()))?;
    answer.await.map_err(|_| gone(()))
}

fn refusal(message: &str) -> Value {
    json!({ "error": message })
}

/// The terminal is not in a state for that.
pub(super) fn unfit(message: &str) -> Value {
    json!({ "unfit": message })
}

/// What the engine does not know and people ask for.
#[derive(Default)]
pub(super) struct Facts {
    /// Why there was no link, or no longer, the last time.
    pub(super) last_link_end: Option<String>,
    /// When the schedule begins the next end of day, by the wall clock.
    pub(super) end_of_day_next: Option<Timestamp>,
}

/// The answer of the agent.
pub(super) fn answer(
    request: &ControlRequest,
    facts: &Facts,
    view: &EngineView,
    store: &Store,
) -> Value {
    let stats = store.stats();
    let running: Vec<Value> = view
        .operations
        .iter()
        .map(|operation| {
            json!({
                "id": operation.id,
                "operation": operation.operation,
                "state": operation.state,
                "attempt": operation.attempt,
                "origin": operation.origin,
                "created_by": operation.created_by,
            })
        })
        .collect();
    match request {
        ControlRequest::Status => json!({
            "terminal_id": view.terminal_id,
            "membership": membership(&view.membership),
            "agent_version": env!("CARGO_PKG_VERSION"),
            "link": link(view.link),
            "last_link_end": facts.last_link_end,
            "clock": { "state": view.status.clock, "cloud_offset_ms": view.cloud_offset_ms },
            "boot_id": view.boot_id,
            "uptime_ms": view.status.uptime_ms,
            "store": {
                "epoch": view.store_epoch,
                "file_bytes": stats.file_bytes,
                "commits": stats.commits,
                "syncs": stats.syncs,
                "bytes": stats.bytes,
            },
            "state": view.status.state,
            "needs_attention": view.status.needs_attention,
            "locked": view.status.health.locked,
            "config_revision": view.status.config_revision,
            "health": view.status.health,
            "end_of_day_next": facts.end_of_day_next,
            "operations": running,
            "unsent_reports": view.status.unacked,
            "held_reports": view.held,
        }),
        ControlRequest::Operations => {
            let finished: Vec<Value> =
                view.finished.iter().rev().map(|finished| verdict(*finished, store)).collect();
            json!({ "operations": running, "finished": finished })
        }
        ControlRequest::Activate => activation(view),
        // Answered by the engine.
        ControlRequest::Start(_) => Value::Null,
        ControlRequest::Discard => json!({ "discarded": view.held }),
    }
}

/// Whether the terminal can be activated again.
fn activation(view: &EngineView) -> Value {
    let has_identity = view.membership.certificate.is_some();
    match view.membership.state {
        MembershipState::NotEnrolled => json!({ "activating": true }),
        MembershipState::Deactivated if has_identity => json!({ "activating": true }),
        MembershipState::Configured | MembershipState::Deactivated => {
            unfit("its credentials are configured: there is no section [enrolment]")
        }
        MembershipState::Enrolled => unfit(&format!(
            "{}: the cloud accepts it as {}; it has to be deactivated there first",
            ErrorCode::AlreadyEnrolled.as_str(),
            view.terminal_id
        )),
    }
}

fn membership(view: &MembershipView) -> Value {
    let state = match view.state {
        MembershipState::Configured => "configured",
        MembershipState::NotEnrolled => "not_enrolled",
        MembershipState::Enrolled => "enrolled",
        MembershipState::Deactivated => "deactivated",
    };
    let code = view.activation_code.as_ref();
    let certificate = view.certificate;
    json!({
        "state": state,
        "activation_code": code.map(|(code, ms)| json!({ "code": code, "expires_in_ms": ms })),
        "certificate": certificate
            .map(|c| json!({ "not_before": c.not_before, "not_after": c.not_after })),
        "problem": view.problem,
    })
}

fn link(link: LinkView) -> Value {
    match link {
        LinkView::Waiting { ms } => json!({ "state": "waiting", "ms": ms }),
        LinkView::Connecting => json!({ "state": "connecting" }),
        LinkView::Up { ms } => json!({ "state": "up", "ms": ms }),
        LinkView::Closing => json!({ "state": "closing" }),
    }
}

fn verdict(finished: FinishedView, store: &Store) -> Value {
    let body = store.report(finished.place).ok().flatten().map(|report| report.body);
    let Some(ReportBody::Operation(report)) = body else {
        return json!({ "id": finished.id, "acked": finished.acked });
    };
    json!({
        "id": report.id,
        "operation": report.operation,
        "status": report.outcome.status,
        "result": report.outcome.result,
        "error": report.outcome.error,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "duration_ms": report.duration_ms,
        "attempt": report.attempt,
        "origin": report.origin,
        "created_by": report.created_by,
        "acked": finished.acked,
    })
}

/// Asks a running agent.
///
/// # Errors
/// When there is none, or it does not answer, or refuses.
pub fn ask(socket: PathBuf, request: &ControlRequest) -> io::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let question = async {
        let mut stream = UnixStream::connect(&socket).await?;
        let mut line = serde_json::to_string(request)?;
        line.push('\n');
        stream.write_all(line.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await?;
        serde_json::from_str::<Value>(&answer).map_err(io::Error::from)
    };
    let answer = runtime.block_on(async {
        tokio::time::timeout(CALL_TIME_MAX, question)
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the agent does not answer"))?
    })?;
    let refused =
        [("error", io::ErrorKind::PermissionDenied), ("unfit", io::ErrorKind::Unsupported)];
    for (name, kind) in refused {
        if let Some(message) = answer.get(name).and_then(Value::as_str) {
            return Err(io::Error::new(kind, message.to_owned()));
        }
    }
    Ok(answer)
}
