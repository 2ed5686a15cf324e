//! Tells when the network has come up, so that nobody waits longer than needed to reconnect.
//!
//! The kernel tells; nothing is polled. Addresses need no watching of their own: with each comes a
//! route, and renewing a lease or a prefix would wake the process for nothing.

use std::{collections::BTreeSet, io, os::fd::AsRawFd, os::unix::net, time::Duration};

use nix::{
    errno::Errno,
    sys::socket::{AddressFamily, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, socket},
};
use tokio::{net::UnixDatagram, time::Instant};

/// Changes that come in a burst are one change.
const SETTLE: Duration = Duration::from_millis(500);
/// Interfaces whose state is remembered.
const INTERFACES_MAX: usize = 64;

/// `RTMGRP_LINK | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE` of rtnetlink(7).
const GROUPS: u32 = 0x1 | 0x40 | 0x400;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWROUTE: u16 = 24;
const IFF_RUNNING: u32 = 0x40;
const HEADER_BYTES: usize = 16;
/// Bytes read at once; of a longer message the rest is lost, but not its header.
const MESSAGES_BYTES_MAX: usize = 4 << 10;

/// Changes of the network for the better.
#[derive(Debug)]
pub struct Changes {
    socket: Option<UnixDatagram>,
    interfaces: Interfaces,
    /// When a burst of changes will have settled.
    settled: Option<Instant>,
}

/// Watches the network from now on. Without netlink nothing is ever reported.
pub fn changes() -> Changes {
    let socket = open().inspect_err(|error| {
        tracing::debug!(%error, "cannot watch the network, waits will last their time");
    });
    Changes { socket: socket.ok(), interfaces: Interfaces::default(), settled: None }
}

impl Changes {
    /// Returns when an interface or a route has come up. Can be dropped at any time.
    pub async fn came_up(&mut self) {
        loop {
            let Some(settled) = self.settled else {
                self.something_up().await;
                self.settled = Some(Instant::now() + SETTLE);
                continue;
            };
            tokio::select! {
                () = self.something_up() => {}
                () = tokio::time::sleep_until(settled) => {
                    self.settled = None;
                    return;
                }
            }
        }
    }

    async fn something_up(&mut self) {
        let Self { socket: Some(socket), interfaces, .. } = self else {
            return std::future::pending().await;
        };
        let mut bytes = [0; MESSAGES_BYTES_MAX];
        loop {
            match socket.recv(&mut bytes).await {
                Ok(count) if interfaces.learn(bytes.get(..count).unwrap_or_default()) => return,
                Ok(_) => {}
                // The kernel dropped some: it may have been the one that matters.
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => return,
                Err(error) => {
                    tracing::debug!(%error, "cannot watch the network any more");
                    return self.give_up().await;
                }
            }
        }
    }

    async fn give_up(&mut self) {
        self.socket = None;
        std::future::pending().await
    }
}

/// A netlink socket in the clothes of a Unix datagram socket: receiving is the same system call,
/// and the runtime offers no other safe way to wait for a socket of a kind that it does not know.
fn open() -> io::Result<UnixDatagram> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let protocol = SockProtocol::NetlinkRoute;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
    UnixDatagram::from_std(net::UnixDatagram::from(fd))
}

/// Which interfaces have a carrier.
#[derive(Debug, Default)]
struct Interfaces {
    running: BTreeSet<u32>,
}

impl Interfaces {
    /// Whether these netlink messages tell that something came up.
    fn learn(&mut self, mut bytes: &[u8]) -> bool {
        let mut up = false;
        while let Some((length, kind)) = header(bytes) {
            let body = bytes.get(HEADER_BYTES..length).unwrap_or_default();
            up |= match kind {
                RTM_NEWROUTE => true,
                RTM_NEWLINK | RTM_DELLINK => self.learn_link(kind, body),
                _ => false,
            };
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        up
    }

    /// A link is told of again and again; only the change to running counts.
    fn learn_link(&mut self, kind: u16, body: &[u8]) -> bool {
        let (Some(index), Some(flags)) = (number(body, 4), number(body, 8)) else { return false };
        if kind == RTM_DELLINK || flags & IFF_RUNNING == 0 {
            self.running.remove(&index);
            return false;
        }
        self.running.len() < INTERFACES_MAX && self.running.insert(index)
    }
}

/// Length and type of the first message.
fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = usize::try_from(number(bytes, 0)?).ok()?;
    let kind = bytes.get(4..6)?.first_chunk().copied().map(u16::from_ne_bytes)?;
    (HEADER_BYTES..=bytes.len()).contains(&length).then_some((length, kind))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = (HEADER_BYTES + body.len()) as u32;
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(body);
        bytes
    }

    fn link(kind: u16, index: u32, flags: u32) -> Vec<u8> {
        let numbers = [0, index, flags, 0];
        message(kind, &numbers.map(u32::to_ne_bytes).concat())
    }

    #[test]
    fn an_interface_comes_up_once_until_it_has_gone_down() {
        let mut interfaces = Interfaces::default();
        assert!(!interfaces.learn(&link(RTM_NEWLINK, 2, 1)));
        assert!(interfaces.learn(&link(RTM_NEWLINK, 2, 1 | IFF_RUNNING)));
        assert!(!interfaces.learn(&link(RTM_NEWLINK, 2, 1 | IFF_RUNNING)));
        assert!(!interfaces.learn(&link(RTM_NEWLINK, 2, 1)));
        assert!(interfaces.learn(&link(RTM_NEWLINK, 2, 1 | IFF_RUNNING)));
        assert!(!interfaces.learn(&link(RTM_DELLINK, 2, 1 | IFF_RUNNING)));
        assert!(interfaces.learn(&link(RTM_NEWLINK, 2, 1 | IFF_RUNNING)));
    }

    #[test]
    fn a_route_counts_wherever_it_stands_and_garbage_does_not() {
        let mut interfaces = Interfaces::default();
        let both = [message(25, &[0; 12]), message(RTM_NEWROUTE, &[0; 12])].concat();
        assert!(interfaces.learn(&both));
        assert!(!interfaces.learn(&both[..30]));
        for garbage in [&[][..], &[0; 40], &[255; 40], &[17, 0, 0, 0, 24, 0]] {
            assert!(!interfaces.learn(garbage));
        }
    }

    #[tokio::test]
    async fn the_kernel_lets_itself_be_asked() {
        assert!(changes().socket.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_one_change_and_silence_is_none() {
        let (kernel, socket) = UnixDatagram::pair().unwrap();
        let interfaces = Interfaces::default();
        let mut changes = Changes { socket: Some(socket), interfaces, settled: None };
        for _ in 0..3 {
            kernel.send(&message(RTM_NEWROUTE, &[0; 12])).await.unwrap();
        }
        changes.came_up().await;
        let silence = tokio::time::timeout(Duration::from_secs(3600), changes.came_up()).await;
        assert!(silence.is_err());
    }
}
