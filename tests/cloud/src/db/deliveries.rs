//! What is on its way to which endpoint, attempt by attempt.
//!
//! Of the events of one terminal only the oldest that an endpoint does not have yet is tried: they
//! arrive in order. Those of different terminals do not wait for each other.

use rusqlite::{Connection, params};
use terminal_hal::Timestamp;
use uuid::Uuid;

use super::{DbError, endpoints, events, execute, ms, rows, terminals::Terminal, time};

/// Attempts before an event is given up.
pub(crate) const ATTEMPTS_MAX: u32 = 16;
/// Attempts to one endpoint at once, and deliveries to it that one look yields.
pub(crate) const ENDPOINT_ATTEMPTS_MAX: usize = 8;
/// Deliveries that one look yields.
const DUE_MAX: usize = 256;
/// Finished deliveries that an endpoint shows, and that are kept.
const KEPT_MAX: u32 = 1000;

/// An attempt that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Due {
    pub(crate) delivery: i64,
    pub(crate) endpoint: i64,
    pub(crate) url: String,
    pub(crate) secret: String,
    pub(crate) body: String,
    /// Attempts so far.
    pub(crate) attempts: u32,
    pub(crate) next_at: Timestamp,
}

/// Enters an event for every endpoint that wants it.
pub(super) fn plan(
    connection: &Connection,
    event: i64,
    terminal: &Terminal,
    kind: &str,
    at: Timestamp,
) -> Result<(), DbError> {
    let all = endpoints::list(connection, &terminal.account_id)?;
    for endpoint in all.iter().filter(|endpoint| endpoint.wants(kind)) {
        execute(
            connection,
            "INSERT INTO deliveries (event, endpoint, terminal_id, next_at)
             VALUES (?1, ?2, ?3, ?4)",
            params![event, endpoint.ordinal, terminal.terminal_id, ms(at)],
        )?;
    }
    Ok(())
}

/// Forgets the deliveries of an event; what was not delivered by now never is.
pub(super) fn forget(connection: &Connection, event: i64) -> Result<(), DbError> {
    execute(connection, "DELETE FROM deliveries WHERE event = ?1", [event])?;
    Ok(())
}

/// The next attempts in order of their time, also those that are not due yet; a few of each
/// endpoint, so that one that hangs does not fill the look.
pub(crate) fn next(connection: &Connection) -> Result<Vec<Due>, DbError> {
    rows(
        connection,
        "SELECT head.*, url, secret, body FROM (
            SELECT *, row_number() OVER (PARTITION BY endpoint ORDER BY next_at, ordinal) AS place
            FROM deliveries WHERE status = 'pending' AND ordinal = (
                SELECT min(older.ordinal) FROM deliveries older
                WHERE older.status = 'pending' AND older.endpoint = deliveries.endpoint
                AND older.terminal_id = deliveries.terminal_id)) head
         JOIN webhook_endpoints ON webhook_endpoints.ordinal = endpoint
         JOIN events ON events.ordinal = event
         WHERE place <= ?2 ORDER BY next_at LIMIT ?1",
        [DUE_MAX as i64, ENDPOINT_ATTEMPTS_MAX as i64],
        |row| {
            Ok(Due {
                delivery: row.get("ordinal")?,
                endpoint: row.get("endpoint")?,
                url: row.get("url")?,
                secret: row.get("secret")?,
                body: row.get("body")?,
                attempts: row.get("attempts")?,
                next_at: time(row.get("next_at")?),
            })
        },
    )
}

/// How an attempt went.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// HTTP status, when there was an answer.
    pub(crate) status: Option<u16>,
    /// Why it does not count.
    pub(crate) error: Option<String>,
    /// When to try again, if so.
    pub(crate) retry_at: Timestamp,
}

/// Records an attempt; after the last one the event is given up.
pub(crate) fn attempted(
    connection: &Connection,
    due: &Due,
    attempt: &Attempt,
    at: Timestamp,
) -> Result<(), DbError> {
    let attempts = due.attempts + 1;
    let status = match attempt.error {
        None => "delivered",
        Some(_) if attempts >= ATTEMPTS_MAX => "failed",
        Some(_) => "pending",
    };
    execute(
        connection,
        "UPDATE deliveries SET status = ?2, attempts = ?3, next_at = ?4, last_attempt_at = ?5,
         last_status = ?6, last_error = ?7 WHERE ordinal = ?1",
        params![
            due.delivery,
            status,
            attempts,
            ms(attempt.retry_at),
            ms(at),
            attempt.status,
            attempt.error,
        ],
    )?;
    execute(
        connection,
        "DELETE FROM deliveries WHERE endpoint = ?1 AND status <> 'pending' AND ordinal <= (
            SELECT ordinal FROM deliveries WHERE endpoint = ?1 AND status <> 'pending'
            ORDER BY ordinal DESC LIMIT 1 OFFSET ?2)",
        params![due.endpoint, KEPT_MAX],
    )?;
    Ok(())
}

/// A delivery as an endpoint's list shows it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) event_id: Uuid,
    pub(crate) kind: String,
    /// pending, delivered, failed.
    pub(crate) status: String,
    pub(crate) attempts: u32,
    pub(crate) next_at: Timestamp,
    pub(crate) last_attempt_at: Option<Timestamp>,
    pub(crate) last_status: Option<u16>,
    pub(crate) last_error: Option<String>,
}

/// Deliveries to an endpoint, newest first; `starting_after` is an event.
pub(crate) fn list(
    connection: &Connection,
    endpoint: i64,
    starting_after: Option<Uuid>,
    limit: u32,
) -> Result<Vec<Delivery>, DbError> {
    rows(
        connection,
        "SELECT deliveries.*, events.id AS event_id, events.type FROM deliveries
         JOIN events ON events.ordinal = event WHERE endpoint = ?1
         AND (?2 IS NULL OR event < (SELECT ordinal FROM events WHERE id = ?2))
         ORDER BY deliveries.ordinal DESC LIMIT ?3",
        params![endpoint, starting_after.map(|id| id.to_string()), limit],
        |row| {
            Ok(Delivery {
                event_id: events::id(row)?,
                kind: row.get("type")?,
                status: row.get("status")?,
                attempts: row.get("attempts")?,
                next_at: time(row.get("next_at")?),
                last_attempt_at: row.get::<_, Option<i64>>("last_attempt_at")?.map(time),
                last_status: row.get("last_status")?,
                last_error: row.get("last_error")?,
            })
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_with_a_long_queue_leaves_room_for_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let db = super::super::open(&dir.path().join("cloud.db")).unwrap();
        for url in ["https://hanging.example/", "https://healthy.example/"] {
            endpoints::create(&db, "P1", url, &["*".to_owned()]).unwrap();
        }
        db.execute_batch(
            "INSERT INTO events (id, account_id, terminal_id, type, body, created_at)
             VALUES ('e', 'P1', 'T', 'terminal.online', '{}', 0)",
        )
        .unwrap();
        let plan = |endpoint: i64, terminal: i64, next_at: i64| {
            db.execute(
                "INSERT INTO deliveries (event, endpoint, terminal_id, next_at)
                 VALUES (1, ?1, ?2, ?3)",
                params![endpoint, terminal.to_string(), next_at],
            )
            .unwrap();
        };
        (0..300).for_each(|terminal| plan(1, terminal, terminal));
        plan(2, 0, 1000);
        let due = next(&db).unwrap();
        assert_eq!(due.last().unwrap().endpoint, 2);
        assert_eq!(due.len(), ENDPOINT_ATTEMPTS_MAX + 1);
    }
}
