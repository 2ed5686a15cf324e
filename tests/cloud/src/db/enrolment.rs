//! Enrolment: who a serial number and key together are, and the code that says so once.

use rusqlite::{Connection, params};
use terminal_core::protocol::{EnrolBegin, SessionId};
use terminal_hal::Timestamp;
use uuid::Uuid;

use super::{
    DbError, certificates, execute, json as document, ms, row, terminals,
    terminals::{Changes, Terminal},
    time,
};
use crate::secret;

/// Wrong codes of one account within [`FAILURES_WINDOW_MS`].
const FAILURES_MAX: usize = 10;
const FAILURES_WINDOW_MS: u64 = 3_600_000;
/// Terminals that wait for somebody to type their code in.
const WAITING_MAX: i64 = 10_000;
/// A terminal that has not come back for so long begins anew.
const FORGET_MS: u64 = 30 * 86_400_000;
/// How long a code is told to have run out, instead of being unknown.
const CODE_MEMORY_MS: u64 = 86_400_000;

/// What an `enrol_begin` leads to.
#[derive(Debug)]
pub(crate) enum Begun {
    /// The terminal is known by its key, or by its one-time secret.
    Entitled { enrolment: i64 },
    /// Somebody has to type in this code.
    Code { enrolment: i64, code: Code, secret_refused: bool },
    /// Too many wait already.
    Overloaded,
}

/// A code that is shown on a screen.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) code: String,
    pub(crate) expires_at: Timestamp,
}

/// A terminal has asked for an identity over a link of its own.
pub(crate) fn begin(
    connection: &Connection,
    begin: &EnrolBegin,
    key_sha256: &str,
    link: SessionId,
    at: Timestamp,
    code_ttl_ms: u64,
) -> Result<Begun, DbError> {
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
    execute(
        connection,
        "UPDATE enrolments SET link = ?2 WHERE ordinal = ?1",
        params![enrolment, link.to_string()],
    )?;
    if let Some(secret) = &begin.secret {
        redeem(connection, enrolment, &begin.serial_number, secret)?;
    }
    if entitled(connection, enrolment)?.is_some() {
        return Ok(Begun::Entitled { enrolment });
    }
    let code = code(connection, enrolment, at, code_ttl_ms)?;
    Ok(Begun::Code { enrolment, code, secret_refused: begin.secret.is_some() })
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

/// What became of a code that was typed in.
#[derive(Debug)]
pub(crate) enum Activation {
    /// The terminal is this one from now on.
    Done { terminal: Box<Terminal>, enrolment: i64 },
    /// No code, or one that was used.
    Invalid,
    /// It has run out.
    Expired,
    /// Too many wrong ones.
    Exceeded { retry_after_s: u64 },
}

/// Somebody has typed a code in.
pub(crate) fn activate(
    connection: &Connection,
    account_id: &str,
    code: &str,
    location: Option<Uuid>,
    by: &str,
    at: Timestamp,
) -> Result<Activation, DbError> {
    if let Some(retry_after_s) = wait_after_failures(connection, account_id, at)? {
        return Ok(Activation::Exceeded { retry_after_s });
    }
    let found = row(
        connection,
        "SELECT enrolment, expires_at FROM activation_codes WHERE code = ?1 AND used_at IS NULL",
        [code],
        |row| Ok((row.get::<_, i64>(0)?, time(row.get(1)?))),
    )?;
    let (enrolment, expires_at) = match found {
        Some(found) => found,
        None => return failed(connection, account_id, at, Activation::Invalid),
    };
    if expires_at <= at {
        return failed(connection, account_id, at, Activation::Expired);
    }
    execute(
        connection,
        "UPDATE activation_codes SET used_at = ?2 WHERE code = ?1",
        params![code, ms(at)],
    )?;
    let terminal = admit(connection, account_id, enrolment, location, by, at)?;
    Ok(Activation::Done { terminal: Box::new(terminal), enrolment })
}

/// Makes an enrolment a terminal of the account: the one with its serial number, or a new one.
fn admit(
    connection: &Connection,
    account_id: &str,
    enrolment: i64,
    location: Option<Uuid>,
    by: &str,
    at: Timestamp,
) -> Result<Terminal, DbError> {
    let found = row(
        connection,
        "SELECT begun, seen_at FROM enrolments WHERE ordinal = ?1",
        [enrolment],
        |row| Ok((document::<EnrolBegin>(row, "begun")?, time(row.get("seen_at")?))),
    )?;
    let Some((Some(begun), seen_at)) = found else { return Err(DbError::Range("enrolment")) };
    let known = terminals::by_serial(connection, account_id, &begun.serial_number)?;
    let terminal_id = match known {
        Some(terminal) => terminal.terminal_id,
        None => {
            let serial = &begun.serial_number;
            let made = terminals::register(connection, account_id, serial, location, by)?;
            made.map_err(|_| DbError::Range("serial number"))?.terminal_id
        }
    };
    execute(
        connection,
        "UPDATE terminals SET deleted_at = NULL, deleted_by = NULL, model = ?2,
         software_version = ?3, battery_level = ?4, last_seen_at = ?5 WHERE terminal_id = ?1",
        params![
            terminal_id,
            begun.model,
            begun.software_version,
            begun.battery_level,
            ms(seen_at.max(at)),
        ],
    )?;
    let changes = Changes { location_id: location, display_name: None };
    terminals::update(connection, &terminal_id, &changes)?;
    bind(connection, enrolment, &terminal_id)?;
    terminals::find(connection, &terminal_id)?.ok_or(DbError::Range("terminal"))
}

fn bind(connection: &Connection, enrolment: i64, terminal_id: &str) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE enrolments SET terminal_id = ?2 WHERE ordinal = ?1",
        params![enrolment, terminal_id],
    )?;
    Ok(())
}

/// A serial number that was registered beforehand proves itself by its one-time secret.
fn redeem(
    connection: &Connection,
    enrolment: i64,
    serial_number: &str,
    secret: &str,
) -> Result<(), DbError> {
    let terminal_id = row(
        connection,
        "UPDATE terminals SET enrolment_secret_sha256 = NULL
         WHERE serial_number = ?1 AND enrolment_secret_sha256 = ?2 AND deleted_at IS NULL
         RETURNING terminal_id",
        [serial_number, &secret::sha256(secret.as_bytes())],
        |row| Ok(row.get::<_, String>(0)?),
    )?;
    terminal_id.map_or(Ok(()), |terminal_id| bind(connection, enrolment, &terminal_id))
}

/// Seconds to wait when the account has had as many wrong codes as it may.
fn wait_after_failures(
    connection: &Connection,
    account_id: &str,
    at: Timestamp,
) -> Result<Option<u64>, DbError> {
    execute(
        connection,
        "DELETE FROM activation_failures WHERE at <= ?1",
        [ms(at) - i64::try_from(FAILURES_WINDOW_MS).unwrap_or(i64::MAX)],
    )?;
    let failures = super::rows(
        connection,
        "SELECT at FROM activation_failures WHERE account_id = ?1 ORDER BY at",
        [account_id],
        |row| Ok(time(row.get(0)?)),
    )?;
    let oldest = failures.first().filter(|_| failures.len() >= FAILURES_MAX);
    Ok(oldest.map(|oldest| {
        let free_at = oldest.plus_ms(FAILURES_WINDOW_MS);
        free_at.ms_since(at).div_ceil(1000).max(1)
    }))
}

fn failed(
    connection: &Connection,
    account_id: &str,
    at: Timestamp,
    outcome: Activation,
) -> Result<Activation, DbError> {
    execute(
        connection,
        "INSERT INTO activation_failures (account_id, at) VALUES (?1, ?2)",
        params![account_id, ms(at)],
    )?;
    Ok(outcome)
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
