//! Updates on offer, and whether one may be installed now.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

use super::{
    health::power,
    script::{Offer, Script},
    shared::Shared,
    state::FirmwareState,
};
use crate::{
    ErrorCode, Failure,
    operation::{
        UpdateParameters,
        check_update::{AvailableUpdate, Channel, Component, ComponentVersion},
        update::Apply,
    },
    status::PowerSource,
    version::compare,
};

/// Nothing older is ever installed, whatever the parameters allow: the terminal's own rule.
const VERSION_FLOOR: &str = "3.14.0";
/// Charge below which an installation is blocked, as `check_update` sees it.
const BATTERY_PERCENT_MIN: u8 = 50;
const MINUTE_S: u32 = 60;

/// What an installation would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Nothing: that version runs.
    Running,
    /// Install that many bytes of that version.
    Install { version: String, bytes: u64 },
}

/// The offers of a script, or the simulated ones.
fn offers(script: &Script) -> Vec<Offer> {
    script.updates.clone().unwrap_or_else(|| {
        let fix = Offer { security_fix: true, ..Offer::firmware(Channel::Stable, "3.15.0") };
        vec![fix, Offer::firmware(Channel::Beta, "3.16.0-beta.1")]
    })
}

/// What runs now.
pub(super) fn current(firmware: &FirmwareState) -> Vec<ComponentVersion> {
    vec![
        ComponentVersion { component: Component::Firmware, version: firmware.running().to_owned() },
        ComponentVersion {
            component: Component::Application,
            version: firmware.application.clone(),
        },
    ]
}

/// What could be installed: offers of the channel that are newer than what runs. Beta has the
/// stable ones as well.
pub(super) fn available(
    script: &Script,
    current: &[ComponentVersion],
    channel: Channel,
) -> Vec<AvailableUpdate> {
    offers(script)
        .iter()
        .filter(|offer| offer.channel == Channel::Stable || channel == Channel::Beta)
        .filter(|offer| {
            let running = current.iter().find(|running| running.component == offer.component);
            running.is_none_or(|r| compare(&offer.version, &r.version) != Some(Ordering::Less))
                && running.is_none_or(|running| running.version != offer.version)
        })
        .map(update)
        .collect()
}

fn update(offer: &Offer) -> AvailableUpdate {
    let name = format!("{:?} {}", offer.component, offer.version);
    let digest = Sha256::digest(name.as_bytes());
    AvailableUpdate {
        component: offer.component,
        version: offer.version.clone(),
        size_bytes: offer.size_bytes,
        sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        mandatory: offer.mandatory,
        required_at: offer.required_at,
        estimated_s: Some(4 * MINUTE_S),
        requires_reboot: offer.component == Component::Firmware,
        notes_url: None,
        security_fix: offer.security_fix,
    }
}

/// What that request would install.
pub(super) fn target(
    script: &Script,
    firmware: &FirmwareState,
    parameters: &UpdateParameters,
) -> Result<Target, Failure> {
    let running = firmware.running();
    let offers = offers(script);
    let firmware_offers = offers.iter().filter(|offer| offer.component == Component::Firmware);
    let Some(version) = parameters.version.as_deref() else {
        let newest = firmware_offers
            .filter(|offer| offer.channel == Channel::Stable)
            .filter(|offer| compare(&offer.version, running) == Some(Ordering::Greater))
            .reduce(|a, b| match compare(&a.version, &b.version) {
                Some(Ordering::Less) => b,
                Some(Ordering::Equal | Ordering::Greater) | None => a,
            });
        return Ok(newest.map_or(Target::Running, |offer| Target::Install {
            version: offer.version.clone(),
            bytes: offer.size_bytes,
        }));
    };
    if version == running {
        return Ok(Target::Running);
    }
    check_downgrade(version, running, parameters.allow_downgrade)?;
    let offered = firmware_offers.into_iter().find(|offer| offer.version == version);
    let bytes = offered.map(|offer| offer.size_bytes);
    // What is in the other slot needs no download.
    let bytes = bytes.or((firmware.standby() == version).then_some(0));
    bytes.map(|bytes| Target::Install { version: version.to_owned(), bytes }).ok_or_else(|| {
        Failure::new(ErrorCode::NoUpdate, format!("version {version} is not on offer"))
    })
}

fn check_downgrade(version: &str, running: &str, allowed: bool) -> Result<(), Failure> {
    if compare(version, running) != Some(Ordering::Less) {
        return Ok(());
    }
    if !allowed {
        let reason = format!("{version} is older than {running}, which runs");
        return Err(Failure::new(ErrorCode::DowngradeRefused, reason));
    }
    if compare(version, VERSION_FLOOR) == Some(Ordering::Less) {
        let reason = format!("{version} is older than {VERSION_FLOOR}, the oldest allowed");
        return Err(Failure::new(ErrorCode::DowngradeRefused, reason));
    }
    Ok(())
}

/// Refuses an installation that should not begin now.
pub(super) fn check_ready(shared: &Shared, parameters: &UpdateParameters) -> Result<(), Failure> {
    let script = shared.script();
    check_battery(shared, parameters.min_battery_percent)?;
    let Some(network) = script.network else {
        return Err(Failure::new(ErrorCode::NetworkUnavailable, "there is no network"));
    };
    if network.metered && !parameters.allow_metered {
        let reason = "the network is metered and the update may not use it";
        return Err(Failure::new(ErrorCode::NetworkUnavailable, reason));
    }
    match parameters.apply {
        Apply::Now => Ok(()),
        Apply::Window if script.window_open => Ok(()),
        Apply::Window => {
            let reason = "the maintenance window is closed";
            Err(Failure::new(ErrorCode::OutsideWindow, reason)
                .with_retry_after_s(script.window_opens_in_s))
        }
        Apply::OnIdle if shared.live.payment.is_some() => {
            Err(Failure::new(ErrorCode::BusyPayment, "a payment is in progress"))
        }
        Apply::OnIdle => Ok(()),
    }
}

fn check_battery(shared: &Shared, percent_min: u8) -> Result<(), Failure> {
    let (level, source) = power(&shared.script(), shared.seed, shared.now);
    let mains = matches!(source, PowerSource::Mains | PowerSource::Charging);
    match level {
        Some(level) if level < percent_min && !mains => {
            let reason = format!("battery at {level} percent without mains, want {percent_min}");
            Err(Failure::new(ErrorCode::LowBattery, reason))
        }
        Some(_) | None => Ok(()),
    }
}

/// Why an installation would be refused now.
pub(super) fn blocked_by(shared: &Shared) -> Vec<ErrorCode> {
    let script = shared.script();
    let blocks = [
        (check_battery(shared, BATTERY_PERCENT_MIN).is_err(), ErrorCode::LowBattery),
        (!script.window_open, ErrorCode::OutsideWindow),
        (shared.live.payment.is_some(), ErrorCode::BusyPayment),
    ];
    blocks.into_iter().filter_map(|(blocked, code)| blocked.then_some(code)).collect()
}
