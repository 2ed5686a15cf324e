//! Wakes the loop by the boot clock, which the engine's deadlines are of.
//!
//! The timers of the runtime stand still in suspend. What was due meanwhile would only be done once
//! the rest of the wait has passed awake: a link that is long dead would be waited for, and an
//! operation started that has expired.

use std::{
    future::pending,
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use nix::sys::{
    time::TimeSpec,
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use tokio::io::unix::AsyncFd;

use crate::sys;

/// One timer, set anew for each wait.
pub(super) struct Alarm {
    timer: TimerFd,
    /// The same timer, for the runtime.
    watched: AsyncFd<OwnedFd>,
}

impl Alarm {
    /// To be called within the runtime.
    ///
    /// # Errors
    /// When the kernel has no such timer.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        let watched = sys::watch_readable(timer.as_fd().try_clone_to_owned()?)?;
        Ok(Self { timer, watched })
    }

    /// Returns once that much time has passed, suspend included; never without a time.
    ///
    /// # Errors
    /// When the timer cannot be set or read.
    pub(super) async fn after(&self, wait: Option<Duration>) -> io::Result<()> {
        let Some(wait) = wait else { return pending().await };
        // A timer that is set to zero is switched off.
        let wait = TimeSpec::from(wait.max(Duration::from_nanos(1)));
        self.timer.set(Expiration::OneShot(wait), TimerSetTimeFlags::empty())?;
        loop {
            let mut ready = self.watched.readable().await?;
            // What is left of the setting before gives nothing to read.
            if let Ok(rung) = ready.try_io(|_| Ok(self.timer.wait()?)) {
                return rung;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::fd::AsRawFd, time::Instant};

    const SOON: Duration = Duration::from_millis(20);
    const LATE: Duration = Duration::from_secs(3600);

    /// What Linux calls `CLOCK_BOOTTIME`, the clock that goes on in suspend.
    const BOOTTIME: &str = "clockid: 7";

    #[tokio::test]
    async fn it_goes_by_the_clock_that_counts_suspend() {
        let alarm = Alarm::new().unwrap();
        let file = format!("/proc/self/fdinfo/{}", alarm.watched.as_raw_fd());
        let info = fs::read_to_string(file).unwrap();
        assert!(info.lines().any(|line| line == BOOTTIME), "{info}");
    }

    #[tokio::test]
    async fn it_rings_once_the_time_has_passed_also_when_that_is_now() {
        let alarm = Alarm::new().unwrap();
        for wait in [SOON, Duration::ZERO, SOON] {
            let begun = Instant::now();
            alarm.after(Some(wait)).await.unwrap();
            assert!(begun.elapsed() >= wait, "{:?}", begun.elapsed());
        }
    }

    #[tokio::test]
    async fn what_is_left_of_an_earlier_setting_does_not_ring() {
        let alarm = Alarm::new().unwrap();
        // Rung, and nobody has looked.
        let unheard = tokio::time::timeout(Duration::ZERO, alarm.after(Some(Duration::ZERO)));
        let _ = unheard.await;
        std::thread::sleep(SOON);
        tokio::select! {
            biased;
            _ = alarm.after(Some(LATE)) => panic!("too early"),
            () = tokio::time::sleep(SOON) => {}
        }
        tokio::select! {
            biased;
            _ = alarm.after(None) => panic!("never"),
            () = tokio::time::sleep(SOON) => {}
        }
        alarm.after(Some(SOON)).await.unwrap();
    }
}
