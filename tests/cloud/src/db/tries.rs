//! Wrong codes and wrong proofs, counted: who has had too many waits.

use rusqlite::{Connection, params};
use terminal_hal::Timestamp;

use super::{DbError, execute, ms, rows, time};

/// Failures of one party within [`WINDOW_MS`].
const FAILURES_MAX: usize = 10;
const WINDOW_MS: u64 = 3_600_000;

/// Seconds to wait for one that has failed as often as it may. `who` is an account, or what
/// [`serial_number`] gives.
pub(super) fn wait_s(
    connection: &Connection,
    who: &str,
    at: Timestamp,
) -> Result<Option<u64>, DbError> {
    execute(
        connection,
        "DELETE FROM activation_failures WHERE at <= ?1",
        [ms(at) - i64::try_from(WINDOW_MS).unwrap_or(i64::MAX)],
    )?;
    let failures = rows(
        connection,
        "SELECT at FROM activation_failures WHERE who = ?1 ORDER BY at",
        [who],
        |row| Ok(time(row.get(0)?)),
    )?;
    let oldest = failures.first().filter(|_| failures.len() >= FAILURES_MAX);
    Ok(oldest.map(|oldest| oldest.plus_ms(WINDOW_MS).ms_since(at).div_ceil(1000).max(1)))
}

/// Counts a failure.
pub(super) fn failed(connection: &Connection, who: &str, at: Timestamp) -> Result<(), DbError> {
    execute(
        connection,
        "INSERT INTO activation_failures (who, at) VALUES (?1, ?2)",
        params![who, ms(at)],
    )?;
    Ok(())
}

/// A serial number whose tries are counted; no account has such a name.
pub(super) fn serial_number(serial_number: &str) -> String {
    format!("serial number {serial_number}")
}
