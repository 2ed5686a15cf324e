//! What a link needs to know. Values that cannot work cannot be made.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use tokio_tungstenite::tungstenite::http::{Uri, uri::Authority};

/// How to reach the cloud.
#[derive(Clone, Debug)]
pub struct LinkConfig {
    /// Where.
    pub url: LinkUrl,
    /// Whom to believe; needed for `wss`.
    pub trust: Option<Trust>,
    /// Client certificate.
    pub identity: Option<ClientIdentity>,
    /// File with the bearer token.
    pub token_file: Option<PathBuf>,
    /// HTTP proxy; not used for loopback addresses.
    pub proxy: Option<ProxyConfig>,
    /// Bounds of every wait.
    pub timeouts: Timeouts,
}

/// Certificate authorities, in files that are read again at each connect.
#[derive(Clone, Debug)]
pub struct Trust {
    /// PEM bundle; nothing else is trusted.
    pub ca_file: PathBuf,
    /// PEM bundle of revocation lists, one for every issuer of a chain.
    pub crl_file: Option<PathBuf>,
}

/// Client certificate and key, in files that are read again at each connect.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// PEM, leaf first.
    pub certificate_file: PathBuf,
    /// PEM, unencrypted.
    pub key_file: PathBuf,
}

/// An HTTP proxy that understands `CONNECT`.
#[derive(Clone, Debug)]
pub struct ProxyConfig {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// File with `user:password` for basic authentication.
    pub credentials_file: Option<PathBuf>,
}

/// Bounds of every wait.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Resolving a name.
    pub resolve: Duration,
    /// Connecting to one address.
    pub connect: Duration,
    /// The proxy's answer.
    pub proxy: Duration,
    /// TLS handshake.
    pub tls: Duration,
    /// WebSocket upgrade.
    pub upgrade: Duration,
    /// Writing one frame.
    pub write: Duration,
    /// An orderly end, in all.
    pub close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(10),
            proxy: Duration::from_secs(15),
            tls: Duration::from_secs(15),
            upgrade: Duration::from_secs(15),
            write: Duration::from_secs(30),
            close: Duration::from_secs(1),
        }
    }
}

/// A URL that a link may be opened to: `wss`, or `ws` to a loopback address, or any `ws` that is
/// explicitly allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkUrl {
    uri: Uri,
    host: String,
    port: u16,
    security: Security,
}

/// How a link is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Security {
    /// TLS.
    Tls,
    /// None, and the bytes never leave this machine.
    Loopback,
    /// None, because the configuration insists.
    Insecure,
}

/// Why a URL cannot be used for a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLinkUrl {
    /// Not a URL with a host.
    #[error("not a URL with scheme and host")]
    Malformed,
    /// Another scheme.
    #[error("got scheme {0:?}, want wss")]
    Scheme(String),
    /// Unprotected, and not to this machine.
    #[error("ws:// is allowed to loopback addresses only, got host {0:?}")]
    Unprotected(String),
    /// Names a user or a fragment.
    #[error("a URL of a link has neither user nor fragment")]
    Decorated,
}

impl LinkUrl {
    /// Reads a URL. `allow_insecure` lets `ws://` go anywhere.
    ///
    /// # Errors
    /// Says what is wrong with it; never repeats a password.
    pub fn parse(text: &str, allow_insecure: bool) -> Result<Self, InvalidLinkUrl> {
        if text.contains('#') {
            return Err(InvalidLinkUrl::Decorated);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidLinkUrl::Malformed)?;
        let authority = uri.authority().ok_or(InvalidLinkUrl::Malformed)?;
        if authority.as_str().contains('@') {
            return Err(InvalidLinkUrl::Decorated);
        }
        let host = bare_host(authority.host());
        if host.is_empty() {
            return Err(InvalidLinkUrl::Malformed);
        }
        let (security, default_port) = match uri.scheme_str() {
            Some("wss") => (Security::Tls, 443),
            Some("ws") if is_loopback(&host) => (Security::Loopback, 80),
            Some("ws") if allow_insecure => (Security::Insecure, 80),
            Some("ws") => return Err(InvalidLinkUrl::Unprotected(host)),
            other => return Err(InvalidLinkUrl::Scheme(other.unwrap_or_default().to_owned())),
        };
        let port = port_of(authority, default_port).ok_or(InvalidLinkUrl::Malformed)?;
        Ok(Self { host, port, security, uri })
    }

    /// Name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Given or default port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether the link is protected by TLS.
    pub fn is_tls(&self) -> bool {
        self.security == Security::Tls
    }

    pub(super) const fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) const fn security(&self) -> Security {
        self.security
    }
}

impl fmt::Display for LinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// A host without the brackets of an IPv6 address.
pub(crate) fn bare_host(host: &str) -> String {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host).to_owned()
}

/// The port of an authority; `None` when what stands there is none.
pub(crate) fn port_of(authority: &Authority, default: u16) -> Option<u16> {
    match authority.as_str().strip_prefix(authority.host())? {
        "" | ":" => Some(default),
        _ => authority.port_u16(),
    }
}

/// Whether a name or address means this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unprotected_links_stay_on_this_machine_unless_the_configuration_insists() {
        for url in ["ws://127.0.0.1:9/x", "ws://[::1]/x", "ws://localhost:80"] {
            assert!(LinkUrl::parse(url, false).is_ok(), "{url}");
        }
        let elsewhere = LinkUrl::parse("ws://cloud.example/x", false);
        assert_eq!(elsewhere, Err(InvalidLinkUrl::Unprotected("cloud.example".into())));
        assert!(LinkUrl::parse("ws://192.168.0.7/x", false).is_err());
        assert!(LinkUrl::parse("ws://localhost.example/x", false).is_err());
        assert!(LinkUrl::parse("ws://cloud.example/x", true).is_ok());
    }

    #[test]
    fn a_url_has_a_known_scheme_a_host_and_no_decoration() {
        let url = LinkUrl::parse("wss://cloud.example/ops", false).unwrap();
        assert_eq!((url.host(), url.port(), url.is_tls()), ("cloud.example", 443, true));
        assert_eq!(LinkUrl::parse("wss://[::1]:9443/ops", false).unwrap().host(), "::1");
        assert_eq!(LinkUrl::parse("wss://cloud.example:/ops", false).unwrap().port(), 443);
        for url in ["https://a/b", "cloud.example", "/x", "wss://", "wss://u:p@a/b", "wss://a/#b"] {
            assert!(LinkUrl::parse(url, true).is_err(), "{url}");
        }
        for url in ["wss://a:65536/b", "wss://a:44x/b", "wss://[::1]:-1/b"] {
            assert!(LinkUrl::parse(url, true).is_err(), "{url}");
        }
    }
}
