//! Serial numbers that were registered beforehand: what spares a terminal the code.
//!
//! A serial number is printed on the case and proves nothing. A one-time secret does, and so does
//! the key of a certificate that the factory has put into the device.

use rusqlite::{Connection, params};
use terminal_core::protocol::EnrolBegin;
use terminal_hal::Timestamp;

use super::{DbError, execute, row, tries};
use crate::secret;

/// What a terminal has shown.
#[derive(Debug)]
pub(super) enum Proof {
    /// Nothing.
    Nothing,
    /// That it is this terminal.
    Of(String),
    /// Something that does not fit; names it.
    Wrong(&'static str),
    /// It fits, but another device of that serial number is linked.
    InUse,
    /// Too many that did not fit.
    Exceeded,
}

/// Looks at the secret, or else at the key of the client certificate (SHA-256 of its
/// `SubjectPublicKeyInfo`). A secret that is right is used up.
pub(super) fn look(
    connection: &Connection,
    begin: &EnrolBegin,
    factory_key: Option<&str>,
    at: Timestamp,
) -> Result<Proof, DbError> {
    let serial = &begin.serial_number;
    let (name, column, shown) = match (&begin.secret, factory_key) {
        (Some(secret), _) => {
            ("secret", "enrolment_secret_sha256", secret::sha256(secret.as_bytes()))
        }
        (None, Some(key)) if expects_key(connection, serial)? => {
            ("factory key", "factory_key_sha256", key.to_owned())
        }
        (None, _) => return Ok(Proof::Nothing),
    };
    let who = tries::serial_number(serial);
    if tries::wait_s(connection, &who, at)?.is_some() {
        return Ok(Proof::Exceeded);
    }
    let found = row(
        connection,
        &format!(
            "SELECT terminal_id, session_id IS NOT NULL FROM terminals
             WHERE serial_number = ?1 AND {column} = ?2 AND deleted_at IS NULL"
        ),
        [serial, &shown],
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, bool>(1)?)),
    )?;
    match found {
        None => {
            tries::failed(connection, &who, at)?;
            Ok(Proof::Wrong(name))
        }
        Some((_, true)) => Ok(Proof::InUse),
        Some((terminal_id, false)) => {
            if begin.secret.is_some() {
                use_up(connection, &terminal_id)?;
            }
            Ok(Proof::Of(terminal_id))
        }
    }
}

/// A terminal is to prove itself by the key of this certificate.
pub(crate) fn expect_key(
    connection: &Connection,
    terminal_id: &str,
    factory_key_sha256: &str,
) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE terminals SET factory_key_sha256 = ?2 WHERE terminal_id = ?1",
        [terminal_id, factory_key_sha256],
    )?;
    Ok(())
}

fn expects_key(connection: &Connection, serial_number: &str) -> Result<bool, DbError> {
    Ok(connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM terminals
         WHERE serial_number = ?1 AND factory_key_sha256 IS NOT NULL AND deleted_at IS NULL)",
        [serial_number],
        |row| row.get(0),
    )?)
}

fn use_up(connection: &Connection, terminal_id: &str) -> Result<(), DbError> {
    execute(
        connection,
        "UPDATE terminals SET enrolment_secret_sha256 = NULL WHERE terminal_id = ?1",
        params![terminal_id],
    )?;
    Ok(())
}
