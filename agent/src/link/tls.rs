//! TLS: private trust only, every check at every connect, and a reason when one fails.

use std::{io, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error as TlsError, RootCertStore,
    client::{Resumption, WebPkiServerVerifier},
    crypto::ring,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName, UnixTime,
        pem::PemObject,
    },
};
use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    certificate,
    clock::{FixedTime, Untimely, VerificationClock},
    config::{ClientIdentity, Timeouts, Trust},
    credentials::{self, CredentialError},
    error::ConnectError,
    tcp::{AddressRule, Dialer, within},
};

const BELIEVED_AT_ANOTHER_TIME: &str = "the server's certificate is only good at another time than this clock's, which nobody vouches for";

/// Bytes both ways, protected or not: one type, so that what is above is compiled once.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// Makes protected connections.
#[derive(Clone, Debug)]
pub(crate) struct TlsConnector {
    pub(crate) dialer: Dialer,
    pub(crate) trust: Trust,
    pub(crate) identity: Option<ClientIdentity>,
    pub(crate) clock: Arc<VerificationClock>,
}

impl TlsConnector {
    /// A protected connection to `host`, whose certificate has been verified. A second one is
    /// tried when it was refused only by a clock that nobody vouches for.
    pub(crate) async fn connect(
        &self,
        host: &str,
        port: u16,
        rule: AddressRule,
    ) -> Result<Box<dyn ByteStream>, ConnectError> {
        let first = self.connect_at(self.clock.now(), host, port, rule).await;
        let untimely = first.as_ref().err().and_then(|failed| failed.untimely);
        let second_opinion = untimely.and_then(|untimely| self.clock.second_opinion(untimely));
        let result = match second_opinion {
            None => first,
            Some(time) => {
                let second = self.connect_at(time, host, port, rule).await;
                if second.is_ok() {
                    let time_s = time.as_secs();
                    tracing::warn!(host, ?untimely, time_s, "{BELIEVED_AT_ANOTHER_TIME}");
                }
                second
            }
        };
        result.map_err(|failed| failed.error)
    }

    async fn connect_at(
        &self,
        time: UnixTime,
        host: &str,
        port: u16,
        rule: AddressRule,
    ) -> Result<Box<dyn ByteStream>, Failed> {
        let config = Arc::new(client_config(&self.trust, self.identity.as_ref(), time)?);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ConnectError::Tls(format!("{host:?} is no name of a server")))?;
        let tcp = self.dialer.dial(host, port, rule).await?;
        let Timeouts { tls: limit, .. } = self.dialer.timeouts;
        let handshake = tokio_rustls::TlsConnector::from(config).connect(name, tcp);
        let stream = within("the TLS handshake", limit, handshake).await??;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if let Some(shown) = shown.and_then(|shown| certificate::validity(shown)) {
            self.clock.note_server(shown.not_after);
        }
        Ok(Box::new(stream) as Box<dyn ByteStream>)
    }
}

/// An error, and whether time was all there was to complain about.
struct Failed {
    error: ConnectError,
    untimely: Option<Untimely>,
}

impl From<ConnectError> for Failed {
    fn from(error: ConnectError) -> Self {
        Self { error, untimely: None }
    }
}

impl From<CredentialError> for Failed {
    fn from(error: CredentialError) -> Self {
        Self { error: error.into(), untimely: None }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        let untimely = untimely(&error);
        let certificate = certificate_problem(&error);
        let error = certificate.unwrap_or_else(|| ConnectError::Tls(handshake_problem(&error)));
        Self { error, untimely }
    }
}

fn untimely(error: &io::Error) -> Option<Untimely> {
    let TlsError::InvalidCertificate(problem) = tls_error(error)? else { return None };
    if let CertificateError::NotValidYetContext { not_before, .. } = problem {
        return Some(Untimely::NotValidYet { begin: *not_before });
    }
    let expired =
        matches!(problem, CertificateError::Expired | CertificateError::ExpiredContext { .. });
    expired.then_some(Untimely::Expired)
}

fn handshake_problem(error: &io::Error) -> String {
    match tls_error(error) {
        Some(TlsError::InvalidMessage(_)) => "the server does not speak TLS (a portal?)".to_owned(),
        Some(_) | None => error.to_string(),
    }
}

/// What is wrong with a certificate, ours or the peer's, where that is what the error says. With
/// TLS 1.3 a refused client certificate shows only once the server is heard, after the handshake.
pub(super) fn certificate_problem(error: &io::Error) -> Option<ConnectError> {
    let error = tls_error(error)?;
    if let TlsError::InvalidCertificate(problem) = error {
        return Some(ConnectError::Certificate(server_problem(problem)));
    }
    if let TlsError::InvalidCertRevocationList(problem) = error {
        let problem = format!("the revocation list is refused: {problem:?}");
        return Some(ConnectError::Certificate(problem));
    }
    let TlsError::AlertReceived(alert) = error else { return None };
    let problem = format!("the server refuses this terminal's certificate: {alert:?}");
    if *alert == AlertDescription::CertificateExpired {
        return Some(ConnectError::OwnCertificateExpired(problem));
    }
    concerns_certificate(*alert).then_some(ConnectError::Certificate(problem))
}

fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows")]
fn server_problem(problem: &CertificateError) -> String {
    use CertificateError as E;
    let short = match problem {
        E::Expired | E::ExpiredContext { .. } => "has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "is not valid yet",
        E::Revoked => "has been revoked",
        E::UnknownIssuer => "is from an unknown CA",
        E::NotValidForName | E::NotValidForNameContext { .. } => "is for another name",
        E::UnknownRevocationStatus => "is of an issuer that no revocation list covers",
        _ => return format!("the server's certificate is refused: {problem}"),
    };
    format!("the server's certificate {short}: {problem}")
}

const fn concerns_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::CertificateRequired
            // A client certificate of another issuer that has the same name.
            | A::DecryptError
    )
}

/// Built anew for each connect, so that rotated files take effect. A resumed session would skip
/// the check of chain and revocation, so there is none, and with it no early data.
fn client_config(
    trust: &Trust,
    identity: Option<&ClientIdentity>,
    time: UnixTime,
) -> Result<ClientConfig, ConnectError> {
    let general = |error: &dyn std::fmt::Display| ConnectError::Tls(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(trust)?);
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .with_crls(revocation_lists(trust)?)
        .build()
        .map_err(|error| match &trust.crl_file {
            Some(file) => {
                CredentialError::content("revocation lists", file, error.to_string()).into()
            }
            None => general(&error),
        })?;
    let builder = ClientConfig::builder_with_details(provider, Arc::new(FixedTime(time)))
        .with_safe_default_protocol_versions()
        .map_err(|error| general(&error))?
        .with_webpki_verifier(verifier);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = certificate_and_key(identity)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                CredentialError::content("client key", &identity.key_file, error.to_string())
            })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn roots(trust: &Trust) -> Result<RootCertStore, CredentialError> {
    const WHAT: &str = "CA certificates";
    let pem = credentials::read(WHAT, &trust.ca_file)?;
    let mut roots = RootCertStore::empty();
    // A public bundle may hold a certificate that rustls does not understand.
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok));
    if roots.is_empty() {
        return Err(CredentialError::content(WHAT, &trust.ca_file, "no CA certificate in it"));
    }
    Ok(roots)
}

fn revocation_lists(
    trust: &Trust,
) -> Result<Vec<CertificateRevocationListDer<'static>>, CredentialError> {
    const WHAT: &str = "revocation lists";
    let Some(file) = &trust.crl_file else { return Ok(Vec::new()) };
    let pem = credentials::read(WHAT, file)?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|error| CredentialError::content(WHAT, file, error.to_string()))?;
    if lists.is_empty() {
        return Err(CredentialError::content(WHAT, file, "no revocation list in it"));
    }
    Ok(lists)
}

type CertificateAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certificate_and_key(identity: &ClientIdentity) -> Result<CertificateAndKey, CredentialError> {
    const CHAIN: &str = "client certificate";
    const KEY: &str = "client key";
    let (chain_file, key_file) = (&identity.certificate_file, &identity.key_file);
    let chain = credentials::read(CHAIN, chain_file)?;
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| CredentialError::content(CHAIN, chain_file, e.to_string()))?;
    if chain.is_empty() {
        return Err(CredentialError::content(CHAIN, chain_file, "no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_slice(&credentials::read(KEY, key_file)?);
    let key = key.map_err(|_| CredentialError::content(KEY, key_file, "no private key in it"))?;
    Ok((chain, key))
}
