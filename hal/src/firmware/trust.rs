//! Whose manifests are believed: minisign public keys. More than one while keys are replaced.

use minisign_verify::{Error, PublicKey, Signature};

use crate::{ErrorCode, Failure};

/// Longest detached signature.
pub const SIGNATURE_BYTES_MAX: usize = 4 << 10;

/// Keys, any of which may have signed.
#[derive(Clone, Debug)]
pub struct TrustedKeys(Vec<PublicKey>);

impl TrustedKeys {
    /// Reads keys as `minisign -G` prints them: 56 characters of base64.
    ///
    /// # Errors
    /// Names the first that is none.
    pub fn parse(keys: &[String]) -> Result<Self, String> {
        let key = |text: &String| {
            PublicKey::from_base64(text)
                .map_err(|_| format!("got {text:?}, want a minisign public key"))
        };
        keys.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// Verifies a detached signature of the whole of `bytes`.
    ///
    /// # Errors
    /// `UNKNOWN_KEY` or `SIGNATURE_INVALID`.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Result<(), Failure> {
        let text = std::str::from_utf8(signature).map_err(|_| malformed())?;
        let signature = Signature::decode(text).map_err(|_| malformed())?;
        for key in &self.0 {
            // The old way of signing, without a hash first, is not accepted.
            match key.verify(bytes, &signature, false) {
                Ok(()) => return Ok(()),
                Err(Error::UnexpectedKeyId) => {}
                Err(error) => {
                    let reason = format!("the signature of the update manifest: {error}");
                    return Err(Failure::new(ErrorCode::SignatureInvalid, reason));
                }
            }
        }
        let reason = "the update manifest is signed with a key that this terminal does not trust";
        Err(Failure::new(ErrorCode::UnknownKey, reason))
    }
}

fn malformed() -> Failure {
    let reason = "the signature of the update manifest is not one of minisign";
    Failure::new(ErrorCode::SignatureInvalid, reason)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;

    fn key() -> KeyPair {
        KeyPair::generate_unencrypted_keypair().unwrap()
    }

    fn sign(key: &KeyPair, text: &str) -> Vec<u8> {
        let signed = minisign::sign(None, &key.sk, Cursor::new(text), None, None).unwrap();
        signed.to_string().into_bytes()
    }

    #[test]
    fn any_trusted_key_may_have_signed_and_nobody_else() {
        let (old, new, foreign) = (key(), key(), key());
        let trusted = TrustedKeys::parse(&[old.pk.to_base64(), new.pk.to_base64()]).unwrap();
        for key in [&old, &new] {
            assert_eq!(trusted.verify(b"text", &sign(key, "text")), Ok(()));
            let changed = trusted.verify(b"texT", &sign(key, "text")).unwrap_err();
            assert_eq!(changed.code, ErrorCode::SignatureInvalid);
        }
        let unknown = trusted.verify(b"text", &sign(&foreign, "text")).unwrap_err();
        assert_eq!(unknown.code, ErrorCode::UnknownKey);
        for nonsense in [b"".as_slice(), b"\xff", b"untrusted comment: x\nAAAA"] {
            let failure = trusted.verify(b"text", nonsense).unwrap_err();
            assert_eq!(failure.code, ErrorCode::SignatureInvalid);
        }
        assert!(TrustedKeys::parse(&["RWQ".to_owned()]).is_err());
    }
}
