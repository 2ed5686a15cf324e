//! Whether what the cloud has sent is an identity of this terminal.

use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use terminal_core::protocol::Enrolled;
use terminal_hal::{Timestamp, text::line_problem};

use crate::link::{LinkUrl, certificate};

/// Characters of `location_id` and `display_name`.
const NAME_CHARS_MAX: usize = 64;

/// Why what the cloud has sent is no identity of this terminal.
#[derive(Debug, thiserror::Error)]
pub enum UnusableIdentity {
    /// Not a URL for a protected link.
    #[error("enrolled: url: {0}")]
    Url(String),
    /// A name that cannot be kept.
    #[error("enrolled: {field}: {problem}")]
    Name {
        /// Which.
        field: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Nothing in it.
    #[error("enrolled: {0}: no certificate in it")]
    Empty(&'static str),
    /// Not a certificate.
    #[error("enrolled: certificate: cannot be read")]
    Unreadable,
    /// For a key that this terminal did not ask for.
    #[error("enrolled: certificate: is for another key")]
    OtherKey,
    /// Not good any more.
    #[error("enrolled: certificate: expired at {0}")]
    Expired(Timestamp),
}

/// Everything that can be known before the first link: names and URL, that the certificate is for
/// this key and has not expired, that there are authorities. Whether it was signed by whom the cloud
/// trusts is for the cloud to judge: these need not be the authorities of its server.
pub(super) fn usable(
    enrolled: &Enrolled,
    key_pem: &str,
    now_s: u64,
) -> Result<(), UnusableIdentity> {
    names(enrolled)?;
    let leaf = certificates(&enrolled.certificate).next();
    let leaf = leaf.ok_or(UnusableIdentity::Empty("certificate"))?;
    let validity = certificate::validity(&leaf).ok_or(UnusableIdentity::Unreadable)?;
    is_for(leaf, key_pem)?;
    // One that is valid from a little later on comes from a clock that is ahead of this one.
    if validity.not_after.unix_ms() / 1000 <= now_s {
        return Err(UnusableIdentity::Expired(validity.not_after));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&enrolled.trust_bundle));
    if roots.is_empty() {
        return Err(UnusableIdentity::Empty("trust_bundle"));
    }
    Ok(())
}

fn names(enrolled: &Enrolled) -> Result<(), UnusableIdentity> {
    match LinkUrl::parse(&enrolled.url, false) {
        Ok(url) if url.is_tls() => {}
        Ok(_) => return Err(UnusableIdentity::Url("want wss".to_owned())),
        Err(error) => return Err(UnusableIdentity::Url(error.to_string())),
    }
    let names = [("location_id", &enrolled.location_id), ("display_name", &enrolled.display_name)];
    for (field, name) in names {
        let problem = name.as_ref().and_then(|name| line_problem(name, 0, NAME_CHARS_MAX));
        if let Some(problem) = problem {
            return Err(UnusableIdentity::Name { field, problem });
        }
    }
    Ok(())
}

fn is_for(leaf: CertificateDer<'static>, key_pem: &str) -> Result<(), UnusableIdentity> {
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes());
    let key = key.ok().and_then(|key| ring::sign::any_supported_type(&key).ok());
    let key = key.ok_or(UnusableIdentity::OtherKey)?;
    let matches = CertifiedKey::new(vec![leaf], key).keys_match();
    matches.map_err(|_| UnusableIdentity::OtherKey)
}

fn certificates(pem: &str) -> impl Iterator<Item = CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).filter_map(Result::ok)
}
