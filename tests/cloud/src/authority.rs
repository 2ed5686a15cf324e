//! The cloud's own certificate authority: what a terminal asks for, and what it gets.

use rcgen::{CertificateSigningRequestParams, PublicKey, PublicKeyData as _};
use rusqlite::{Connection, params};
use terminal_core::protocol::EnrolBegin;

use crate::{db::DbError, pki::Pki, secret};

/// A request whose signature is by its own key.
pub(crate) struct Request {
    pub(crate) public_key: PublicKey,
    /// Of the public key, as hex: what a terminal is known by.
    pub(crate) key_sha256: String,
}

/// Checks the request of an `enrol_begin`; says what is wrong with it.
pub(crate) fn check(begin: &EnrolBegin) -> Result<Request, String> {
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
