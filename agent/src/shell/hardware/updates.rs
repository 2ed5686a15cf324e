//! Updates of the whole system, which look at the rest of the terminal.

use std::sync::Arc;

use terminal_hal::{
    ErrorCode, Failure, Timestamp,
    api::{Firmware, Health, Power},
    child::Runner,
    firmware::{Folder, SlotFirmware, Source as UpdateBytes, Surroundings, Time},
};

use super::unusable::UnusableFirmware;
use crate::{
    config::{Config, UpdateSource, UpdatesConfig},
    downloads::HttpsSource,
    link::{Trust, VerificationClock},
    sys,
};

/// What the configuration describes; what refuses every update where its records cannot be read.
pub(super) fn firmware(
    config: &Config,
    updates: &UpdatesConfig,
    power: Arc<dyn Power>,
    health: Option<Arc<dyn Health>>,
    time: &Arc<VerificationClock>,
    runner: Runner,
) -> Arc<dyn Firmware> {
    let clock = Arc::clone(time);
    let around = Surroundings {
        source: source(config, &updates.source, time),
        power,
        health,
        clock: Arc::new(move || Time {
            now: Timestamp::from_unix_ms(clock.now().as_secs().saturating_mul(1000)),
            is_trusted: sys::clock_is_synchronised(),
        }),
        runner,
    };
    match SlotFirmware::open(updates.firmware.clone(), around) {
        Ok(firmware) => Arc::new(firmware),
        // The rest of the terminal must stay within reach.
        Err(error) => {
            let folder = updates.firmware.directory.display();
            let reason = format!("the records of updates in {folder} cannot be read: {error}");
            tracing::error!(reason, "no update is taken until somebody has looked");
            Arc::new(UnusableFirmware(Failure::new(ErrorCode::DeviceFault, reason)))
        }
    }
}

fn source(
    config: &Config,
    source: &UpdateSource,
    clock: &Arc<VerificationClock>,
) -> Arc<dyn UpdateBytes> {
    match source {
        UpdateSource::Folder(folder) => Arc::new(Folder(folder.clone())),
        UpdateSource::Https { url, ca_file, allow_private_addresses } => Arc::new(HttpsSource {
            url: url.clone(),
            trust: Trust { ca_file: ca_file.clone(), crl_file: None },
            proxy: config.link.proxy.clone(),
            timeouts: config.link.timeouts,
            clock: Arc::clone(clock),
            allow_private_addresses: *allow_private_addresses,
        }),
    }
}
