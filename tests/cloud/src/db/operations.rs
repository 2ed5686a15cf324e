//! Operations as the public API creates and shows them.

use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use terminal_core::protocol::Policy;
use terminal_hal::{OperationId, Timestamp};
use uuid::Uuid;

use super::{DbError, execute, json as document, ms, now, row, rows, time, timeline, uuid};

/// How an operation stands, as the public API says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OperationStatus {
    /// Dispatched or waiting for the terminal.
    Pending,
    /// Done.
    Completed,
    /// The terminal says that it did not work.
    Failed,
    /// No answer within the window; proves nothing about the terminal.
    Timeout,
}

impl OperationStatus {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Timeout => "TIMEOUT",
        }
    }

    fn parse(text: &str) -> Result<Self, DbError> {
        [Self::Pending, Self::Completed, Self::Failed, Self::Timeout]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(DbError::Range("operation status"))
    }
}

/// An operation to be created.
#[derive(Clone, Debug, PartialEq)]
pub struct NewOperation {
    /// Where.
    pub terminal_id: String,
    /// Name of the kind; the library takes any, the REST API those of the protocol.
    pub operation: String,
    /// As the kind defines them.
    pub parameters: Map<String, Value>,
    /// What the terminal does when it is busy.
    pub policy: Policy,
    /// Seconds within which it must start.
    pub ttl_s: u32,
    /// Seconds that it may run.
    pub deadline_s: u32,
    /// Refused while another one is PENDING; the REST API always sets it.
    pub exclusive: bool,
}

impl NewOperation {
    /// With the defaults of its kind and no parameters.
    pub fn new(terminal_id: impl Into<String>, operation: impl Into<String>) -> Self {
        let operation = operation.into();
        let (ttl_s, deadline_s) = defaults(&operation);
        Self {
            terminal_id: terminal_id.into(),
            operation,
            parameters: Map::new(),
            policy: Policy::default(),
            ttl_s,
            deadline_s,
            exclusive: false,
        }
    }
}

/// Expiry and deadline of each kind, in seconds.
pub(crate) fn defaults(operation: &str) -> (u32, u32) {
    match operation {
        "end_of_day" | "reboot" => (900, 300),
        "send_logs" => (3600, 900),
        "open_menu" => (60, 15),
        "update" => (7 * 86_400, 3600),
        "lock" => (86_400, 30),
        "unlock" => (3600, 30),
        "configure" => (7 * 86_400, 60),
        _ => (300, 60),
    }
}

/// What the terminal said after its TIMEOUT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LateResult {
    /// COMPLETED or FAILED.
    pub status: OperationStatus,
    /// With COMPLETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// With FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// When it came.
    pub received_at: Timestamp,
}

/// An operation in the shape of the public API; what does not apply is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Identity, for ever.
    pub id: OperationId,
    /// Where.
    pub terminal_id: String,
    /// Name of the kind.
    pub operation: String,
    /// How it stands.
    pub status: OperationStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// `local` when the terminal itself has begun it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// When its status changed.
    pub updated_at: Timestamp,
    /// By whom: a terminal id, or `terminal-cloud` for a TIMEOUT.
    pub updated_by: String,
    /// Whose terminal.
    pub account_id: String,
    /// As given.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Value>,
    /// Only with COMPLETED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Only with FAILED.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// Only with TIMEOUT, once the terminal has spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_result: Option<LateResult>,
    /// Last `error` frame about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Value>,
    /// Whether it was ever sent; not part of the public API.
    #[serde(skip)]
    pub dispatched: bool,
    /// Whether an attempt has begun; not part of the public API.
    #[serde(skip)]
    pub started: bool,
    /// When it ended, by the terminal's clock where that is trusted; not part of the public API.
    #[serde(skip)]
    pub finished_at: Option<Timestamp>,
}

/// A step in the life of an operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimelineEntry {
    /// When.
    pub at: Timestamp,
    /// created, dispatched, accepted, started, progress, report, acked, …
    pub event: String,
    /// Details, or null.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub detail: Value,
}

/// What became of a request to create.
pub(crate) enum Created {
    /// New.
    New(Operation),
    /// The same key and body as before.
    Replayed(Operation),
    /// The same key with another body.
    KeyReused,
    /// Another one is PENDING, for at most so many seconds.
    Busy { retry_after_s: u64 },
    /// No such terminal in the account.
    UnknownTerminal,
    /// The terminal has been taken out of use.
    Deactivated,
    /// As many as one terminal may have are PENDING.
    QueueFull,
}

/// Longest life of an operation id: `not_after` lies at most so far ahead.
const NOT_AFTER_MS_MAX: u64 = 30 * 86_400_000;
/// How much longer than its window the terminal must remember an id.
const NOT_AFTER_SLACK_MS: u64 = 86_400_000;
/// Longest `Retry-After`: most operations end long before their window does.
const RETRY_AFTER_S_MAX: u64 = 15;

/// An operation with the identity of its request.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) new: NewOperation,
    /// Only within this account; any for the library.
    pub(crate) account_id: Option<String>,
    pub(crate) created_by: String,
    /// Derived from the idempotency key, with the fingerprint of the body.
    pub(crate) key: Option<(Uuid, String)>,
    pub(crate) timeout_max_ms: Option<u64>,
    /// Most that may be PENDING for one terminal.
    pub(crate) pending_max: Option<u32>,
}

/// Creates an operation, or finds the one that the same request created before.
pub(crate) fn create(connection: &Connection, request: &Request) -> Result<Created, DbError> {
    let new = &request.new;
    if let Some(known) = repeated(connection, request)? {
        return Ok(known);
    }
    let terminal = super::terminals::find(connection, &new.terminal_id)?.filter(|terminal| {
        request.account_id.as_ref().is_none_or(|account| *account == terminal.account_id)
    });
    let Some(terminal) = terminal else { return Ok(Created::UnknownTerminal) };
    if terminal.deleted.is_some() {
        return Ok(Created::Deactivated);
    }
    if let Some(max) = request.pending_max {
        let pending: u32 = connection.query_row(
            "SELECT count(*) FROM operations WHERE terminal_id = ?1 AND status = 'PENDING'",
            [&new.terminal_id],
            |row| row.get(0),
        )?;
        if pending >= max {
            return Ok(Created::QueueFull);
        }
    }
    let at = now();
    if new.exclusive {
        let pending = row(
            connection,
            "SELECT timeout_at FROM operations WHERE terminal_id = ?1 AND status = 'PENDING'
             ORDER BY timeout_at DESC LIMIT 1",
            [&new.terminal_id],
            |row| Ok(time(row.get(0)?)),
        )?;
        if let Some(timeout_at) = pending {
            let left_s = timeout_at.ms_since(at).div_ceil(1000);
            return Ok(Created::Busy { retry_after_s: left_s.clamp(1, RETRY_AFTER_S_MAX) });
        }
    }
    let id = OperationId(request.key.as_ref().map_or_else(Uuid::new_v4, |(id, _)| *id));
    insert(connection, request, id, &terminal.account_id, at)?;
    timeline::add(connection, id, at, "created", &json!({ "by": request.created_by }))?;
    find(connection, None, id)?.map(Created::New).ok_or(DbError::Range("operation"))
}

/// What a key has created before, or that it was for something else; `None` when it is new.
pub(crate) fn repeated(
    connection: &Connection,
    request: &Request,
) -> Result<Option<Created>, DbError> {
    let Some((id, fingerprint)) = &request.key else { return Ok(None) };
    let stored = row(
        connection,
        "SELECT *, fingerprint FROM operations WHERE id = ?1",
        [id.to_string()],
        |row| Ok((row.get::<_, Option<String>>("fingerprint")?, read(row)?)),
    )?;
    Ok(stored.map(|(stored, operation)| {
        let same = stored.as_ref() == Some(fingerprint);
        if same { Created::Replayed(operation) } else { Created::KeyReused }
    }))
}

fn insert(
    connection: &Connection,
    request: &Request,
    id: OperationId,
    account_id: &str,
    at: Timestamp,
) -> Result<(), DbError> {
    let new = &request.new;
    let window_ms = (u64::from(new.ttl_s) + u64::from(new.deadline_s)) * 1000;
    let timeout_ms = request.timeout_max_ms.map_or(window_ms, |max| window_ms.min(max));
    let not_after = at.plus_ms((window_ms + NOT_AFTER_SLACK_MS).min(NOT_AFTER_MS_MAX));
    execute(
        connection,
        "INSERT INTO operations (id, account_id, terminal_id, kind, parameters, policy, ttl_s,
         deadline_s, not_after, timeout_at, origin, fingerprint, created_at, created_by,
         updated_at, updated_by, status)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'cloud', ?11, ?12, ?13, ?12, ?13,
         'PENDING')",
        params![
            id.to_string(),
            account_id,
            new.terminal_id,
            new.operation,
            serde_json::to_string(&new.parameters)?,
            serde_json::to_string(&new.policy)?,
            new.ttl_s,
            new.deadline_s,
            ms(not_after),
            ms(at.plus_ms(timeout_ms)),
            request.key.as_ref().map(|(_, fingerprint)| fingerprint),
            ms(at),
            request.created_by,
        ],
    )?;
    Ok(())
}

/// One operation, of any account or of one.
pub(crate) fn find(
    connection: &Connection,
    account_id: Option<&str>,
    id: OperationId,
) -> Result<Option<Operation>, DbError> {
    row(
        connection,
        "SELECT * FROM operations WHERE id = ?1 AND account_id = coalesce(?2, account_id)",
        params![id.to_string(), account_id],
        read,
    )
}

/// What a list is restricted to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) account_id: String,
    pub(crate) terminal_id: Option<String>,
    pub(crate) operation_id: Option<Uuid>,
    /// Names of kinds; all when empty.
    pub(crate) kinds: Vec<&'static str>,
    pub(crate) progress: Option<Progress>,
    pub(crate) starting_after: Option<Uuid>,
    pub(crate) limit: u32,
}

/// How far an operation is, in the words of the other API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Queued,
    Processing,
    Completed,
    Failed,
}

impl Progress {
    const fn sql(self) -> &'static str {
        match self {
            Self::Queued => "status = 'PENDING' AND started_at IS NULL",
            Self::Processing => "status = 'PENDING' AND started_at IS NOT NULL",
            Self::Completed => "status = 'COMPLETED'",
            Self::Failed => "status IN ('FAILED', 'TIMEOUT')",
        }
    }
}

/// Newest first.
pub(crate) fn list(connection: &Connection, filter: &Filter) -> Result<Vec<Operation>, DbError> {
    let progress = filter.progress.map_or("TRUE", Progress::sql);
    rows(
        connection,
        &format!(
            "SELECT * FROM operations WHERE account_id = ?1
             AND (?2 IS NULL OR terminal_id = ?2) AND (?3 IS NULL OR id = ?3)
             AND (?4 IS NULL OR ordinal < (SELECT ordinal FROM operations WHERE id = ?4))
             AND (?6 = '[]' OR kind IN (SELECT value FROM json_each(?6))) AND {progress}
             ORDER BY ordinal DESC LIMIT ?5"
        ),
        params![
            filter.account_id,
            filter.terminal_id,
            filter.operation_id.map(|id| id.to_string()),
            filter.starting_after.map(|id| id.to_string()),
            filter.limit,
            serde_json::to_string(&filter.kinds)?,
        ],
        read,
    )
}

fn read(row: &Row<'_>) -> Result<Operation, DbError> {
    Ok(Operation {
        id: OperationId(uuid(row, "id")?.ok_or(DbError::Range("operation id"))?),
        terminal_id: row.get("terminal_id")?,
        operation: row.get("kind")?,
        status: OperationStatus::parse(&row.get::<_, String>("status")?)?,
        created_at: time(row.get("created_at")?),
        created_by: row.get("created_by")?,
        origin: (row.get::<_, String>("origin")? == "local").then(|| "local".to_owned()),
        updated_at: time(row.get("updated_at")?),
        updated_by: row.get("updated_by")?,
        account_id: row.get("account_id")?,
        parameters: document(row, "parameters")?.unwrap_or_default(),
        result: document(row, "result")?,
        error: document(row, "error")?,
        late_result: document(row, "late_result")?,
        last_error: document(row, "last_error")?,
        dispatched: row.get::<_, Option<i64>>("dispatched_at")?.is_some(),
        started: row.get::<_, Option<i64>>("started_at")?.is_some(),
        finished_at: row.get::<_, Option<i64>>("finished_at")?.map(time),
    })
}
