//! What the loop needs around it before it begins: hardware, boot, network news, upload settings.

use std::{sync::Arc, time::Duration};

use terminal_core::engine::Event;
use terminal_hal::{
    BootId, ErrorCode, Failure,
    api::Hal,
    mock::{MockConfig, MockTerminal},
    operation::reboot::BootReason,
    vendor::{StandingLock, Vendor, VendorConfig, VendorNews},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::LocalSet,
    time::timeout,
};

use super::{clock, run::RunError};
use crate::{
    config::{Config, HalConfig},
    link::{self, Trust, VerificationClock},
    uploads::HttpsUploads,
};

/// A question to the hardware before the loop begins may take this long.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// About the wait before an upload to a URL is tried again.
const UPLOAD_RETRY_DELAY: Duration = Duration::from_secs(2);
/// News of the payment application lead to one look at its state per this time.
const HEALTH_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// What the hardware layer says by itself.
pub(super) struct HardwareNews {
    /// Takes [`Event::HalConnected`].
    pub(super) events: mpsc::Sender<Event>,
    /// Asks for a look at the state of the hardware.
    pub(super) health_changed: mpsc::Sender<()>,
}

/// The backend that the configuration names.
pub(super) async fn open_hal(
    config: &Config,
    rebooting: &Arc<Notify>,
    tasks: &LocalSet,
    news: HardwareNews,
    standing_lock: watch::Receiver<Option<StandingLock>>,
) -> Result<Hal, RunError> {
    match &config.hal {
        HalConfig::Vendor(vendor) => {
            let opened = Vendor::open(VendorConfig {
                socket: vendor.socket.clone(),
                allowed_uids: vendor.allowed_uids.clone(),
                agent_version: env!("CARGO_PKG_VERSION").to_owned(),
                standing_lock,
            });
            let capabilities = match &vendor.capabilities {
                Some(capabilities) => capabilities.clone(),
                None => opened.capabilities().await.map_err(RunError::Hardware)?,
            };
            tasks.spawn_local(pass_news_on(opened.news(), news));
            Ok(opened.hal(&capabilities))
        }
        HalConfig::Mock { state_file, script_file, seed } => {
            tracing::warn!("the hardware is simulated: nothing happens on a real terminal");
            let rebooting = Arc::clone(rebooting);
            let mock = MockTerminal::open(MockConfig {
                state_file: state_file.clone(),
                script_file: script_file.clone(),
                serial_number: config.terminal.serial_number.clone(),
                model: config.terminal.model.clone(),
                seed: *seed,
                on_reboot: Arc::new(move || rebooting.notify_one()),
                ..MockConfig::default()
            })?;
            Ok(mock.hal())
        }
    }
}

/// A payment application that has come back may have forgotten its settings.
async fn pass_news_on(mut news: watch::Receiver<VendorNews>, to: HardwareNews) {
    let mut seen = *news.borrow_and_update();
    while news.changed().await.is_ok() {
        let now = *news.borrow_and_update();
        let has_connected = now.connections != seen.connections;
        if has_connected && to.events.send(Event::HalConnected).await.is_err() {
            return;
        }
        seen = now;
        // One request that waits is enough.
        let _ = to.health_changed.try_send(());
        tokio::time::sleep(HEALTH_INTERVAL_MIN).await;
    }
}

/// Identity of this boot and why it happened. Without a power capability every start counts as
/// a new boot.
pub(super) async fn boot(hal: &Hal) -> Result<(BootId, BootReason), RunError> {
    let Some(power) = &hal.power else {
        let id = uuid::Uuid::from_u128(clock::moment().entropy);
        return Ok((BootId(id), BootReason::Unknown));
    };
    let silent = |_| Failure::new(ErrorCode::HalUnavailable, "it does not name the boot in time");
    let id = timeout(ANSWER_TIME_MAX, power.boot_id()).await.map_err(silent);
    let id = id.and_then(|answer| answer).map_err(RunError::Hardware)?;
    let reason = timeout(ANSWER_TIME_MAX, power.reset_cause()).await.ok().and_then(Result::ok);
    Ok((id, reason.unwrap_or(BootReason::Unknown)))
}

/// Uploads to a URL need somebody to trust: a bundle of their own, or that of the link.
pub(super) fn https_uploads(
    config: &Config,
    clock: &Arc<VerificationClock>,
) -> Option<HttpsUploads> {
    let own = config.uploads.ca_file.clone().map(|ca_file| Trust { ca_file, crl_file: None });
    Some(HttpsUploads {
        trust: own.or_else(|| config.link.trust.clone())?,
        proxy: config.link.proxy.clone(),
        timeouts: config.link.timeouts,
        clock: Arc::clone(clock),
        retry_delay: UPLOAD_RETRY_DELAY,
    })
}

/// News of a better network end a wait for the next connection attempt.
pub(super) fn watch_network(tasks: &LocalSet, events: mpsc::Sender<Event>) {
    tasks.spawn_local(async move {
        let mut changes = link::network::changes();
        loop {
            changes.came_up().await;
            if events.send(Event::NetworkUp).await.is_err() {
                return;
            }
        }
    });
}
