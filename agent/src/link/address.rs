//! Which addresses are on the public internet: what the cloud or a file names must be.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is public. What is reserved, local, shared or only wraps such an address
/// is not: nothing that is named elsewhere may reach a neighbour of the terminal.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let reserved = match address.octets() {
        [0, ..] | [192, 0, 0, _] => true,
        [100, b, ..] => b & 0xc0 == 64,
        [198, b, ..] => b & 0xfe == 18,
        [a, ..] => a >= 240,
    };
    !(reserved
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation())
}

/// Only 2000::/3 is given out; of that, what wraps an IPv4 address counts as that address.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let wrapped = |high: u16, low: u16| {
        let bits = u32::from(high) << 16 | u32::from(low);
        is_public_v4(Ipv4Addr::from_bits(bits))
    };
    match address.segments() {
        // Mapped, and NAT64 with the well-known prefix, of which a network of today lives.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            wrapped(high, low)
        }
        [0x2002, high, low, ..] => wrapped(high, low),
        // Teredo, benchmarking, ORCHID and documentation.
        [0x2001, second, ..] => !(second < 0x200 || second == 0xdb8),
        [0x3fff, second, ..] => second >= 0x1000,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public_however_they_are_wrapped() {
        let public =
            ["8.8.8.8", "100.128.0.1", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::808:808"];
        for address in public {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
        let private = [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:a00:1::1",
            "2002:c0a8:101::",
            "3fff::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }
}
