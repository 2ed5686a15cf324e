//! A throw-away certificate authority for tests and demos.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKey,
    RevokedCertParams, SerialNumber,
};

use crate::config::TlsConfig;

/// An authority that issues one server certificate and any number of terminal certificates.
pub struct Pki {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate that has just been signed.
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) der: Vec<u8>,
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
        // Another one is known by another name, and not only by its key.
        let name = format!("terminal-cloud test authority {}", uuid::Uuid::new_v4());
        params.distinguished_name.push(DnType::CommonName, name);
        let ca_pem = params.self_signed(&key)?.pem();
        Ok(Self { ca_pem, issuer: Issuer::new(params, key) })
    }

    /// The authority that [`Pki::to_pem`] wrote down.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::from_pem(pem)?;
        let begin = pem.find("-----BEGIN CERTIFICATE-----").unwrap_or_default();
        let ca_pem = pem.get(begin..).unwrap_or_default().to_owned();
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, key)?;
        Ok(Self { ca_pem, issuer })
    }

    /// Key and certificate: what has to be kept to go on issuing.
    pub(crate) fn to_pem(&self) -> String {
        format!("{}{}", self.issuer.key().serialize_pem(), self.ca_pem)
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
        self.sign(&params(names, "terminal-cloud", ExtendedKeyUsagePurpose::ServerAuth)?)
    }

    /// Certificate and key, as PEM, of one terminal: the subject CN is its id.
    ///
    /// # Errors
    /// When the id cannot be written into a certificate.
    pub fn client(&self, terminal_id: &str) -> Result<(String, String), rcgen::Error> {
        self.sign(&params(&[], terminal_id, ExtendedKeyUsagePurpose::ClientAuth)?)
    }

    /// A certificate of one terminal for a key that it made itself, valid from an hour ago (clocks
    /// differ) for so long.
    pub(crate) fn sign_request(
        &self,
        key: &PublicKey,
        terminal_id: &str,
        life: Duration,
    ) -> Result<Issued, rcgen::Error> {
        let mut params = params(&[], terminal_id, ExtendedKeyUsagePurpose::ClientAuth)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        limit(&mut params, since.saturating_sub(Duration::from_secs(3600)), since + life);
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(Issued { pem: certificate.pem(), der: certificate.der().to_vec() })
    }

    /// The same as [`Pki::server`], valid between two times since 1970.
    ///
    /// # Errors
    /// When a name cannot be written into a certificate.
    pub fn server_valid(
        &self,
        names: &[&str],
        from: Duration,
        until: Duration,
    ) -> Result<(String, String), rcgen::Error> {
        let mut params = params(names, "terminal-cloud", ExtendedKeyUsagePurpose::ServerAuth)?;
        limit(&mut params, from, until);
        self.sign(&params)
    }

    /// The same as [`Pki::server`], with the serial number by which it can be revoked.
    ///
    /// # Errors
    /// When a name cannot be written into a certificate.
    pub fn server_with_serial(
        &self,
        names: &[&str],
    ) -> Result<(String, String, u64), rcgen::Error> {
        let mut params = params(names, "terminal-cloud", ExtendedKeyUsagePurpose::ServerAuth)?;
        // Bits of an identity that is unique; positive, as a serial number must be.
        let serial = uuid::Uuid::new_v4().as_u64_pair().0 >> 1;
        params.serial_number = Some(SerialNumber::from(serial));
        let (certificate, key) = self.sign(&params)?;
        Ok((certificate, key, serial))
    }

    /// The same as [`Pki::client`], valid between two times since 1970.
    ///
    /// # Errors
    /// When the id cannot be written into a certificate.
    pub fn client_valid(
        &self,
        terminal_id: &str,
        from: Duration,
        until: Duration,
    ) -> Result<(String, String), rcgen::Error> {
        let mut params = params(&[], terminal_id, ExtendedKeyUsagePurpose::ClientAuth)?;
        limit(&mut params, from, until);
        self.sign(&params)
    }

    /// A list, as PEM, of the certificates of this authority that are revoked.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn revocation_list(&self, serials: &[u64]) -> Result<String, rcgen::Error> {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(4096, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer)?.pem()
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

    /// With a fresh key.
    fn sign(&self, params: &CertificateParams) -> Result<(String, String), rcgen::Error> {
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok((cert.pem(), key.serialize_pem()))
    }
}

fn params(
    names: &[&str],
    common_name: &str,
    usage: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams, rcgen::Error> {
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}

fn limit(params: &mut CertificateParams, from: Duration, until: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    (params.not_before, params.not_after) = (epoch + from, epoch + until);
}
