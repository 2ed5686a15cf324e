//! API tokens: only their digests are stored.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{DbError, execute, json, ms, now, row};
use crate::secret;

/// Scopes that mean something here.
pub const SCOPES: [&str; 6] = [
    "admin:checkout",
    "write:checkout:/admin/terminals",
    "read:checkout:/admin/terminals",
    "admin:accounts",
    "write:accounts",
    "read:accounts",
];

/// What a token may do, and in whose name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewToken {
    /// Account, `^[PT]\d{8}$`.
    pub account_id: String,
    /// Becomes `created_by`.
    pub subject: String,
    /// Of [`SCOPES`].
    pub scopes: Vec<String>,
}

/// Stores a token and returns it: it cannot be read again.
pub(crate) fn create(connection: &Connection, new: &NewToken) -> Result<String, DbError> {
    let token = secret::random_token("tok_")?;
    execute(
        connection,
        "INSERT INTO tokens (sha256, account_id, subject, scopes, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            secret::sha256(token.as_bytes()),
            new.account_id,
            new.subject,
            serde_json::to_string(&new.scopes)?,
            ms(now()),
        ],
    )?;
    Ok(token)
}

/// Who a token belongs to.
pub(crate) fn find(connection: &Connection, token: &str) -> Result<Option<NewToken>, DbError> {
    row(
        connection,
        "SELECT account_id, subject, scopes FROM tokens WHERE sha256 = ?1",
        [secret::sha256(token.as_bytes())],
        |row| {
            Ok(NewToken {
                account_id: row.get("account_id")?,
                subject: row.get("subject")?,
                scopes: json(row, "scopes")?.unwrap_or_default(),
            })
        },
    )
}

/// The key of this cloud's upload URLs, made at first use.
pub(crate) fn upload_key(connection: &Connection) -> Result<Vec<u8>, DbError> {
    execute(
        connection,
        "INSERT OR IGNORE INTO secrets (name, value) VALUES ('upload-url', ?1)",
        [secret::random_bytes()?.as_slice()],
    )?;
    Ok(connection
        .query_row("SELECT value FROM secrets WHERE name = 'upload-url'", [], |row| row.get(0))?)
}
