//! The service manager: ready, alive, stopping. The watchdog is fed by the loop that does the
//! work, so that a loop that hangs is noticed.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use sd_notify::NotifyState;

pub(super) struct Watchdog {
    /// How often to feed it; absent when nobody watches.
    interval: Option<Duration>,
    fed_at: Cell<Option<Instant>>,
}

impl Watchdog {
    /// As the service manager has set it up for this process.
    pub(super) fn from_environment() -> Self {
        let mut limit_us = 0;
        let watched = sd_notify::watchdog_enabled(false, &mut limit_us);
        let interval = watched.then(|| Duration::from_micros(limit_us / 2));
        Self { interval, fed_at: Cell::new(None) }
    }

    /// Time until it has to be fed. Counted from the last time: what happens in between without
    /// feeding it, such as questions, puts nothing off.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let interval = self.interval?;
        let fed_at = self.fed_at.get();
        Some(fed_at.map_or(Duration::ZERO, |at| interval.saturating_sub(at.elapsed())))
    }

    pub(super) fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    pub(super) fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// Not more often than needed: every event comes through here.
    pub(super) fn feed(&self) {
        let Some(interval) = self.interval else { return };
        if self.fed_at.get().is_none_or(|at| at.elapsed() >= interval / 2) {
            self.fed_at.set(Some(Instant::now()));
            notify(&[NotifyState::Watchdog]);
        }
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!(%error, "service manager not told");
    }
}
