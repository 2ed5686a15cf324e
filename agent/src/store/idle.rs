//! Threads that have nothing to do should not wake the processor.

use nix::{libc::c_ulong, sys::prctl::set_timerslack};

/// How much later than asked for a relaxed timer may fire, in nanoseconds.
#[cfg(target_pointer_width = "64")]
const SLACK_NS: c_ulong = 60_000_000_000;
/// As much as the kernel's interface holds there.
#[cfg(target_pointer_width = "32")]
const SLACK_NS: c_ulong = 4_000_000_000;

/// Runs `start`; the threads that it starts keep relaxed timers for ever. sled's look for work
/// every second, seven of them, also when there has been none for days; work itself wakes them
/// without a timer. `start` must not wait on a timer of its own: that would fire as late.
pub(super) fn with_relaxed_timers<T>(start: impl FnOnce() -> T) -> T {
    // Only a matter of power: the store works the same without.
    if let Err(error) = set_timerslack(SLACK_NS) {
        tracing::debug!(%error, "timers of the store not relaxed");
    }
    let started = start();
    // 0 is the default of the process.
    let _ = set_timerslack(0);
    started
}
