//! How a cloud is started.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Everything that a cloud needs to start; a stopped one hands it back for the next start.
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// Database, logs and uploads.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// TLS, or plain HTTP by explicit choice.
    pub transport: Transport,
    /// `welcome.heartbeat_s`.
    pub heartbeat_s: u32,
    /// A link without a byte for so long is dropped; when absent, 1.5 heartbeats: of
    /// `heartbeat_s`, or of the 60 s of a terminal that enrols.
    pub idle_timeout: Option<Duration>,
    /// How long a link may take to say `hello`.
    pub hello_timeout: Duration,
    /// Upper bound of the window (ttl + deadline) after which an operation is a TIMEOUT.
    pub timeout_max: Option<Duration>,
    /// Wait before an operation that met `OVERLOADED` or `STORAGE_FULL` is dispatched again.
    pub redispatch_delay: Duration,
    /// How long an activation code can be typed in.
    pub activation_code_ttl: Duration,
    /// How long a certificate is good that a terminal is given.
    pub certificate_life: Duration,
    /// PEM of the authorities that a terminal is told to trust; when absent, those of
    /// [`TlsConfig::client_ca_pem`], as of one authority for both ends.
    pub trust_bundle_pem: Option<String>,
    /// A terminal is told to be offline when it has had no link for so long.
    pub offline_grace: Duration,
    /// Wait after the first failed attempt of a webhook; doubles with each.
    pub webhook_retry_base: Duration,
    /// Whether `POST /test/faults` exists.
    pub test_switches: bool,
    /// Origin in minted upload URLs; `https://localhost:PORT` when absent.
    pub public_url: Option<String>,
}

impl CloudConfig {
    /// A cloud on a free loopback port with its data in `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>, transport: Transport) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            transport,
            heartbeat_s: 30,
            idle_timeout: None,
            hello_timeout: Duration::from_secs(15),
            timeout_max: None,
            redispatch_delay: Duration::from_secs(5),
            activation_code_ttl: Duration::from_secs(3600),
            certificate_life: Duration::from_secs(90 * 86_400),
            trust_bundle_pem: None,
            offline_grace: Duration::from_secs(10),
            webhook_retry_base: Duration::from_secs(5),
            test_switches: false,
            public_url: None,
        }
    }

    /// What a terminal is told to trust.
    pub(crate) fn trust_bundle(&self) -> String {
        let authority = || match &self.transport {
            Transport::Tls(tls) => tls.client_ca_pem.clone().unwrap_or_default(),
            Transport::PlainHttp => Vec::new(),
        };
        let given = self.trust_bundle_pem.clone();
        given.unwrap_or_else(|| String::from_utf8_lossy(&authority()).into_owned())
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
            .unwrap_or_else(|| Duration::from_millis(u64::from(self.heartbeat_s) * 1500))
    }

    /// The same of a link of a terminal that enrols.
    pub(crate) fn enrolment_idle_timeout(&self) -> Duration {
        self.idle_timeout.unwrap_or(Duration::from_secs(90))
    }
}

/// What the listener speaks.
#[derive(Clone, Debug)]
pub enum Transport {
    /// https and wss.
    Tls(TlsConfig),
    /// http and ws: only for loopback and for tests of exactly that.
    PlainHttp,
}

/// Certificates as PEM.
#[derive(Clone)]
pub struct TlsConfig {
    /// Server certificate and what lies between it and the root.
    pub cert_chain_pem: Vec<u8>,
    /// Its private key.
    pub key_pem: Vec<u8>,
    /// Verify client certificates against these roots. A client may still come without one.
    pub client_ca_pem: Option<Vec<u8>>,
}

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsConfig")
            .field("client_ca", &self.client_ca_pem.is_some())
            .finish_non_exhaustive()
    }
}
