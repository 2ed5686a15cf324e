//! A throw-away certificate authority for tests and demos.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::config::TlsConfig;

/// An authority that issues one server certificate and any number of terminal certificates.
pub struct Pki {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Makes an authority with a fresh key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn create() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "terminal-cloud test authority");
        let ca_pem = params.self_signed(&key)?.pem();
        Ok(Self { ca_pem, issuer: Issuer::new(params, key) })
    }

    /// The root that clients trust.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Certificate chain and key, as PEM, for a server of these DNS names and IP addresses.
    ///
    /// # Errors
    /// When a name cannot be written into a certificate.
    pub fn server(&self, names: &[&str]) -> Result<(String, String), rcgen::Error> {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        self.issue(names, "terminal-cloud", ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Certificate and key, as PEM, of one terminal: the subject CN is its id.
    ///
    /// # Errors
    /// When the id cannot be written into a certificate.
    pub fn client(&self, terminal_id: &str) -> Result<(String, String), rcgen::Error> {
        self.issue(Vec::new(), terminal_id, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// The TLS settings of a cloud on `localhost` and `127.0.0.1` that also takes terminal
    /// certificates of this authority.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn tls(&self) -> Result<TlsConfig, rcgen::Error> {
        let (cert, key) = self.server(&["localhost", "127.0.0.1"])?;
        Ok(TlsConfig {
            cert_chain_pem: cert.into_bytes(),
            key_pem: key.into_bytes(),
            client_ca_pem: Some(self.ca_pem.clone().into_bytes()),
        })
    }

    fn issue(
        &self,
        names: Vec<String>,
        common_name: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<(String, String), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok((cert.pem(), key.serialize_pem()))
    }
}
