//! A certificate authority that lives as long as a test.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;
use terminal_agent::link::{ClientIdentity, Trust};
use tokio_rustls::TlsAcceptor;

static COUNT: AtomicU32 = AtomicU32::new(1);

pub struct Pki {
    pub folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// What a server shows.
pub struct Shown {
    pub names: Vec<String>,
    pub years: (i32, i32),
    pub serial: u64,
    /// Issued by another CA below the one that is trusted, of these years.
    pub through: Option<(i32, i32)>,
}

impl Shown {
    pub fn name(name: &str) -> Self {
        Self { names: vec![name.to_owned()], years: (2020, 2090), serial: 7, through: None }
    }

    pub fn years(self, from: i32, to: i32) -> Self {
        Self { years: (from, to), ..self }
    }
}

impl Pki {
    pub fn new() -> Self {
        let params = authority((1990, 2200));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self { folder: tempfile::tempdir().unwrap(), issuer };
        pki.write("ca.pem", &pki.issuer.pem());
        pki
    }

    pub fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    pub fn trust(&self) -> Trust {
        Trust { ca_file: self.folder.path().join("ca.pem"), crl_file: None }
    }

    /// Trust with a list that revokes one serial number.
    pub fn trust_revoking(&self, serial: u64) -> Trust {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2090, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&self.issuer).unwrap().pem().unwrap();
        Trust { crl_file: Some(self.write("crl.pem", &pem)), ..self.trust() }
    }

    /// Writes a client certificate and its key.
    pub fn client(&self) -> ClientIdentity {
        let shown = Shown::name("term-1");
        let (certificate, key) = issue(&shown, ExtendedKeyUsagePurpose::ClientAuth, &self.issuer);
        ClientIdentity {
            certificate_file: self.write("client.pem", &certificate.pem()),
            key_file: self.write("client.key", &key.serialize_pem()),
        }
    }

    pub fn acceptor(&self, shown: &Shown) -> TlsAcceptor {
        self.acceptor_demanding(shown, None)
    }

    /// A server that wants client certificates of that authority.
    pub fn acceptor_demanding(&self, shown: &Shown, clients: Option<&Self>) -> TlsAcceptor {
        let below = shown.through.map(|years| {
            let key = KeyPair::generate().unwrap();
            CertifiedIssuer::signed_by(authority(years), key, &self.issuer).unwrap()
        });
        let issuer = below.as_ref().unwrap_or(&self.issuer);
        let (certificate, key) = issue(shown, ExtendedKeyUsagePurpose::ServerAuth, issuer);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.issuer.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        chain.extend(below.map(|below| below.der().clone()));
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}

fn authority(years: (i32, i32)) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    // Each of its own name: two of one name are told apart by their signatures only.
    let name = format!("CA {}", COUNT.fetch_add(1, Ordering::Relaxed));
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    params
}

fn issue(
    shown: &Shown,
    usage: ExtendedKeyUsagePurpose,
    issuer: &CertifiedIssuer<'static, KeyPair>,
) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(shown.names.clone()).unwrap();
    params.not_before = date_time_ymd(shown.years.0, 1, 1);
    params.not_after = date_time_ymd(shown.years.1, 1, 1);
    params.serial_number = Some(SerialNumber::from(shown.serial));
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap(), key)
}
