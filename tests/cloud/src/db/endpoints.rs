//! Webhook endpoints: where events go, and the secret that signs them.

use rusqlite::{Connection, Row, params};
use terminal_hal::Timestamp;
use uuid::Uuid;

use super::{DbError, execute, json as document, ms, now, row, rows, time, uuid};
use crate::secret;

/// Endpoints of one account.
pub(crate) const ENDPOINTS_MAX: u32 = 16;

/// Where events go.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) ordinal: i64,
    pub(crate) id: Uuid,
    pub(crate) account_id: String,
    pub(crate) url: String,
    /// Types, or categories such as `terminal.*`.
    pub(crate) events: Vec<String>,
    pub(crate) created_at: Timestamp,
}

impl Endpoint {
    /// Whether it wants events of a type.
    pub(crate) fn wants(&self, kind: &str) -> bool {
        self.events.iter().any(|wanted| match wanted.strip_suffix('*') {
            Some(category) => kind.starts_with(category),
            None => wanted == kind,
        })
    }
}

/// Makes an endpoint; returns it with its secret, or `None` when the account has enough.
pub(crate) fn create(
    connection: &Connection,
    account_id: &str,
    url: &str,
    events: &[String],
) -> Result<Option<(Endpoint, String)>, DbError> {
    let count: u32 = connection.query_row(
        "SELECT count(*) FROM webhook_endpoints WHERE account_id = ?1",
        [account_id],
        |row| row.get(0),
    )?;
    if count >= ENDPOINTS_MAX {
        return Ok(None);
    }
    let id = Uuid::new_v4();
    let secret = secret::random_token("whsec_")?;
    execute(
        connection,
        "INSERT INTO webhook_endpoints (id, account_id, url, events, secret, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![id.to_string(), account_id, url, serde_json::to_string(events)?, secret, ms(now())],
    )?;
    Ok(find(connection, account_id, id)?.map(|endpoint| (endpoint, secret)))
}

/// Oldest first.
pub(crate) fn list(connection: &Connection, account_id: &str) -> Result<Vec<Endpoint>, DbError> {
    rows(
        connection,
        "SELECT * FROM webhook_endpoints WHERE account_id = ?1 ORDER BY ordinal",
        [account_id],
        read,
    )
}

/// One endpoint of an account.
pub(crate) fn find(
    connection: &Connection,
    account_id: &str,
    id: Uuid,
) -> Result<Option<Endpoint>, DbError> {
    row(
        connection,
        "SELECT * FROM webhook_endpoints WHERE account_id = ?1 AND id = ?2",
        params![account_id, id.to_string()],
        read,
    )
}

/// Takes an endpoint away, with what was on its way to it.
pub(crate) fn delete(connection: &Connection, ordinal: i64) -> Result<(), DbError> {
    execute(connection, "DELETE FROM deliveries WHERE endpoint = ?1", [ordinal])?;
    execute(connection, "DELETE FROM webhook_endpoints WHERE ordinal = ?1", [ordinal])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Endpoint, DbError> {
    Ok(Endpoint {
        ordinal: row.get("ordinal")?,
        id: uuid(row, "id")?.ok_or(DbError::Range("endpoint id"))?,
        account_id: row.get("account_id")?,
        url: row.get("url")?,
        events: document(row, "events")?.unwrap_or_default(),
        created_at: time(row.get("created_at")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_category_takes_its_own_types_and_no_others() {
        let endpoint = |events: &[&str]| Endpoint {
            ordinal: 1,
            id: Uuid::nil(),
            account_id: String::new(),
            url: String::new(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            created_at: Timestamp::default(),
        };
        let terminals = endpoint(&["terminal.*"]);
        assert!(terminals.wants("terminal.offline") && terminals.wants("terminal.online"));
        assert!(!terminals.wants("terminal_action.completed"));
        assert!(endpoint(&["*"]).wants("terminal_action.completed"));
        assert!(!endpoint(&["terminal.online"]).wants("terminal.offline"));
    }
}
