//! How long to wait before another try.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

/// The first wait; it doubles up to [`DELAY_MAX`].
const DELAY_MIN: Duration = Duration::from_secs(1);
const DELAY_MAX: Duration = Duration::from_secs(60);

/// After so many tries in vain. Between half of the delay and all of it: a fleet must not come back
/// as one.
pub(super) fn delay(tries: u32) -> Duration {
    let delay = DELAY_MIN.saturating_mul(1 << tries.saturating_sub(1).min(6)).min(DELAY_MAX);
    let random = RandomState::new().build_hasher().finish();
    delay.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
}
