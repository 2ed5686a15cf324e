//! Batteries, networks and temperatures as real devices show them, and as broken ones do.

use super::*;
use crate::{
    ErrorCode,
    status::{Network, NetworkKind, PowerSource, TerminalHealth},
};

async fn health(system: &System) -> TerminalHealth {
    system.hal().health.unwrap().health().await.unwrap()
}

/// Files of one power supply.
fn supply(system: System, name: &str, files: &[(&str, &str)]) -> System {
    let path = |file: &str| format!("sys/class/power_supply/{name}/{file}");
    let files: Vec<_> = files.iter().map(|(file, text)| (path(file), *text)).collect();
    let files: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), *text)).collect();
    system.with(&files)
}

fn battery(system: System, name: &str, status: &str, capacity: &str) -> System {
    let present = ("present", "1");
    let files = [("type", "Battery"), ("status", status), ("capacity", capacity), present];
    supply(system, name, &files)
}

fn mains(system: System, online: &str) -> System {
    supply(system, "ac", &[("type", "Mains"), ("online", online)])
}

#[tokio::test]
async fn one_battery_and_mains_tell_charge_and_source() {
    for (status, online, want) in [
        ("Charging", "1", Some(PowerSource::Charging)),
        ("Full", "1", Some(PowerSource::Mains)),
        ("Not charging", "1", Some(PowerSource::Mains)),
        ("Discharging", "0", Some(PowerSource::Battery)),
        ("Discharging", "1", Some(PowerSource::Insufficient)),
        ("Full", "0", Some(PowerSource::Battery)),
        ("Unknown", "1", Some(PowerSource::Mains)),
        ("Unknown", "0", Some(PowerSource::Battery)),
    ] {
        let health = health(&mains(battery(System::new(), "BAT0", status, "83"), online)).await;
        assert_eq!((health.battery_level, health.power), (Some(83), want), "{status} {online}");
    }
}

#[tokio::test]
async fn a_battery_alone_tells_what_it_does() {
    for (status, want) in [
        ("Charging", Some(PowerSource::Charging)),
        ("Discharging", Some(PowerSource::Battery)),
        ("Full", Some(PowerSource::Mains)),
        ("Unknown", None),
        ("", None),
    ] {
        let health = health(&battery(System::new(), "battery", status, "83")).await;
        assert_eq!((health.battery_level, health.power), (Some(83), want), "{status}");
    }
}

#[tokio::test]
async fn two_batteries_weigh_as_much_as_they_hold() {
    let energy = |now, full| [("type", "Battery"), ("energy_now", now), ("energy_full", full)];
    let system = supply(System::new(), "BAT0", &energy("9000000", "10000000"));
    let system = supply(system, "BAT1", &energy("0", "20000000"));
    assert_eq!(health(&system).await.battery_level, Some(30));
    // Without what they hold, each counts as much as the other.
    let system = battery(battery(System::new(), "BAT0", "Full", "90"), "BAT1", "Charging", "20");
    let health_of_both = health(&system).await;
    assert_eq!(health_of_both.battery_level, Some(55));
    assert_eq!(health_of_both.power, Some(PowerSource::Charging));
    // An average without one of them would be made up.
    let system = battery(battery(System::new(), "BAT0", "Full", "90"), "BAT1", "Full", "?");
    assert_eq!(health(&system).await.battery_level, None);
}

#[tokio::test]
async fn what_has_no_battery_has_none() {
    let usb = [("type", "USB"), ("online", "1"), ("usb_type", "C [PD]")];
    let fed = health(&supply(System::new(), "usb-c", &usb)).await;
    assert_eq!((fed.battery_level, fed.power), (None, Some(PowerSource::Mains)));
    // Something that the kernel does not show feeds it.
    let unplugged = health(&mains(System::new(), "0")).await;
    assert_eq!((unplugged.battery_level, unplugged.power), (None, None));
    let nothing = health(&System::new()).await;
    assert_eq!((nothing.battery_level, nothing.power), (None, None));
    let empty = [("type", "Battery"), ("present", "0"), ("capacity", "0"), ("status", "Unknown")];
    let compartment = health(&mains(supply(System::new(), "BAT0", &empty), "1")).await;
    assert_eq!((compartment.battery_level, compartment.power), (None, Some(PowerSource::Mains)));
    let mouse = [("type", "Battery"), ("scope", "Device"), ("capacity", "5"), ("status", "Full")];
    assert_eq!(health(&supply(System::new(), "hid", &mouse)).await.battery_level, None);
}

#[tokio::test]
async fn garbage_is_unknown() {
    let long = "9".repeat(100_000);
    for capacity in ["", "-5", "101", "83%", "eighty", &long] {
        let health = health(&battery(System::new(), "BAT0", "Glowing", capacity)).await;
        assert_eq!((health.battery_level, health.power), (None, None), "{capacity:.9}");
    }
    let system = System::new();
    // A folder where a file should be cannot be read.
    fs::create_dir_all(system.path("sys/class/power_supply/BAT0/type")).unwrap();
    assert_eq!(health(&system).await.battery_level, None);
    let system = supply(
        System::new(),
        "BAT0",
        &[("type", "Battery"), ("charge_now", "5"), ("charge_full", "0")],
    );
    assert_eq!(health(&system).await.battery_level, None);
}

const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
    wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
    eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
    eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0";
const WIRELESS: &str = "Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE\n \
    face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22\n \
    wlan0: 0000   54.  -56.  -256        0      0      0      0      0        0";

fn ethernet() -> (&'static str, &'static str) {
    ("sys/class/net/eth0/type", "1")
}

fn wifi() -> [(&'static str, &'static str); 3] {
    [
        ("sys/class/net/wlan0/type", "1"),
        ("sys/class/net/wlan0/uevent", "DEVTYPE=wlan\nINTERFACE=wlan0\nIFINDEX=3"),
        ("proc/net/wireless", WIRELESS),
    ]
}

async fn network(system: System, routes: &str) -> Option<Network> {
    health(&system.with(&[("proc/net/route", routes)])).await.network
}

#[tokio::test]
async fn the_network_is_that_of_the_best_default_route() {
    let both = || System::new().with(&[ethernet()]).with(&wifi());
    let kind = |kind| Some(Network { kind, rssi_dbm: None, metered: false });
    assert_eq!(network(both(), ROUTES).await, kind(NetworkKind::Ethernet));
    let without_cable: Vec<&str> = ROUTES.lines().take(2).collect();
    let wifi = Some(Network { kind: NetworkKind::Wifi, rssi_dbm: Some(-56), metered: false });
    assert_eq!(network(both(), &without_cable.join("\n")).await, wifi);
    // A route that is down or a dead end carries nothing.
    for flags in ["0002", "0201"] {
        let routes = ROUTES.replace("0102A8C0\t0003", &format!("0102A8C0\t{flags}"));
        assert_eq!(network(both(), &routes).await, wifi, "{flags}");
    }
    for garbage in ["", "Iface", "eth0 00000000", &ROUTES.replace('\t', "")] {
        assert_eq!(network(both(), garbage).await, None, "{garbage}");
    }
}

#[tokio::test]
async fn a_network_of_version_6_alone_is_one() {
    const SIX: &str = "fe800000000000000000000000000000 40 \
        00000000000000000000000000000000 00 00000000000000000000000000000000 \
        00000100 00000001 00000000 00000001     eth0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        fe80000000000000021122fffe334455 00000400 00000001 00000000 00000003     eth0\n\
        00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
        00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo";
    let system = System::new().with(&[ethernet(), ("proc/net/ipv6_route", SIX)]);
    assert_eq!(health(&system).await.network.unwrap().kind, NetworkKind::Ethernet);
}

#[tokio::test]
async fn a_modem_is_metered_and_what_cannot_be_seen_can_be_said() {
    let routes = |name: &str| ROUTES.replace("eth0", name);
    let modem = || {
        System::new().with(&[
            ("sys/class/net/wwan0/type", "65534"),
            ("sys/class/net/wwan0/uevent", "DEVTYPE=wwan\nINTERFACE=wwan0"),
        ])
    };
    let cellular = |metered| Some(Network { kind: NetworkKind::Cellular, rssi_dbm: None, metered });
    assert_eq!(network(modem(), &routes("wwan0")).await, cellular(true));
    let mut flat = modem();
    let free = Interface { kind: None, metered: Some(false) };
    flat.config.interfaces.insert("wwan0".to_owned(), free);
    assert_eq!(network(flat, &routes("wwan0")).await, cellular(false));
    let raw = System::new().with(&[("sys/class/net/qmi0/type", "519")]);
    assert_eq!(network(raw, &routes("qmi0")).await, cellular(true));
    // One that passes for a cable.
    let mut usb = System::new().with(&[("sys/class/net/usb0/type", "1")]);
    let said = Interface { kind: Some(NetworkKind::Cellular), metered: None };
    usb.config.interfaces.insert("usb0".to_owned(), said);
    assert_eq!(network(usb, &routes("usb0")).await, cellular(true));
    // Below a tunnel is what carries it.
    let tunnel = System::new().with(&[("sys/class/net/tun0/type", "65534")]).with(&wifi());
    assert_eq!(network(tunnel, &routes("tun0")).await.unwrap().kind, NetworkKind::Wifi);
    let unknown = System::new().with(&[("sys/class/net/ppp0/type", "512")]);
    assert_eq!(network(unknown, &routes("ppp0")).await, None);
}

#[tokio::test]
async fn a_signal_that_is_none_is_unknown() {
    for (level, want) in [("-56.", Some(-56)), ("70.", None), ("-200.", None), ("x", None)] {
        let table = WIRELESS.replace("-56.", level);
        let system = System::new().with(&wifi()).with(&[("proc/net/wireless", &table)]);
        let routes = ROUTES.replace("eth0", "tun0");
        assert_eq!(network(system, &routes).await.unwrap().rssi_dbm, want, "{level}");
    }
}

#[tokio::test]
async fn the_temperature_is_that_of_the_hottest_zone_that_makes_sense() {
    let system = System::new().with(&[
        ("sys/class/thermal/thermal_zone0/temp", "41950"),
        ("sys/class/thermal/thermal_zone1/temp", "38000"),
        ("sys/class/thermal/thermal_zone2/temp", "-273000"),
        ("sys/class/thermal/thermal_zone3/temp", "220000"),
        ("sys/class/thermal/thermal_zone4/temp", "broken"),
        ("sys/class/thermal/cooling_device0/temp", "99000"),
    ]);
    assert_eq!(health(&system).await.temperature_c, Some(41));
    assert_eq!(health(&System::new()).await.temperature_c, None);
}

#[tokio::test]
async fn free_space_is_that_of_the_disk_or_unknown() {
    let mut system = System::new();
    assert!(health(&system).await.storage_free_bytes.is_some_and(|bytes| bytes > 0));
    system.config.disk = system.path("no/such/place");
    assert_eq!(health(&system).await.storage_free_bytes, None);
}

#[tokio::test]
async fn a_driver_that_hangs_costs_one_thread_and_is_named() {
    let system = System::new();
    let runner = Runner::open(system.path("children")).unwrap();
    let linux = Linux {
        root: Root::at(&system.config.root),
        config: Arc::new(system.config.clone()),
        runner,
        reading: Arc::default(),
    };
    let hanging = linux.reading.clone().try_lock_owned().unwrap();
    let health = crate::api::Health::health(&linux).await;
    assert_eq!(health.unwrap_err().code, ErrorCode::HalUnavailable);
    drop(hanging);
    crate::api::Health::health(&linux).await.unwrap();
}
