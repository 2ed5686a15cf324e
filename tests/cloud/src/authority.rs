//! The cloud's own certificate authority: what a terminal asks for, and what it gets.

use rcgen::{CertificateSigningRequestParams, PublicKey, PublicKeyData as _};
use rusqlite::{Connection, params};
use terminal_core::protocol::{CSR_BYTES_MAX, ENROL_NAME_CHARS_MAX, EnrolBegin, NONCE_CHARS};
use terminal_hal::text::line_problem;

use crate::{db::DbError, pki::Pki, secret};

/// A request whose signature is by its own key.
pub(crate) struct Request {
    pub(crate) public_key: PublicKey,
    /// Of the public key, as hex: what a terminal is known by.
    pub(crate) key_sha256: String,
}

/// Checks an `enrol_begin`; says what is wrong with it.
pub(crate) fn check(begin: &EnrolBegin) -> Result<Request, String> {
    let name = 1..=ENROL_NAME_CHARS_MAX;
    for (field, text, chars) in [
        ("serial_number", &begin.serial_number, &name),
        ("model", &begin.model, &name),
        ("agent_version", &begin.agent_version, &name),
        ("software_version", &begin.software_version, &name),
        ("nonce", &begin.nonce, &NONCE_CHARS),
    ] {
        if let Some(problem) = line_problem(text, *chars.start(), *chars.end()) {
            return Err(format!("{field} {problem}"));
        }
    }
    if begin.battery_level.is_some_and(|level| level > 100) {
        return Err("battery_level: want 0 to 100".to_owned());
    }
    if begin.csr.len() > CSR_BYTES_MAX {
        return Err(format!("csr has {} bytes, want at most {CSR_BYTES_MAX}", begin.csr.len()));
    }
    let request = CertificateSigningRequestParams::from_pem(&begin.csr)
        .map_err(|error| format!("csr: {error}"))?;
    let key_sha256 = secret::sha256(&request.public_key.subject_public_key_info());
    Ok(Request { public_key: request.public_key, key_sha256 })
}

/// The authority in the database, made at first use.
pub(crate) fn open(connection: &Connection) -> Result<Pki, DbError> {
    let failed = |error: rcgen::Error| DbError::Io(std::io::Error::other(error));
    let stored = super::db::row(
        connection,
        "SELECT value FROM secrets WHERE name = 'authority'",
        [],
        |row| Ok(row.get::<_, Vec<u8>>(0)?),
    )?;
    if let Some(stored) = stored {
        return Pki::from_pem(&String::from_utf8_lossy(&stored)).map_err(failed);
    }
    let made = Pki::create().map_err(failed)?;
    super::db::execute(
        connection,
        "INSERT INTO secrets (name, value) VALUES ('authority', ?1)",
        params![made.to_pem().into_bytes()],
    )?;
    Ok(made)
}
