//! Random tokens, digests and the signature of upload URLs.

use std::fmt::Write as _;

use ring::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Bytes of lower- or upper-case hex; `None` for anything else.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if text.len() % 2 != 0 || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

/// A token of 256 random bits behind a prefix that says what it is.
pub(crate) fn random_token(prefix: &str) -> std::io::Result<String> {
    Ok(format!("{prefix}{}", hex(&random_bytes()?)))
}

/// 256 random bits.
pub(crate) fn random_bytes() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
    Ok(bytes)
}

/// Letters without I and O, digits without 0 and 1: 32, so that five random bits are one.
const CODE_ALPHABET: &[u8; 32] = b"ABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// A code for a screen, of 40 random bits.
pub(crate) fn activation_code() -> std::io::Result<String> {
    let bytes = random_bytes()?;
    let letter = |byte: &u8| CODE_ALPHABET.get(usize::from(byte & 31)).copied().map(char::from);
    let group = |bytes: &[u8]| bytes.iter().filter_map(letter).collect::<String>();
    let (first, rest) = bytes.split_at(4);
    Ok(format!("ACT-{}-{}", group(first), group(rest.split_at(4).0)))
}

/// SHA-256 as 64 lower-case hex digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// HMAC-SHA256 as hex.
pub(crate) fn sign(key: &[u8], text: &str) -> String {
    hex(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref())
}

/// Whether `signature` is that of `text`, in constant time.
pub(crate) fn verify(key: &[u8], text: &str, signature: &str) -> bool {
    unhex(signature).is_some_and(|bytes| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::verify(&key, text.as_bytes(), &bytes).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use terminal_core::protocol::is_activation_code;

    use super::*;

    #[test]
    fn a_code_has_the_form_that_terminals_show() {
        for _ in 0..100 {
            let code = activation_code().unwrap();
            assert!(is_activation_code(&code), "{code}");
        }
    }
}
