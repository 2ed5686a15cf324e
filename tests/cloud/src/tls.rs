//! TLS of the listener, and the identity in a client certificate.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::{config::TlsConfig, secret};

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not PEM, or not what it should be.
    #[error("reading {what}: {source}")]
    Pem {
        /// Which of the three.
        what: &'static str,
        /// From the parser.
        source: rustls::pki_types::pem::Error,
    },
    /// The client roots cannot be used.
    #[error("building the client verifier: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// Certificate and key do not belong together.
    #[error("setting up TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// rustls with ring; client certificates are verified when offered and roots are configured.
///
/// Those of `authority`, which enrols terminals, always are.
pub(crate) fn server_config(
    tls: &TlsConfig,
    authority: &str,
) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates("the server certificate", &tls.cert_chain_pem)?;
    let key = PrivateKeyDer::from_pem_slice(&tls.key_pem)
        .map_err(|source| TlsError::Pem { what: "the server key", source })?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let mut roots = RootCertStore::empty();
    for pem in [Some(authority.as_bytes()), tls.client_ca_pem.as_deref()].into_iter().flatten() {
        for root in certificates("the client authority", pem)? {
            roots.add(root)?;
        }
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()?;
    let builder = builder.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What a client certificate that has been verified says.
#[derive(Clone, Debug)]
pub(crate) struct ClientCertificate {
    /// Subject CN: the id of a terminal.
    pub(crate) common_name: String,
    /// Of its DER form, as hex.
    pub(crate) sha256: String,
    /// Of its public key (`SubjectPublicKeyInfo`), as hex.
    pub(crate) key_sha256: String,
    /// DER of its issuer's name.
    pub(crate) issuer: Vec<u8>,
}

impl ClientCertificate {
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate.as_ref()).ok()?;
        Some(Self {
            common_name: parsed.subject().iter_common_name().next()?.as_str().ok()?.to_owned(),
            sha256: secret::sha256(certificate.as_ref()),
            key_sha256: secret::sha256(parsed.public_key().raw),
            issuer: parsed.issuer().as_raw().to_vec(),
        })
    }

    /// Whether an authority, as PEM, issued it, by name.
    pub(crate) fn is_issued_by(&self, authority: &str) -> bool {
        let Ok(der) = CertificateDer::from_pem_slice(authority.as_bytes()) else { return false };
        x509_parser::parse_x509_certificate(der.as_ref())
            .is_ok_and(|(_, parsed)| parsed.subject().as_raw() == self.issuer)
    }
}

fn certificates(what: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { what, source })
}
