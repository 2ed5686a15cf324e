//! Activation: the code that was on a screen makes an enrolment a terminal of an account, once.

use rusqlite::{Connection, params};
use terminal_core::protocol::EnrolBegin;
use terminal_hal::Timestamp;
use uuid::Uuid;

use super::{
    DbError, enrolment, execute, json as document, ms, row,
    terminals::{self, Changes, Terminal},
    time, tries,
};

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
    if let Some(retry_after_s) = tries::wait_s(connection, account_id, at)? {
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

/// Makes an enrolment a terminal of the account: the one with its serial number, or a new one. The
/// token of one that was deactivated was kept to tell it so, and ends here.
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
        "UPDATE terminals SET deleted_at = NULL, deleted_by = NULL,
         credential_sha256 = CASE WHEN deleted_at IS NULL THEN credential_sha256 END, model = ?2,
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
    enrolment::bind(connection, enrolment, &terminal_id)?;
    terminals::find(connection, &terminal_id)?.ok_or(DbError::Range("terminal"))
}

fn failed(
    connection: &Connection,
    account_id: &str,
    at: Timestamp,
    outcome: Activation,
) -> Result<Activation, DbError> {
    tries::failed(connection, account_id, at)?;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_codes_stop_an_account_and_no_other_until_the_first_is_an_hour_old() {
        let dir = tempfile::tempdir().unwrap();
        let db = super::super::open(&dir.path().join("cloud.db")).unwrap();
        let try_at = |account: &str, seconds: u64| {
            let at = Timestamp::from_unix_ms(1_700_000_000_000 + seconds * 1000);
            activate(&db, account, "ACT-ZZZZ-ZZZZ", None, "somebody", at).unwrap()
        };
        for second in 0..10 {
            assert!(matches!(try_at("P1", second), Activation::Invalid));
        }
        let stopped = |outcome| match outcome {
            Activation::Exceeded { retry_after_s } => Some(retry_after_s),
            Activation::Done { .. } | Activation::Invalid | Activation::Expired => None,
        };
        assert_eq!(stopped(try_at("P1", 10)), Some(3590));
        assert_eq!(stopped(try_at("P2", 10)), None);
        assert_eq!(stopped(try_at("P1", 3599)), Some(1));
        assert_eq!(stopped(try_at("P1", 3600)), None);
        assert_eq!(stopped(try_at("P1", 3600)), Some(1), "nine of the last hour and one more");
    }
}
