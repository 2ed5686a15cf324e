//! TCP: resolve, choose addresses, connect, and notice when the peer is gone.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{
    config::{ProxyConfig, Timeouts, is_loopback},
    error::ConnectError,
    proxy,
};

/// Most addresses that are tried: each costs a connect timeout.
const ADDRESSES_MAX: usize = 6;
/// Seconds of silence before the kernel asks the peer whether it is there.
const KEEPALIVE_IDLE_S: u32 = 20;
/// Seconds between such questions.
const KEEPALIVE_INTERVAL_S: u32 = 5;
/// Unanswered questions that end the connection.
const KEEPALIVE_COUNT: u32 = 3;
/// Written bytes that stay unacknowledged for so long end the connection.
const USER_TIMEOUT_MS: u32 = 30_000;
/// What the kernel may hold of what was sent: nothing overtakes it, so it must be little.
const SEND_BUFFER_BYTES: usize = 32 << 10;

/// Which of its addresses a name may be reached at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AddressRule {
    /// All.
    Any,
    /// Those of this machine.
    Loopback,
    /// Those for which this says yes.
    Only(fn(IpAddr) -> bool),
}

/// Makes TCP connections, through the proxy where there is one.
#[derive(Clone, Debug)]
pub(crate) struct Dialer {
    pub(crate) proxy: Option<ProxyConfig>,
    pub(crate) timeouts: Timeouts,
}

impl Dialer {
    /// A connection to `host`. Behind a proxy it is the proxy that resolves the name, so `rule`
    /// then holds for an address that is given as such only.
    pub(crate) async fn dial(
        &self,
        host: &str,
        port: u16,
        rule: AddressRule,
    ) -> Result<TcpStream, ConnectError> {
        let Some(proxy) = self.proxy.as_ref().filter(|_| !is_loopback(host)) else {
            return self.direct(host, port, rule).await;
        };
        if host.parse().is_ok_and(|address| !rule.allows(address)) {
            return Err(ConnectError::AddressNotAllowed { host: host.to_owned() });
        }
        let stream = self.direct(&proxy.host, proxy.port, AddressRule::Any).await?;
        let tunnel = proxy::open_tunnel(stream, proxy, host, port);
        within("the proxy's answer", self.timeouts.proxy, tunnel).await?
    }

    async fn direct(
        &self,
        host: &str,
        port: u16,
        rule: AddressRule,
    ) -> Result<TcpStream, ConnectError> {
        let addresses = self.resolve(host, port).await?;
        let not_allowed = || ConnectError::AddressNotAllowed { host: host.to_owned() };
        let mut last = Err(not_allowed());
        for address in addresses.into_iter().filter(|address| rule.allows(address.ip())) {
            match self.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    tracing::debug!(%address, %error, "address does not answer");
                    last = Err(error);
                }
            }
        }
        last
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let found = within("resolving a name", self.timeouts.resolve, lookup_host((host, port)));
        let fail = |source| ConnectError::Resolve { host: host.to_owned(), source };
        let found: Vec<SocketAddr> = found.await?.map_err(fail)?.collect();
        Ok(alternating(found))
    }

    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, ConnectError> {
        let stream = within("connecting", self.timeouts.connect, TcpStream::connect(address));
        let fail = |source| ConnectError::Connect { address, source };
        let stream = stream.await?.map_err(fail)?;
        watch_over(&stream).map_err(fail)?;
        Ok(stream)
    }
}

impl AddressRule {
    fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Loopback => address.is_loopback(),
            Self::Only(allows) => allows(address),
        }
    }
}

/// A step with a limit.
pub(super) async fn within<T>(
    step: &'static str,
    after: Duration,
    work: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    timeout(after, work).await.map_err(|_| ConnectError::TimedOut { step, after })
}

/// In the resolver's order, but with the families taking turns: a broken IPv6 costs one timeout.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (ours, others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(ADDRESSES_MAX);
    let (mut ours, mut others) = (ours.into_iter(), others.into_iter());
    loop {
        let turn = [ours.next(), others.next()];
        if turn.iter().all(Option::is_none) {
            break;
        }
        mixed.extend(turn.into_iter().flatten());
    }
    mixed.truncate(ADDRESSES_MAX);
    mixed
}

/// Idle or not, a peer that is gone is noticed within about half a minute.
fn watch_over(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_S)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_S)?;
    setsockopt(stream, sockopt::TcpKeepCount, &KEEPALIVE_COUNT)?;
    setsockopt(stream, sockopt::TcpUserTimeout, &USER_TIMEOUT_MS)?;
    setsockopt(stream, sockopt::SndBuf, &SEND_BUFFER_BYTES)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;
    use tokio::net::TcpListener;

    fn dialer() -> Dialer {
        Dialer { proxy: None, timeouts: Timeouts::default() }
    }

    #[test]
    fn the_families_take_turns_and_their_number_is_bounded() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b) = (address("[2001:db8::1]:1"), address("[2001:db8::2]:1"));
        let (c, d) = (address("192.0.2.1:1"), address("192.0.2.2:1"));
        assert_eq!(alternating(vec![a, b, c, d]), [a, c, b, d]);
        assert_eq!(alternating(vec![c, a, b]), [c, a, b]);
        assert_eq!(alternating(vec![c; 9]).len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn a_connection_is_watched_over() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stream = dialer().dial("127.0.0.1", port, AddressRule::Any).await.unwrap();
        assert!(stream.nodelay().unwrap());
        assert!(getsockopt(&stream, sockopt::KeepAlive).unwrap());
        assert_eq!(getsockopt(&stream, sockopt::TcpKeepIdle).unwrap(), KEEPALIVE_IDLE_S);
        assert_eq!(getsockopt(&stream, sockopt::TcpUserTimeout).unwrap(), USER_TIMEOUT_MS);
    }

    #[tokio::test]
    async fn an_address_outside_the_rule_is_never_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let refused = dialer().dial("localhost", port, AddressRule::Only(|_| false)).await;
        assert!(matches!(refused, Err(ConnectError::AddressNotAllowed { .. })));
        assert!(dialer().dial("localhost", port, AddressRule::Loopback).await.is_ok());
    }
}
