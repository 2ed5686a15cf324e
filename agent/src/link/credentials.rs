//! Secrets and certificates from files: read at each use, bounded, never logged.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Largest file: a public CA bundle has about 230 kB.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest token or `user:password`; header blocks of servers end at 8 KiB.
const SECRET_BYTES_MAX: usize = 4 << 10;

/// Why a file with credentials cannot be used. Never repeats its content.
#[derive(Debug, thiserror::Error)]
#[error("{} from {}: {problem}", .what, .path.display())]
pub struct CredentialError {
    what: &'static str,
    path: PathBuf,
    problem: Problem,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    /// Could not be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// Too large.
    #[error("larger than 1 MiB")]
    TooLarge,
    /// Not the content that is expected.
    #[error("{0}")]
    Content(String),
}

impl CredentialError {
    pub(super) fn new(what: &'static str, path: &Path, problem: impl Into<Problem>) -> Self {
        Self { what, path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn content(what: &'static str, path: &Path, problem: impl Into<String>) -> Self {
        Self::new(what, path, Problem::Content(problem.into()))
    }
}

/// The bytes of a file; `what` names it in errors.
pub(super) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, CredentialError> {
    let fail = |problem| CredentialError::new(what, path, problem);
    let file = File::open(path).map_err(|error| fail(error.into()))?;
    let mut bytes = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| fail(error.into()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(fail(Problem::TooLarge));
    }
    Ok(bytes)
}

/// A bearer token: the file's only line, visible ASCII.
pub(super) fn token(path: &Path) -> Result<String, CredentialError> {
    secret("bearer token", path, |byte| byte.is_ascii_graphic())
}

/// A one-time secret: the file's only line, visible ASCII.
pub(crate) fn one_time_secret(path: &Path) -> Result<String, CredentialError> {
    secret("one-time secret", path, |byte| byte.is_ascii_graphic())
}

/// `user:password` of a proxy.
pub(super) fn proxy_login(path: &Path) -> Result<String, CredentialError> {
    const WHAT: &str = "proxy credentials";
    let login = secret(WHAT, path, |byte| !byte.is_ascii_control())?;
    if login.contains(':') {
        return Ok(login);
    }
    Err(CredentialError::content(WHAT, path, "want user:password"))
}

fn secret(
    what: &'static str,
    path: &Path,
    allowed: fn(u8) -> bool,
) -> Result<String, CredentialError> {
    let fail = |problem: &str| CredentialError::content(what, path, problem);
    let text = String::from_utf8(read(what, path)?).map_err(|_| fail("not UTF-8"))?;
    let secret = text.trim();
    if secret.is_empty() {
        return Err(fail("empty"));
    }
    if secret.len() > SECRET_BYTES_MAX {
        return Err(fail("longer than 4096 bytes"));
    }
    if !secret.bytes().all(allowed) {
        return Err(fail("contains a character that is not allowed"));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(content: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, content).unwrap();
        token(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_is_trimmed_and_checked_and_never_repeated_in_an_error() {
        assert_eq!(token_of(b" abc.DEF-1\n").unwrap(), "abc.DEF-1");
        for bad in [&b""[..], b" \n", b"hush\r\nHost: x", b"hush hush", b"hush\xff"] {
            let error = token_of(bad).unwrap_err();
            assert!(error.starts_with("bearer token from /"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
        assert!(token_of(&vec![b'x'; SECRET_BYTES_MAX]).is_ok());
        assert!(token_of(&vec![b'x'; SECRET_BYTES_MAX + 1]).is_err());
    }
}
