//! Why there is no link, in terms of what to do next.

use std::{io, net::SocketAddr, time::Duration};

use terminal_core::engine::LinkEnd;
use terminal_hal::text::{REASON_CHARS_MAX, bounded};

use super::credentials::CredentialError;

/// Longest wait that a server can ask for.
const RETRY_AFTER_S_MAX: u32 = 3600;

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// A file with certificates or secrets cannot be used.
    #[error("cannot use {0}")]
    Credentials(#[from] CredentialError),
    /// `wss` without anybody to trust.
    #[error("no CA file is configured")]
    NoTrust,
    /// The name has no address.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// The name has addresses, but none that may be used for this purpose.
    #[error("{host} resolves to no address that is allowed here")]
    AddressNotAllowed {
        /// The name.
        host: String,
    },
    /// No address could be connected to; this is what the last one said.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// The last address that was tried.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A step took too long.
    #[error("{step} took longer than {} s", .after.as_secs())]
    TimedOut {
        /// Which.
        step: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The proxy broke off or does not speak HTTP.
    #[error("proxy: {0}")]
    Proxy(String),
    /// The proxy answered with another status than 2xx.
    #[error("proxy answered with HTTP status {0}")]
    ProxyStatus(u16),
    /// A certificate was refused, by this end or by the peer.
    #[error("TLS: {0}")]
    Certificate(String),
    /// The peer says that this terminal's certificate has expired.
    #[error("TLS: {0}")]
    OwnCertificateExpired(String),
    /// The handshake broke off, or the peer does not speak TLS.
    #[error("TLS handshake: {0}")]
    Tls(String),
    /// Something else than a WebSocket answered.
    #[error("server answered with HTTP status {status} instead of an upgrade")]
    Status {
        /// HTTP status.
        status: u16,
        /// `Retry-After`, in seconds.
        retry_after_s: Option<u32>,
    },
    /// The upgrade succeeded, but not to this protocol.
    #[error("server does not offer the subprotocol {0}")]
    Subprotocol(&'static str),
    /// The upgrade broke off or breaks the WebSocket protocol.
    #[error("upgrade: {0}")]
    Upgrade(String),
}

impl ConnectError {
    /// Whether trying again soon is of no use: somebody has to change something.
    pub const fn is_permanent(&self) -> bool {
        match self {
            Self::Credentials(_)
            | Self::NoTrust
            | Self::AddressNotAllowed { .. }
            | Self::Certificate(_)
            | Self::OwnCertificateExpired(_)
            | Self::Subprotocol(_) => true,
            Self::Status { status, .. } => matches!(status, 401 | 403),
            Self::ProxyStatus(status) => *status == 407,
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::Proxy(_)
            | Self::Tls(_)
            | Self::Upgrade(_) => false,
        }
    }

    /// How long the server asks to wait, at most an hour.
    pub fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::Status { status: 429 | 503, retry_after_s } => {
                retry_after_s.map(|seconds| seconds.min(RETRY_AFTER_S_MAX))
            }
            Self::Status { .. }
            | Self::Credentials(_)
            | Self::NoTrust
            | Self::Resolve { .. }
            | Self::AddressNotAllowed { .. }
            | Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::Proxy(_)
            | Self::ProxyStatus(_)
            | Self::Certificate(_)
            | Self::OwnCertificateExpired(_)
            | Self::Tls(_)
            | Self::Subprotocol(_)
            | Self::Upgrade(_) => None,
        }
    }
}

impl From<ConnectError> for LinkEnd {
    fn from(error: ConnectError) -> Self {
        if let Some(seconds) = error.retry_after_s() {
            return Self::RetryAfter { seconds };
        }
        let reason = bounded(&error.to_string(), REASON_CHARS_MAX);
        if matches!(error, ConnectError::Status { status: 401 | 403, .. }) {
            return Self::Unauthorized { reason };
        }
        if matches!(error, ConnectError::OwnCertificateExpired(_)) {
            return Self::CertificateExpired { reason };
        }
        if error.is_permanent() { Self::Refused { reason } } else { Self::Lost { reason } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_whether_and_when_to_come_back() {
        let end =
            |status, retry_after_s| LinkEnd::from(ConnectError::Status { status, retry_after_s });
        assert!(matches!(end(401, None), LinkEnd::Unauthorized { .. }));
        assert!(matches!(end(403, Some(5)), LinkEnd::Unauthorized { .. }));
        assert_eq!(end(503, Some(7)), LinkEnd::RetryAfter { seconds: 7 });
        assert_eq!(end(429, Some(3601)), LinkEnd::RetryAfter { seconds: 3600 });
        for status in [200, 302, 404, 500, 503] {
            let LinkEnd::Lost { reason } = end(status, None) else { panic!("{status}") };
            assert!(reason.contains(&status.to_string()), "{reason}");
        }
        assert!(matches!(end(500, Some(7)), LinkEnd::Lost { .. }));
    }
}
