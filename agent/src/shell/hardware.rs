//! The hardware: backends as the configuration names them, put together capability by capability.

use std::{sync::Arc, time::Duration};

use terminal_core::engine::Event;
use terminal_hal::{
    ErrorCode, Failure,
    api::{Capability, Hal, HalFuture, Health},
    child::Runner,
    exec::{self, ExecConfig},
    linux,
    operation::OperationRequest,
    status::TerminalHealth,
    text::{REASON_CHARS_MAX, free},
    vendor::{StandingLock, Vendor, VendorConfig, VendorNews},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    task::LocalSet,
    time::timeout,
};

#[cfg_attr(not(feature = "mock"), path = "hardware/no_mock.rs")]
mod mock;
mod unusable;
mod updates;

use super::{requests, run::RunError};
use crate::{
    config::{Config, ExecHalConfig, HalConfig, Source},
    link::VerificationClock,
};

/// News of the terminal lead to one look at its state per this time.
const HEALTH_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// What somebody has chosen at the terminal, and may wait for the loop.
const REQUESTS_MAX: usize = 4;
/// One of several sources of the terminal's state may take this long.
const HEALTH_SOURCE_TIME_MAX: Duration = Duration::from_secs(2);

/// What the hardware layer says by itself.
#[derive(Clone)]
pub(super) struct HardwareNews {
    /// Takes [`Event::HalConnected`].
    pub(super) events: mpsc::Sender<Event>,
    /// Asks for a look at the state of the hardware.
    pub(super) health_changed: mpsc::Sender<()>,
}

/// Opens the backends that the configuration names and puts them together.
pub(super) async fn open(
    config: &Config,
    rebooting: &Arc<Notify>,
    tasks: &LocalSet,
    news: HardwareNews,
    standing_lock: watch::Receiver<Option<StandingLock>>,
    time: &Arc<VerificationClock>,
) -> Result<Hal, RunError> {
    let hal = &config.hal;
    let runner = runner(config)?;
    let backends = Backends {
        mock: mock::open(config, rebooting, tasks, news.clone())?,
        vendor: vendor(hal, tasks, news, standing_lock).await?,
        exec: runner.as_ref().map(|runner| exec(hal.exec.clone(), runner)).unwrap_or_default(),
        linux: runner
            .as_ref()
            .map(|runner| linux::hal(hal.linux.clone(), runner))
            .unwrap_or_default(),
        none: Hal::default(),
    };
    let from = |source: &Option<Source>| source.map(|source| backends.of(source));
    let sources = hal.health.iter().filter_map(|source| backends.of(*source).health.clone());
    let mut composed = Hal {
        payments: from(&hal.payments).and_then(|hal| hal.payments.clone()),
        logs: from(&hal.logs).and_then(|hal| hal.logs.clone()),
        firmware: from(&hal.firmware).and_then(|hal| hal.firmware.clone()),
        screen: from(&hal.screen).and_then(|hal| hal.screen.clone()),
        power: from(&hal.power).and_then(|hal| hal.power.clone()),
        health: several(sources.collect()),
    };
    match (&hal.updates, &composed.power, runner) {
        (Some(updates), Some(power), Some(runner)) => {
            let (power, health) = (Arc::clone(power), composed.health.clone());
            let firmware = updates::firmware(config, updates, power, health, time, runner);
            composed.firmware = Some(firmware);
        }
        // The payment application was to have it, and does not offer it.
        (Some(_), None, _) => tracing::error!("no updates: nothing tells one boot from the next"),
        (Some(_), Some(_), None) | (None, _, _) => {}
    }
    Ok(composed)
}

/// Whether a capability comes from the payment application behind a socket.
pub(super) const fn is_vendor(source: Option<Source>) -> bool {
    matches!(source, Some(Source::Vendor | Source::VendorIfOffered))
}

/// Everything that each backend can do; nothing for one that is not used.
struct Backends {
    mock: Hal,
    vendor: Hal,
    exec: Hal,
    linux: Hal,
    /// What is made of the others, once they are there.
    none: Hal,
}

impl Backends {
    const fn of(&self, source: Source) -> &Hal {
        match source {
            Source::Mock => &self.mock,
            Source::Vendor | Source::VendorIfOffered => &self.vendor,
            Source::Exec => &self.exec,
            Source::Linux => &self.linux,
            Source::Ab | Source::Rauc => &self.none,
        }
    }
}

/// What starts programs, with one record of those that run; it kills what an agent before this one
/// has left running. The record is in a folder that is empty after a boot.
fn runner(config: &Config) -> Result<Option<Runner>, RunError> {
    let starts_programs = |source| match source {
        Source::Exec | Source::Linux | Source::Ab | Source::Rauc => true,
        Source::Mock | Source::Vendor | Source::VendorIfOffered => false,
    };
    if !config.hal.uses(starts_programs) {
        return Ok(None);
    }
    let folder = config.control.socket.with_file_name("children");
    let path = folder.display().to_string();
    Runner::open(folder).map(Some).map_err(|source| RunError::Directory { path, source })
}

fn exec(config: ExecHalConfig, runner: &Runner) -> Hal {
    const ROOT: u32 = 0;
    let ExecHalConfig { screen, health } = config;
    exec::hal(ExecConfig { screen, health, owner: ROOT }, runner)
}

/// What is named is taken without asking, so that the agent starts before the application; for the
/// rest the application is asked.
async fn vendor(
    hal: &HalConfig,
    tasks: &LocalSet,
    news: HardwareNews,
    standing_lock: watch::Receiver<Option<StandingLock>>,
) -> Result<Hal, RunError> {
    let is_used = hal.uses(|source| is_vendor(Some(source)));
    let Some(vendor) = hal.vendor.as_ref().filter(|_| is_used) else {
        return Ok(Hal::default());
    };
    let (requests, chosen) = mpsc::channel(REQUESTS_MAX);
    let opened = Vendor::open(VendorConfig {
        socket: vendor.socket.clone(),
        allowed_uids: vendor.allowed_uids.clone(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        standing_lock,
        requests,
    });
    let capabilities = if hal.uses(|source| source == Source::VendorIfOffered) {
        opened.capabilities().await.map_err(RunError::Hardware)?
    } else {
        Capability::ALL.to_vec()
    };
    tasks.spawn_local(pass_requests_on(chosen, news.events.clone()));
    tasks.spawn_local(pass_news_on(opened.news(), news));
    Ok(opened.hal(&capabilities))
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

/// What somebody has chosen at the terminal.
async fn pass_requests_on(
    mut chosen: mpsc::Receiver<OperationRequest>,
    events: mpsc::Sender<Event>,
) {
    while let Some(request) = chosen.recv().await {
        match requests::from_menu(request) {
            Ok(request) => {
                if events.send(Event::OperationRequested(Box::new(request))).await.is_err() {
                    return;
                }
            }
            Err(problem) => {
                let problem = free(&problem, REASON_CHARS_MAX);
                tracing::warn!(problem, "not begun at the terminal");
            }
        }
    }
}

fn several(mut sources: Vec<Arc<dyn Health>>) -> Option<Arc<dyn Health>> {
    if sources.len() > 1 {
        return Some(Arc::new(FirstKnown(sources)));
    }
    sources.pop()
}

/// What the first source does not know, as the next one knows it.
struct FirstKnown(Vec<Arc<dyn Health>>);

impl Health for FirstKnown {
    fn health(&self) -> HalFuture<'_, TerminalHealth> {
        Box::pin(async {
            let mut known: Result<TerminalHealth, Option<Failure>> = Err(None);
            for source in &self.0 {
                let silent = |_| Err(Failure::new(ErrorCode::HalUnavailable, "no answer in time"));
                let answer = timeout(HEALTH_SOURCE_TIME_MAX, source.health()).await;
                known = match (known, answer.unwrap_or_else(silent)) {
                    (Ok(known), Ok(more)) => Ok(known.or(more)),
                    (Err(_), Ok(first)) => Ok(first),
                    (Ok(known), Err(_)) => Ok(known),
                    (Err(why), Err(failure)) => Err(why.or(Some(failure))),
                };
            }
            let unasked = || Failure::new(ErrorCode::HalUnavailable, "no source of its state");
            known.map_err(|why| why.unwrap_or_else(unasked))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Answers(Result<TerminalHealth, ErrorCode>);

    impl Health for Answers {
        fn health(&self) -> HalFuture<'_, TerminalHealth> {
            let answer = self.0.clone().map_err(|code| Failure::new(code, "no"));
            Box::pin(async { answer })
        }
    }

    struct Hangs;

    impl Health for Hangs {
        fn health(&self) -> HalFuture<'_, TerminalHealth> {
            Box::pin(std::future::pending())
        }
    }

    fn knows(battery_level: Option<u8>, locked: bool) -> Arc<dyn Health> {
        Arc::new(Answers(Ok(TerminalHealth { battery_level, locked, ..TerminalHealth::default() })))
    }

    fn fails() -> Arc<dyn Health> {
        Arc::new(Answers(Err(ErrorCode::DeviceFault)))
    }

    async fn ask(sources: Vec<Arc<dyn Health>>) -> Result<(Option<u8>, bool), ErrorCode> {
        let health = several(sources).unwrap().health().await;
        health.map(|h| (h.battery_level, h.locked)).map_err(|failure| failure.code)
    }

    #[tokio::test(start_paused = true)]
    async fn sources_of_health_fill_each_other_and_one_that_is_away_does_no_harm() {
        assert_eq!(
            ask(vec![knows(Some(7), false), knows(Some(9), true)]).await,
            Ok((Some(7), true))
        );
        assert_eq!(ask(vec![knows(None, true), knows(Some(9), false)]).await, Ok((Some(9), true)));
        assert_eq!(
            ask(vec![fails(), Arc::new(Hangs), knows(Some(9), false)]).await,
            Ok((Some(9), false))
        );
        assert_eq!(ask(vec![fails(), Arc::new(Hangs)]).await, Err(ErrorCode::DeviceFault));
        assert_eq!(ask(vec![fails()]).await, Err(ErrorCode::DeviceFault));
        assert!(several(Vec::new()).is_none());
    }
}
