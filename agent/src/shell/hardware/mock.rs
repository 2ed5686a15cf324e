//! The simulated terminal, when the configuration names it.

use std::sync::Arc;

use terminal_hal::{
    api::Hal,
    mock::{MockConfig, MockTerminal},
};
use tokio::sync::Notify;

use super::RunError;
use crate::config::{Config, Source};

/// Everything that it can do; nothing when no capability comes from it.
pub(super) fn open(config: &Config, rebooting: &Arc<Notify>) -> Result<Hal, RunError> {
    if !config.hal.uses(|source| source == Source::Mock) {
        return Ok(Hal::default());
    }
    tracing::warn!("the hardware is simulated: nothing happens on a real terminal");
    let rebooting = Arc::clone(rebooting);
    let mock = MockTerminal::open(MockConfig {
        state_file: config.hal.mock.state_file.clone(),
        script_file: config.hal.mock.script_file.clone(),
        serial_number: config.terminal.serial_number.clone(),
        model: config.terminal.model.clone(),
        seed: config.hal.mock.seed,
        on_reboot: Arc::new(move || rebooting.notify_one()),
        ..MockConfig::default()
    })?;
    Ok(mock.hal())
}
