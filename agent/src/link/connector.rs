//! One connection, from the name to the WebSocket.

use std::sync::Arc;

use terminal_core::protocol::{ENROL_SUBPROTOCOL, SUBPROTOCOL};
use terminal_hal::Timestamp;

use super::{
    clock::VerificationClock,
    config::{LinkConfig, Security, Timeouts},
    credentials,
    error::ConnectError,
    socket::Socket,
    tcp::{AddressRule, Dialer, within},
    tls::{ByteStream, TlsConnector},
    upgrade::Upgrade,
};

/// Opens links. Files with certificates and tokens are read at each connect.
#[derive(Clone, Debug)]
pub struct Connector {
    config: LinkConfig,
    subprotocol: &'static str,
    clock: Arc<VerificationClock>,
}

impl Connector {
    /// For this configuration; `clock` is shared with whoever knows about the time.
    pub const fn new(config: LinkConfig, clock: Arc<VerificationClock>) -> Self {
        Self { config, subprotocol: SUBPROTOCOL, clock }
    }

    /// The same, to the end of the cloud that enrols terminals.
    pub const fn to_enrol(config: LinkConfig, clock: Arc<VerificationClock>) -> Self {
        Self { config, subprotocol: ENROL_SUBPROTOCOL, clock }
    }

    /// What it was made for.
    pub const fn config(&self) -> &LinkConfig {
        &self.config
    }

    pub(super) const fn timeouts(&self) -> &Timeouts {
        &self.config.timeouts
    }

    /// Resolves, connects, verifies and upgrades, each step within its limit.
    pub(super) async fn connect(&self) -> Result<Socket, ConnectError> {
        let token = self.config.token_file.as_deref().map(credentials::token).transpose()?;
        let stream = self.open_stream().await?;
        let now_s = self.clock.now().as_secs();
        let now = Timestamp::from_unix_ms(now_s.saturating_mul(1000));
        let (uri, subprotocol) = (self.config.url.uri(), self.subprotocol);
        let upgrade = Upgrade { uri, subprotocol, token, now };
        within("the WebSocket upgrade", self.timeouts().upgrade, upgrade.ask(stream)).await?
    }

    async fn open_stream(&self) -> Result<Box<dyn ByteStream>, ConnectError> {
        let url = &self.config.url;
        let dialer = Dialer { proxy: self.config.proxy.clone(), timeouts: self.config.timeouts };
        let rule = match url.security() {
            Security::Tls => {
                let trust = self.config.trust.clone().ok_or(ConnectError::NoTrust)?;
                let identity = self.config.identity.clone();
                let clock = Arc::clone(&self.clock);
                let connector = TlsConnector { dialer, trust, identity, clock };
                return connector.connect(url.host(), url.port(), AddressRule::Any).await;
            }
            Security::Loopback => AddressRule::Loopback,
            Security::Insecure => AddressRule::Any,
        };
        tracing::warn!(host = url.host(), "this link is not protected by TLS");
        let stream = dialer.dial(url.host(), url.port(), rule).await?;
        Ok(Box::new(stream) as Box<dyn ByteStream>)
    }
}
