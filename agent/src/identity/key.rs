//! The terminal's own key: made here, kept here, and used to sign requests.

use std::{fmt, path::Path};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::{IdentityError, disk};

/// An ECDSA key on the curve P-256.
pub(super) struct SigningKey(KeyPair);

impl SigningKey {
    /// A fresh key.
    pub(super) fn generate() -> Result<Self, IdentityError> {
        KeyPair::generate().map(Self).map_err(unusable)
    }

    /// The key in a file.
    pub(super) fn read(path: &Path) -> Result<Self, IdentityError> {
        let pem = String::from_utf8(disk::read(path)?);
        let pem = pem.map_err(|_| IdentityError::Key("not UTF-8".to_owned()))?;
        KeyPair::from_pem(&pem).map(Self).map_err(unusable)
    }

    /// PKCS #8, PEM.
    pub(super) fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// PKCS #10, PEM, for a subject with this name.
    pub(super) fn signing_request(&self, common_name: &str) -> Result<String, IdentityError> {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, common_name);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        let request = params.serialize_request(&self.0).map_err(unusable)?;
        request.pem().map_err(unusable)
    }
}

/// Shows nothing of the key.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// The library's errors name algorithms and formats, never a key.
fn unusable(error: rcgen::Error) -> IdentityError {
    IdentityError::Key(error.to_string())
}
