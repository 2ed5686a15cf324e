//! What the loop needs around it before it begins: boot, network news, upload settings.

use std::{sync::Arc, time::Duration};

use terminal_core::engine::Event;
use terminal_hal::{BootId, ErrorCode, Failure, api::Hal, operation::reboot::BootReason};
use tokio::{sync::mpsc, task::LocalSet, time::timeout};

use super::{clock, run::RunError};
use crate::{
    config::Config,
    link::{self, Trust, VerificationClock},
    uploads::HttpsUploads,
};

/// A question to the hardware before the loop begins may take this long.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);
/// About the wait before an upload to a URL is tried again.
const UPLOAD_RETRY_DELAY: Duration = Duration::from_secs(2);

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
