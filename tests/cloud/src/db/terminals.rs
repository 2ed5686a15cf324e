//! Registered terminals.

use rusqlite::{Connection, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use terminal_hal::Timestamp;
use uuid::Uuid;

use super::{DbError, configuration, execute, json as document, ms, now, row, rows, time, uuid};
use crate::secret;

/// A terminal and how it authenticates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTerminal {
    /// Such as `P11223351-T0001`.
    pub terminal_id: String,
    /// Bearer token of its link.
    pub token: String,
}

/// How a terminal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It has a link, and nothing to complain of.
    Online,
    /// It has no link.
    Offline,
    /// It has a link, and somebody should look at it.
    NeedsAttention,
    /// Taken out of use: its credentials are dead.
    Deactivated,
}

impl Standing {
    /// All, by name.
    pub(crate) const NAMES: [(&'static str, Self); 4] = [
        ("online", Self::Online),
        ("offline", Self::Offline),
        ("needs_attention", Self::NeedsAttention),
        ("deactivated", Self::Deactivated),
    ];

    fn parse(text: &str) -> Result<Self, DbError> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, standing)| *standing).ok_or(DbError::Range("standing of a terminal"))
    }
}

/// A registered terminal, with what it said last.
#[derive(Clone, Debug, PartialEq)]
pub struct Terminal {
    /// Such as `P11223351-T0001`.
    pub terminal_id: String,
    /// Of the resource.
    pub id: Uuid,
    /// Whose it is.
    pub account_id: String,
    /// Printed on the device.
    pub serial_number: String,
    /// Where it stands.
    pub location_id: Option<Uuid>,
    /// The client's name of that place.
    pub store_id: Option<String>,
    /// For people.
    pub display_name: Option<String>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When the resource changed.
    pub updated_at: Timestamp,
    /// When it was taken out of use, and by whom.
    pub deleted: Option<(Timestamp, String)>,
    /// How it stands.
    pub standing: Standing,
    /// Whether it has a link now.
    pub online: bool,
    /// When something came from it.
    pub last_seen_at: Option<Timestamp>,
    /// Its last `hello`.
    pub hello: Option<Value>,
    /// Its last `status`.
    pub status: Option<Value>,
    /// Hardware model, once it has spoken.
    pub model: Option<String>,
    /// Version of its software.
    pub software_version: Option<String>,
    /// Percent, where it has a battery.
    pub battery_level: Option<u8>,
    /// Revision that the cloud wants, 0 for none.
    pub config_revision: u64,
    /// Revision that the terminal has in force, by its newest word; 0 for none.
    pub config_in_force: u64,
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
    /// Codes of its last `status`, while it has a link.
    pub fn needs_attention(&self) -> Vec<&str> {
        let codes = self.status.as_ref().filter(|_| self.online);
        let codes = codes.and_then(|status| status.get("needs_attention"));
        codes.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

/// Registers a serial number; ids count up within the account.
pub(crate) fn register(
    connection: &Connection,
    account_id: &str,
    serial_number: &str,
    location_id: Option<Uuid>,
    created_by: &str,
) -> Result<Result<Terminal, RegisterError>, DbError> {
    if let Some(known) = by_serial(connection, account_id, serial_number)? {
        return Ok(Err(RegisterError::Duplicate(known.terminal_id)));
    }
    // Rows of terminals are never deleted, so the count is the highest number given out.
    let count: i64 = connection.query_row(
        "SELECT count(*) FROM terminals WHERE account_id = ?1",
        [account_id],
        |row| row.get(0),
    )?;
    let terminal_id = format!("{account_id}-T{:04}", count + 1);
    execute(
        connection,
        "INSERT INTO terminals (terminal_id, id, account_id, serial_number, location_id,
         created_at, created_by, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?6)",
        params![
            terminal_id,
            Uuid::new_v4().to_string(),
            account_id,
            serial_number,
            location_id.map(|id| id.to_string()),
            ms(now()),
            created_by,
        ],
    )?;
    configuration::inherit(connection, &terminal_id)?;
    find(connection, &terminal_id)?.map(Ok).ok_or(DbError::Range("terminal"))
}

/// What can be changed about a terminal; what is absent stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) location_id: Option<Uuid>,
    pub(crate) display_name: Option<String>,
}

/// Changes a terminal; another location brings another template.
pub(crate) fn update(
    connection: &Connection,
    terminal_id: &str,
    changes: &Changes,
) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE terminals SET location_id = coalesce(?2, location_id),
         display_name = coalesce(?3, display_name), updated_at = ?4 WHERE terminal_id = ?1",
        params![
            terminal_id,
            changes.location_id.map(|id| id.to_string()),
            changes.display_name,
            ms(now())
        ],
    )?;
    configuration::inherit(connection, terminal_id)
}

/// Takes a terminal out of use: none of its credentials is worth anything from now on. Operations
/// that are PENDING are left to their TIMEOUT.
pub(crate) fn deactivate(
    connection: &Connection,
    terminal_id: &str,
    by: &str,
) -> Result<(), DbError> {
    let at = ms(now());
    execute(
        connection,
        "UPDATE terminals SET deleted_at = ?2, deleted_by = ?3, updated_at = ?2,
         enrolment_secret_sha256 = NULL, factory_key_sha256 = NULL WHERE terminal_id = ?1 AND deleted_at IS NULL",
        params![terminal_id, at, by],
    )?;
    execute(
        connection,
        "UPDATE certificates SET revoked_at = ?2 WHERE terminal_id = ?1 AND revoked_at IS NULL",
        params![terminal_id, at],
    )?;
    execute(
        connection,
        "UPDATE enrolments SET terminal_id = NULL WHERE terminal_id = ?1",
        [terminal_id],
    )?;
    Ok(())
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

/// Makes the one-time secret with which the terminal enrols, in place of the one before.
pub(crate) fn new_enrolment_secret(
    connection: &Connection,
    terminal_id: &str,
) -> Result<String, DbError> {
    let made = secret::random_token("enr_")?;
    execute(
        connection,
        "UPDATE terminals SET enrolment_secret_sha256 = ?2 WHERE terminal_id = ?1",
        params![terminal_id, secret::sha256(made.as_bytes())],
    )?;
    Ok(made)
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
    row(connection, "SELECT * FROM fleet WHERE terminal_id = ?1", [terminal_id], read)
}

/// One terminal by the id of its resource.
pub(crate) fn by_id(connection: &Connection, id: Uuid) -> Result<Option<Terminal>, DbError> {
    row(connection, "SELECT * FROM fleet WHERE id = ?1", [id.to_string()], read)
}

/// The terminal of an account with a serial number.
pub(crate) fn by_serial(
    connection: &Connection,
    account_id: &str,
    serial_number: &str,
) -> Result<Option<Terminal>, DbError> {
    row(
        connection,
        "SELECT * FROM fleet WHERE account_id = ?1 AND serial_number = ?2",
        [account_id, serial_number],
        read,
    )
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
        "SELECT * FROM fleet WHERE account_id = ?1 AND ordinal >
         coalesce((SELECT ordinal FROM terminals WHERE terminal_id = ?2), 0)
         ORDER BY ordinal LIMIT ?3",
        params![account_id, starting_after, limit],
        read,
    )
}

/// What a list of the newest terminals is restricted to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) account_id: String,
    pub(crate) location_id: Option<Uuid>,
    /// Name of a [`Standing`].
    pub(crate) standing: Option<&'static str>,
    pub(crate) starting_after: Option<Uuid>,
    pub(crate) limit: u32,
}

/// Newest first.
pub(crate) fn newest(connection: &Connection, filter: &Filter) -> Result<Vec<Terminal>, DbError> {
    rows(
        connection,
        "SELECT * FROM fleet WHERE account_id = ?1 AND (?2 IS NULL OR location_id = ?2)
         AND (?3 IS NULL OR state = ?3)
         AND (?4 IS NULL OR ordinal < (SELECT ordinal FROM terminals WHERE id = ?4))
         ORDER BY ordinal DESC LIMIT ?5",
        params![
            filter.account_id,
            filter.location_id.map(|id| id.to_string()),
            filter.standing,
            filter.starting_after.map(|id| id.to_string()),
            filter.limit,
        ],
        read,
    )
}

fn read(row: &Row<'_>) -> Result<Terminal, DbError> {
    let deleted_at = row.get::<_, Option<i64>>("deleted_at")?.map(time);
    Ok(Terminal {
        terminal_id: row.get("terminal_id")?,
        id: uuid(row, "id")?.ok_or(DbError::Range("id of a terminal"))?,
        account_id: row.get("account_id")?,
        serial_number: row.get("serial_number")?,
        location_id: uuid(row, "location_id")?,
        store_id: row.get("store_id")?,
        display_name: row.get("display_name")?,
        created_at: time(row.get("created_at")?),
        created_by: row.get("created_by")?,
        updated_at: time(row.get("updated_at")?),
        deleted: deleted_at.zip(row.get("deleted_by")?),
        standing: Standing::parse(&row.get::<_, String>("state")?)?,
        online: row.get::<_, Option<String>>("session_id")?.is_some(),
        last_seen_at: row.get::<_, Option<i64>>("last_seen_at")?.map(time),
        hello: document(row, "hello")?,
        status: document(row, "status")?,
        model: row.get("model")?,
        software_version: row.get("software_version")?,
        battery_level: row.get("battery_level")?,
        config_revision: revision(row, "config_revision")?,
        config_in_force: revision(row, "config_in_force")?,
        config_report: document(row, "config_report")?,
        update_mandatory: row.get("update_mandatory")?,
    })
}

fn revision(row: &Row<'_>, column: &str) -> Result<u64, DbError> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or_default())
}
