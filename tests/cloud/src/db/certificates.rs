//! Certificates that this cloud has issued.

use rusqlite::{Connection, params};
use terminal_hal::Timestamp;

use super::{DbError, execute, ms, row};

/// Certificates of one terminal that are remembered; an older one is as good as revoked.
const REMEMBERED_MAX: u32 = 16;

/// An issued certificate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Certificate {
    /// Order of issue.
    pub(crate) ordinal: i64,
    pub(crate) enrolment: i64,
    pub(crate) revoked: bool,
}

/// Records a certificate before it is handed over.
pub(crate) fn issued(
    connection: &Connection,
    terminal_id: &str,
    enrolment: i64,
    sha256: &str,
    at: Timestamp,
) -> Result<(), DbError> {
    execute(
        connection,
        "INSERT INTO certificates (sha256, terminal_id, enrolment, issued_at)
         VALUES (?1, ?2, ?3, ?4)",
        params![sha256, terminal_id, enrolment, ms(at)],
    )?;
    execute(
        connection,
        "DELETE FROM certificates WHERE terminal_id = ?1 AND ordinal NOT IN (
            SELECT ordinal FROM certificates WHERE terminal_id = ?1
            ORDER BY revoked_at IS NOT NULL, ordinal DESC LIMIT ?2)",
        params![terminal_id, REMEMBERED_MAX],
    )?;
    Ok(())
}

/// By the SHA-256 of its DER form.
pub(crate) fn by_digest(
    connection: &Connection,
    sha256: &str,
) -> Result<Option<Certificate>, DbError> {
    row(connection, "SELECT * FROM certificates WHERE sha256 = ?1", [sha256], |row| {
        Ok(Certificate {
            ordinal: row.get("ordinal")?,
            enrolment: row.get("enrolment")?,
            revoked: row.get::<_, Option<i64>>("revoked_at")?.is_some(),
        })
    })
}

/// All that a terminal got before this one are dead.
pub(super) fn revoke_before(
    connection: &Connection,
    terminal_id: &str,
    ordinal: i64,
    at: Timestamp,
) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE certificates SET revoked_at = ?3
         WHERE terminal_id = ?1 AND ordinal < ?2 AND revoked_at IS NULL",
        params![terminal_id, ordinal, ms(at)],
    )?;
    Ok(())
}
