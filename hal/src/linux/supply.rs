//! Batteries and mains, from `/sys/class/power_supply`.

use super::root::Root;
use crate::status::PowerSource;

const FOLDER: &str = "sys/class/power_supply";

/// What a battery does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Charging,
    Discharging,
    /// Full, or kept from charging: something else feeds the device.
    Resting,
}

struct Battery {
    flow: Option<Flow>,
    percent: Option<u64>,
    /// Charge now and when full, in a unit of its own.
    charge: Option<(u64, u64)>,
}

/// Charge in percent, and where the power comes from.
pub(super) fn read(root: &Root) -> (Option<u8>, Option<PowerSource>) {
    let mut batteries = Vec::new();
    let mut mains = Vec::new();
    for name in root.entries(FOLDER) {
        let supply = format!("{FOLDER}/{name}");
        // A keyboard's battery is not the terminal's.
        if root.text(&format!("{supply}/scope")).as_deref() == Some("Device") {
            continue;
        }
        match root.text(&format!("{supply}/type")).as_deref() {
            Some("Battery") => batteries.extend(battery(root, &supply)),
            Some(_) => mains.extend(root.number::<u8>(&format!("{supply}/online")).map(|n| n > 0)),
            None => {}
        }
    }
    (level(&batteries), source(&batteries, &mains))
}

/// `None` for an empty compartment.
fn battery(root: &Root, supply: &str) -> Option<Battery> {
    let number = |file: &str| root.number::<u64>(&format!("{supply}/{file}"));
    if number("present") == Some(0) {
        return None;
    }
    let flow = match root.text(&format!("{supply}/status")).as_deref() {
        Some("Charging") => Some(Flow::Charging),
        Some("Discharging") => Some(Flow::Discharging),
        Some("Full" | "Not charging") => Some(Flow::Resting),
        _ => None,
    };
    let of = |unit: &str| {
        let full = number(&format!("{unit}_full")).filter(|full| *full > 0)?;
        Some((number(&format!("{unit}_now"))?, full))
    };
    let percent = number("capacity").filter(|percent| *percent <= 100);
    Some(Battery { flow, percent, charge: of("energy").or_else(|| of("charge")) })
}

/// That of one battery as it says itself; of several as they weigh, if that is known of all.
fn level(batteries: &[Battery]) -> Option<u8> {
    let percent = |battery: &Battery| {
        battery.percent.or_else(|| battery.charge.map(|(now, full)| percent_of(now, full)))
    };
    let level = match batteries {
        [] => None,
        [battery] => percent(battery),
        several => {
            let charges: Option<Vec<_>> = several.iter().map(|battery| battery.charge).collect();
            match charges {
                Some(charges) => {
                    let now = charges.iter().map(|(now, _)| now).sum();
                    Some(percent_of(now, charges.iter().map(|(_, full)| full).sum()))
                }
                None => {
                    let known: Option<Vec<u64>> = several.iter().map(percent).collect();
                    known.map(|known| known.iter().sum::<u64>() / several.len() as u64)
                }
            }
        }
    };
    level.and_then(|level| u8::try_from(level.min(100)).ok())
}

fn percent_of(now: u64, full: u64) -> u64 {
    now.saturating_mul(100).checked_div(full).unwrap_or(0)
}

/// `mains` says of each supply whether it is connected.
fn source(batteries: &[Battery], mains: &[bool]) -> Option<PowerSource> {
    let any = |flow| batteries.iter().any(|battery| battery.flow == Some(flow));
    let is_fed = mains.contains(&true);
    if any(Flow::Charging) {
        Some(PowerSource::Charging)
    } else if any(Flow::Discharging) {
        Some(if is_fed { PowerSource::Insufficient } else { PowerSource::Battery })
    } else if is_fed {
        Some(PowerSource::Mains)
    } else if batteries.is_empty() {
        // Something feeds it that the kernel does not show.
        None
    } else if !mains.is_empty() {
        Some(PowerSource::Battery)
    } else {
        any(Flow::Resting).then_some(PowerSource::Mains)
    }
}
