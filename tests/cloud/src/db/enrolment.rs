//! Enrolment: who a serial number and key together are.

use rusqlite::{Connection, params};
use terminal_core::protocol::{EnrolBegin, SessionId};
use terminal_hal::Timestamp;

use super::{
    DbError,
    beforehand::{self, Proof},
    certificates, execute, ms, row, time,
};
use crate::secret;

/// Terminals that wait for somebody to type their code in.
const WAITING_MAX: i64 = 10_000;
/// A terminal that has not come back for so long begins anew.
const FORGET_MS: u64 = 30 * 86_400_000;
/// How long a code is told to have run out, instead of being unknown.
const CODE_MEMORY_MS: u64 = 86_400_000;

/// What an `enrol_begin` leads to.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The terminal is known by its key, or by what was registered beforehand.
    Entitled { enrolment: i64 },
    /// Somebody has to type in this code; what was shown instead did not fit.
    Code { enrolment: i64, code: Code, misfit: Option<&'static str> },
    /// What it has shown fits, but the terminal is linked.
    InUse,
    /// Too many misfits.
    Exceeded,
    /// Too many wait already.
    Overloaded,
}

/// A code that is shown on a screen.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) code: String,
    pub(crate) expires_at: Timestamp,
}

/// How a terminal asks.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub(crate) begin: EnrolBegin,
    /// Of the public key that it wants a certificate for.
    pub(crate) key_sha256: String,
    /// Of the public key of its client certificate.
    pub(crate) factory_key_sha256: Option<String>,
    /// Its link.
    pub(crate) link: SessionId,
}

/// A terminal has asked for an identity over a link of its own.
pub(crate) fn begin(
    connection: &Connection,
    application: &Application,
    at: Timestamp,
    code_ttl_ms: u64,
) -> Result<Begun, DbError> {
    let Application { begin, key_sha256, factory_key_sha256, link } = application;
    forget(connection, at)?;
    let waiting: i64 = connection.query_row(
        "SELECT count(*) FROM enrolments WHERE terminal_id IS NULL",
        [],
        |row| row.get(0),
    )?;
    if waiting >= WAITING_MAX {
        return Ok(Begun::Overloaded);
    }
    let enrolment = remember(connection, begin, key_sha256, at)?;
    let misfit = if entitled(connection, enrolment)?.is_some() {
        None
    } else {
        match beforehand::look(connection, begin, factory_key_sha256.as_deref(), at)? {
            Proof::InUse => return Ok(Begun::InUse),
            Proof::Exceeded => return Ok(Begun::Exceeded),
            Proof::Wrong(name) => Some(name),
            Proof::Nothing => None,
            Proof::Of(terminal_id) => {
                bind(connection, enrolment, &terminal_id)?;
                None
            }
        }
    };
    execute(
        connection,
        "UPDATE enrolments SET link = ?2 WHERE ordinal = ?1",
        params![enrolment, link.to_string()],
    )?;
    if entitled(connection, enrolment)?.is_some() {
        return Ok(Begun::Entitled { enrolment });
    }
    let code = code(connection, enrolment, at, code_ttl_ms)?;
    Ok(Begun::Code { enrolment, code, misfit })
}

/// A terminal that is linked asks for a new certificate.
pub(crate) fn renew(
    connection: &Connection,
    terminal_id: &str,
    begin: &EnrolBegin,
    key_sha256: &str,
    at: Timestamp,
) -> Result<i64, DbError> {
    let enrolment = remember(connection, begin, key_sha256, at)?;
    bind(connection, enrolment, terminal_id)?;
    Ok(enrolment)
}

/// The terminal that an enrolment belongs to.
pub(crate) fn entitled(connection: &Connection, enrolment: i64) -> Result<Option<String>, DbError> {
    let found = row(
        connection,
        "SELECT terminal_id FROM enrolments WHERE ordinal = ?1",
        [enrolment],
        |row| Ok(row.get::<_, Option<String>>(0)?),
    )?;
    Ok(found.flatten())
}

/// The code of an enrolment: the one that is still good, or a fresh one.
pub(crate) fn code(
    connection: &Connection,
    enrolment: i64,
    at: Timestamp,
    ttl_ms: u64,
) -> Result<Code, DbError> {
    let known = row(
        connection,
        "SELECT code, expires_at FROM activation_codes
         WHERE enrolment = ?1 AND used_at IS NULL AND expires_at > ?2
         ORDER BY expires_at DESC LIMIT 1",
        params![enrolment, ms(at)],
        |row| Ok(Code { code: row.get(0)?, expires_at: time(row.get(1)?) }),
    )?;
    if let Some(known) = known {
        return Ok(known);
    }
    let fresh = Code { code: secret::activation_code()?, expires_at: at.plus_ms(ttl_ms) };
    execute(
        connection,
        "INSERT INTO activation_codes (code, enrolment, expires_at) VALUES (?1, ?2, ?3)",
        params![fresh.code, enrolment, ms(fresh.expires_at)],
    )?;
    Ok(fresh)
}

/// The link of an enrolment has ended.
pub(crate) fn ended(
    connection: &Connection,
    enrolment: i64,
    link: SessionId,
) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE enrolments SET link = NULL WHERE ordinal = ?1 AND link = ?2",
        params![enrolment, link.to_string()],
    )?;
    Ok(())
}

pub(super) fn bind(
    connection: &Connection,
    enrolment: i64,
    terminal_id: &str,
) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE enrolments SET terminal_id = ?2 WHERE ordinal = ?1",
        params![enrolment, terminal_id],
    )?;
    Ok(())
}

/// Enters a serial number and key, or finds them.
fn remember(
    connection: &Connection,
    begin: &EnrolBegin,
    key_sha256: &str,
    at: Timestamp,
) -> Result<i64, DbError> {
    let without_secret = EnrolBegin { secret: None, ..begin.clone() };
    row(
        connection,
        "INSERT INTO enrolments (serial_number, key_sha256, begun, seen_at)
         VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET begun = excluded.begun, seen_at = excluded.seen_at
         RETURNING ordinal",
        params![begin.serial_number, key_sha256, serde_json::to_string(&without_secret)?, ms(at)],
        |row| Ok(row.get(0)?),
    )?
    .ok_or(DbError::Range("enrolment"))
}

fn forget(connection: &Connection, at: Timestamp) -> Result<(), DbError> {
    let before = |ms_ago: u64| ms(at) - i64::try_from(ms_ago).unwrap_or(i64::MAX);
    execute(
        connection,
        "DELETE FROM enrolments WHERE terminal_id IS NULL AND link IS NULL AND seen_at < ?1",
        [before(FORGET_MS)],
    )?;
    execute(
        connection,
        "DELETE FROM activation_codes WHERE expires_at < ?1",
        [before(CODE_MEMORY_MS)],
    )?;
    Ok(())
}

/// A certificate has said `hello`: what is older than it dies, and so does the claim of the keys
/// that have nothing newer.
pub(crate) fn in_use(
    connection: &Connection,
    terminal_id: &str,
    certificate_sha256: &str,
    at: Timestamp,
) -> Result<(), DbError> {
    let Some(current) = certificates::by_digest(connection, certificate_sha256)? else {
        return Ok(());
    };
    certificates::revoke_before(connection, terminal_id, current.ordinal, at)?;
    execute(
        connection,
        "UPDATE enrolments SET terminal_id = NULL
         WHERE terminal_id = ?1 AND ordinal <> ?2 AND NOT EXISTS (
            SELECT 1 FROM certificates
            WHERE certificates.enrolment = enrolments.ordinal AND certificates.ordinal > ?3)",
        params![terminal_id, current.enrolment, current.ordinal],
    )?;
    Ok(())
}
