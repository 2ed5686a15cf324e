//! The simulated terminal, when the configuration names it.

use std::{sync::Arc, time::Duration};

use terminal_hal::{
    api::Hal,
    mock::{MockConfig, MockTerminal},
    operation::OperationRequest,
};
use tokio::{
    sync::{Notify, mpsc},
    task::LocalSet,
};

use super::{HEALTH_INTERVAL_MIN, HardwareNews, REQUESTS_MAX, RunError, pass_requests_on};
use crate::config::{Config, Source};

/// Between two looks at what is chosen in its menu.
const MENU_INTERVAL: Duration = Duration::from_millis(200);

/// Everything that it can do; nothing when no capability comes from it.
pub(super) fn open(
    config: &Config,
    rebooting: &Arc<Notify>,
    tasks: &LocalSet,
    news: HardwareNews,
) -> Result<Hal, RunError> {
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
    let hal = mock.hal();
    let (requests, chosen) = mpsc::channel(REQUESTS_MAX);
    tasks.spawn_local(watch_menu(mock.clone(), requests));
    tasks.spawn_local(watch_screen(mock, news.health_changed));
    tasks.spawn_local(pass_requests_on(chosen, news.events));
    Ok(hal)
}

/// It says what is chosen only when it is asked.
async fn watch_menu(mock: MockTerminal, requests: mpsc::Sender<OperationRequest>) {
    let mut said = None;
    loop {
        let chosen = mock.script().chosen.clone();
        if let Some(request) = chosen.clone().filter(|_| chosen != said) {
            if requests.send(request).await.is_err() {
                return;
            }
        }
        said = chosen;
        tokio::time::sleep(MENU_INTERVAL).await;
    }
}

/// Customers and menus change a screen without being asked to.
async fn watch_screen(mock: MockTerminal, health_changed: mpsc::Sender<()>) {
    let mut seen = mock.screen();
    loop {
        tokio::time::sleep(HEALTH_INTERVAL_MIN).await;
        let now = mock.screen();
        if now != seen {
            // One request that waits is enough.
            let _ = health_changed.try_send(());
            seen = now;
        }
    }
}
