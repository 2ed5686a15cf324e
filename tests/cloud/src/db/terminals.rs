//! Registered terminals.

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Map, Value, json};
use terminal_hal::Timestamp;
use uuid::Uuid;

use super::{DbError, execute, json as document, ms, now, row, rows, time};
use crate::secret;

/// A terminal and how it authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTerminal {
    /// Such as `P11223351-T0001`.
    pub terminal_id: String,
    /// Bearer token of its link.
    pub token: String,
}

/// A registered terminal, with what it said last.
#[derive(Clone, Debug, PartialEq)]
pub struct Terminal {
    /// Such as `P11223351-T0001`.
    pub terminal_id: String,
    /// Of the resource.
    pub id: String,
    /// Whose it is.
    pub account_id: String,
    /// Printed on the device.
    pub serial_number: String,
    /// Where it stands.
    pub store_id: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When the resource changed.
    pub updated_at: Timestamp,
    /// Whether it has a link now.
    pub online: bool,
    /// When something came from it.
    pub last_seen_at: Option<Timestamp>,
    /// Its last `hello`.
    pub hello: Option<Value>,
    /// Its last `status`.
    pub status: Option<Value>,
    /// Revision that the cloud wants, 0 for none.
    pub config_revision: u64,
    /// Its last configuration report.
    pub config_report: Option<Value>,
    /// Whether its last `check_update` found an update that must be installed.
    pub update_mandatory: bool,
}

/// Why a terminal cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The account has a terminal of that serial number.
    #[error("serial number is registered as {0}")]
    Duplicate(String),
}

impl Terminal {
    /// `PENDING` until it has been seen, then `ACTIVE` or `INACTIVE`; `ACTION_REQUIRED` while a
    /// mandatory update waits.
    pub fn state(&self) -> (&'static str, Option<&'static str>) {
        match (self.last_seen_at, self.online, self.update_mandatory) {
            (None, _, _) => ("PENDING", None),
            (Some(_), true, true) => ("ACTION_REQUIRED", Some("CHECK_UPDATE")),
            (Some(_), true, false) => ("ACTIVE", None),
            (Some(_), false, _) => ("INACTIVE", None),
        }
    }

    /// The resource as the public API shows it; what is unknown is absent.
    pub fn to_json(&self) -> Value {
        let (status, reason) = self.state();
        let said = |source: &Option<Value>, key: &str| {
            source
                .as_ref()
                .and_then(|value| value.get(key))
                .filter(|value| !value.is_null())
                .cloned()
        };
        let software = said(&self.status, "software_version")
            .or_else(|| said(&self.hello, "software_version"));
        let mut map = Map::new();
        map.insert("terminal_id".into(), json!(self.terminal_id));
        map.insert("device_serial_number".into(), json!(self.serial_number));
        map.insert("id".into(), json!(self.id));
        map.insert("created_at".into(), json!(self.created_at));
        map.insert("created_by".into(), json!(self.created_by));
        map.insert("updated_at".into(), json!(self.updated_at));
        map.insert("store_id".into(), json!(self.store_id));
        map.insert("status".into(), json!(status));
        let optional = [
            ("status_reason", reason.map(Value::from)),
            ("device_model", said(&self.hello, "model")),
            ("software_version", software),
            ("battery_level", said(&self.status, "battery_level")),
            ("last_seen_at", self.last_seen_at.map(|at| json!(at))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                map.insert(name.into(), value);
            }
        }
        Value::Object(map)
    }
}

/// Registers a serial number; ids count up within the account.
pub(crate) fn register(
    connection: &Connection,
    account_id: &str,
    serial_number: &str,
    store_id: &str,
    created_by: &str,
) -> Result<Result<Terminal, RegisterError>, DbError> {
    let taken: Option<String> = connection
        .query_row(
            "SELECT terminal_id FROM terminals WHERE account_id = ?1 AND serial_number = ?2",
            [account_id, serial_number],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(terminal_id) = taken {
        return Ok(Err(RegisterError::Duplicate(terminal_id)));
    }
    // Terminals are never deleted, so the count is the highest number given out.
    let count: i64 = connection.query_row(
        "SELECT count(*) FROM terminals WHERE account_id = ?1",
        [account_id],
        |row| row.get(0),
    )?;
    let terminal_id = format!("{account_id}-T{:04}", count + 1);
    execute(
        connection,
        "INSERT INTO terminals
         (terminal_id, id, account_id, serial_number, store_id, created_at, created_by, updated_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6)",
        params![
            terminal_id,
            Uuid::new_v4().to_string(),
            account_id,
            serial_number,
            store_id,
            ms(now()),
            created_by,
        ],
    )?;
    find(connection, &terminal_id)?.map(Ok).ok_or(DbError::Range("terminal"))
}

/// Makes the terminal's credential, in place of the one before.
pub(crate) fn new_credential(
    connection: &Connection,
    terminal_id: &str,
) -> Result<String, DbError> {
    let token = secret::random_token("trm_")?;
    execute(
        connection,
        "UPDATE terminals SET credential_sha256 = ?2, updated_at = ?3 WHERE terminal_id = ?1",
        params![terminal_id, secret::sha256(token.as_bytes()), ms(now())],
    )?;
    Ok(token)
}

/// Which terminal a credential belongs to.
pub(crate) fn by_credential(
    connection: &Connection,
    token: &str,
) -> Result<Option<String>, DbError> {
    row(
        connection,
        "SELECT terminal_id FROM terminals WHERE credential_sha256 = ?1",
        [secret::sha256(token.as_bytes())],
        |row| Ok(row.get(0)?),
    )
}

/// One terminal.
pub(crate) fn find(
    connection: &Connection,
    terminal_id: &str,
) -> Result<Option<Terminal>, DbError> {
    row(connection, "SELECT * FROM terminals WHERE terminal_id = ?1", [terminal_id], read)
}

/// The terminals of an account after `starting_after`, oldest first.
pub(crate) fn list(
    connection: &Connection,
    account_id: &str,
    limit: u32,
    starting_after: Option<&str>,
) -> Result<Vec<Terminal>, DbError> {
    rows(
        connection,
        "SELECT * FROM terminals WHERE account_id = ?1 AND ordinal >
         coalesce((SELECT ordinal FROM terminals WHERE terminal_id = ?2), 0)
         ORDER BY ordinal LIMIT ?3",
        params![account_id, starting_after, limit],
        read,
    )
}

/// Stores a desired configuration and returns its revision, above all that the terminal has had.
pub(crate) fn configure(
    connection: &Connection,
    terminal_id: &str,
    config: &Map<String, Value>,
) -> Result<Option<u64>, DbError> {
    execute(
        connection,
        "UPDATE terminals SET config = ?2, config_revision = max(config_revision, config_seen) + 1
         WHERE terminal_id = ?1",
        params![terminal_id, serde_json::to_string(config)?],
    )?;
    Ok(find(connection, terminal_id)?.map(|terminal| terminal.config_revision))
}

fn read(row: &Row<'_>) -> Result<Terminal, DbError> {
    Ok(Terminal {
        terminal_id: row.get("terminal_id")?,
        id: row.get("id")?,
        account_id: row.get("account_id")?,
        serial_number: row.get("serial_number")?,
        store_id: row.get("store_id")?,
        created_at: time(row.get("created_at")?),
        created_by: row.get("created_by")?,
        updated_at: time(row.get("updated_at")?),
        online: row.get::<_, Option<String>>("session_id")?.is_some(),
        last_seen_at: row.get::<_, Option<i64>>("last_seen_at")?.map(time),
        hello: document(row, "hello")?,
        status: document(row, "status")?,
        config_revision: u64::try_from(row.get::<_, i64>("config_revision")?).unwrap_or_default(),
        config_report: document(row, "config_report")?,
        update_mandatory: row.get("update_mandatory")?,
    })
}
