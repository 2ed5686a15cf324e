//! The network behind the default route.

use std::collections::BTreeMap;

use super::{Interface, root::Root};
use crate::status::{Network, NetworkKind};

const RTF_UP: u32 = 0x1;
const RTF_REJECT: u32 = 0x200;
/// Kinds of devices in `/sys/class/net/*/type`, as `linux/if_arp.h` has them.
const ARPHRD_ETHER: u32 = 1;
const ARPHRD_RAWIP: u32 = 519;

struct Route<'a> {
    interface: &'a str,
    metric: u32,
}

/// Of the best default route whose kind is known: that of a tunnel is not, the one below it is.
pub(super) fn read(root: &Root, said: &BTreeMap<String, Interface>) -> Option<Network> {
    let four = root.text("proc/net/route").unwrap_or_default();
    let six = root.text("proc/net/ipv6_route").unwrap_or_default();
    let mut routes: Vec<Route<'_>> = four.lines().filter_map(default_route_4).collect();
    // Both stay in the order of the table where their metrics are equal.
    routes.sort_by_key(|route| route.metric);
    let mut others: Vec<Route<'_>> = six.lines().filter_map(default_route_6).collect();
    others.sort_by_key(|route| route.metric);
    routes.extend(others);
    routes.iter().find_map(|route| network(root, route.interface, said))
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`
fn default_route_4(line: &str) -> Option<Route<'_>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [interface, destination, _, flags, _, _, metric, mask, ..] = fields[..] else {
        return None;
    };
    let is_default = destination == "00000000" && mask == "00000000";
    (is_default && is_usable(flags, interface))
        .then_some(Route { interface, metric: metric.parse().ok()? })
}

/// `destination length source length gateway metric references use flags interface`
fn default_route_6(line: &str) -> Option<Route<'_>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [destination, length, _, _, _, metric, _, _, flags, interface] = fields[..] else {
        return None;
    };
    let is_default = length == "00" && destination.bytes().all(|byte| byte == b'0');
    (is_default && is_usable(flags, interface))
        .then_some(Route { interface, metric: u32::from_str_radix(metric, 16).ok()? })
}

fn is_usable(flags: &str, interface: &str) -> bool {
    let flags = u32::from_str_radix(flags, 16).unwrap_or(0);
    // The name becomes part of a path.
    flags & RTF_UP != 0 && flags & RTF_REJECT == 0 && interface != "lo" && !interface.contains('/')
}

fn network(root: &Root, name: &str, said: &BTreeMap<String, Interface>) -> Option<Network> {
    let said = said.get(name).copied().unwrap_or_default();
    let kind = said.kind.or_else(|| kind(root, name))?;
    let rssi_dbm = (kind == NetworkKind::Wifi).then(|| signal(root, name)).flatten();
    let metered = said.metered.unwrap_or(kind == NetworkKind::Cellular);
    Some(Network { kind, rssi_dbm, metered })
}

fn kind(root: &Root, name: &str) -> Option<NetworkKind> {
    let folder = format!("sys/class/net/{name}");
    let uevent = root.text(&format!("{folder}/uevent")).unwrap_or_default();
    let device_type = uevent.lines().find_map(|line| line.strip_prefix("DEVTYPE="));
    let is_wifi = ["wireless", "phy80211"].iter().any(|n| root.exists(&format!("{folder}/{n}")));
    match (device_type, root.number::<u32>(&format!("{folder}/type"))) {
        (Some("wlan"), _) => Some(NetworkKind::Wifi),
        _ if is_wifi => Some(NetworkKind::Wifi),
        (Some("wwan"), _) | (_, Some(ARPHRD_RAWIP)) => Some(NetworkKind::Cellular),
        (_, Some(ARPHRD_ETHER)) => Some(NetworkKind::Ethernet),
        _ => None,
    }
}

/// `wlan0: 0000   54.  -56.  -256 …`: the third figure is the level in dBm, where it is negative.
fn signal(root: &Root, name: &str) -> Option<i16> {
    let table = root.text("proc/net/wireless")?;
    let values = table.lines().find_map(|line| {
        let (interface, values) = line.split_once(':')?;
        (interface.trim() == name).then_some(values)
    })?;
    let level = values.split_whitespace().nth(2)?.trim_end_matches('.').parse().ok()?;
    (-150..0).contains(&level).then_some(level)
}
