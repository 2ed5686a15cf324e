//! A snapshot of the hardware.

use super::{
    MockTerminal, screen,
    script::{Method, Script},
    shared::Shared,
    totals::CURRENCY,
};
use crate::{
    Timestamp,
    api::{HalFuture, Health},
    status::{Batch, OfflineQueue, PowerSource, TerminalHealth},
};

const MINUTE_MS: u64 = 60_000;
/// The terminal is carried around this long, then it is put into its dock.
const CARRIED_MS: u64 = 5 * 60 * MINUTE_MS;
/// It stays in the dock this long.
const DOCKED_MS: u64 = 60 * MINUTE_MS;
/// Charge when it is taken out of the dock, in percent.
const LEVEL_MAX: u64 = 96;
/// What it has lost when it is put back, in percent.
const LEVEL_DROP: u64 = 40;

impl Health for MockTerminal {
    fn health(&self) -> HalFuture<'_, TerminalHealth> {
        Box::pin(self.perform(Method::Health, None, |shared| Ok(snapshot(shared))))
    }
}

fn snapshot(shared: &Shared) -> TerminalHealth {
    let (script, state) = (shared.script(), &shared.state);
    let (battery_level, power) = power(&script, shared.seed, shared.now);
    TerminalHealth {
        battery_level,
        power: Some(power),
        network: script.network,
        storage_free_bytes: None,
        temperature_c: None,
        printer: Some(script.printer),
        offline_queue: Some(OfflineQueue {
            count: count(state.offline.len()),
            amount: state.offline.iter().map(|payment| payment.sale + payment.tip).sum(),
            currency: CURRENCY.to_owned(),
            oldest_at: state.offline.first().map(|payment| payment.at),
        }),
        batch: Some(Batch {
            id: state.batch.id(),
            opened_at: state.batch.opened_at,
            count: count(state.batch.payments.len()),
        }),
        payment_active: shared.live.payment.is_some(),
        locked: state.lock.is_some(),
        tampered: script.tampered,
        screen: Some(screen::view(shared)),
        lock_unconfirmed: false,
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Charge and power source: simulated as far as the script leaves them open.
pub(super) fn power(script: &Script, seed: u64, now: Timestamp) -> (Option<u8>, PowerSource) {
    let (level, source) = simulated(seed, now);
    if script.no_battery {
        return (None, script.power.unwrap_or(PowerSource::Mains));
    }
    let source = match (script.power, script.battery_level) {
        (Some(source), _) => source,
        (None, Some(_)) => PowerSource::Battery,
        (None, None) => source,
    };
    (Some(script.battery_level.unwrap_or(level)), source)
}

/// Loses charge while it is carried around and gains it in the dock, over and over.
fn simulated(seed: u64, now: Timestamp) -> (u8, PowerSource) {
    let shift = seed.wrapping_mul(17) % (CARRIED_MS / MINUTE_MS) * MINUTE_MS;
    let at = now.unix_ms().saturating_add(shift) % (CARRIED_MS + DOCKED_MS);
    let (lost, source) = if at < CARRIED_MS {
        (LEVEL_DROP * at / CARRIED_MS, PowerSource::Battery)
    } else {
        let gained = LEVEL_DROP * (at - CARRIED_MS) / DOCKED_MS;
        (LEVEL_DROP - gained, PowerSource::Charging)
    };
    (u8::try_from(LEVEL_MAX - lost).unwrap_or(100), source)
}
