//! The two forms of every case: short for CI, long for figures of the product as it is shipped.

use std::time::Duration;

/// Settings that a terminal or its cloud may really have, and the bounds that follow from them.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// `welcome.heartbeat_s`.
    pub heartbeat_s: u32,
    /// `cloud.reconnect-base-ms` of agent.toml.
    pub reconnect_base_ms: u64,
    /// `cloud.reconnect-cap-s` of agent.toml.
    pub reconnect_cap_s: u64,
    /// `cloud.connect-timeout-s` of agent.toml.
    pub connect_timeout_s: u64,
    /// Failed attempts to wait for before the network is mended, after the first failure.
    pub more_failures: usize,
    /// Whether to wait for minutes where the protocol wants minutes.
    pub patient: bool,
}

/// What a busy machine may add to a bound.
pub const SLACK: Duration = Duration::from_secs(6);
/// Limit of the TLS handshake, of the WebSocket upgrade, of a proxy's answer and of `welcome`.
pub const STEP: Duration = Duration::from_secs(15);
/// Limit of written bytes that nobody acknowledges.
pub const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Silence until the kernel has asked three times in vain.
pub const KEEPALIVE: Duration = Duration::from_secs(35);
/// Windows have reached every cap by then.
const GROWTHS_MAX: u32 = 40;
/// An orderly end that nobody answers.
const CLOSE: Duration = Duration::from_secs(1);

impl Pace {
    /// For CI: the shortest heartbeat and short waits.
    pub const fn short() -> Self {
        Self {
            heartbeat_s: 5,
            reconnect_base_ms: 200,
            reconnect_cap_s: 2,
            connect_timeout_s: 3,
            more_failures: 0,
            patient: false,
        }
    }

    /// For figures: what a terminal is shipped with.
    pub const fn long() -> Self {
        Self {
            heartbeat_s: 30,
            reconnect_base_ms: 2_000,
            reconnect_cap_s: 300,
            connect_timeout_s: 10,
            more_failures: 1,
            patient: true,
        }
    }

    /// A silent peer has been left by then: 1.5 heartbeats and a close that nobody answers.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(u64::from(self.heartbeat_s) * 1_500) + CLOSE
    }

    /// An address that does not answer has been given up by then.
    pub fn connecting(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_s)
    }

    /// The window of the next attempt after so many failures, and the most that a terminal waits
    /// for it.
    pub fn window(&self, failures: u32) -> Duration {
        let cap = Duration::from_secs(self.reconnect_cap_s);
        let first = Duration::from_millis(self.reconnect_base_ms).min(cap);
        (0..failures.min(GROWTHS_MAX)).fold(first, |window, _| (window * 3 / 2).min(cap))
    }

    /// More attempts than this within that time are no backoff any more: one in every window that
    /// has begun, and four for windows that began afresh.
    pub fn attempts_max(&self, within: Duration) -> usize {
        let mut begins = Duration::ZERO;
        let mut windows = 0;
        while begins < within {
            begins += self.window(windows);
            windows += 1;
        }
        windows as usize + 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_allows_eleven_attempts_of_a_shipped_terminal() {
        let minute = Duration::from_secs(60);
        // Windows begin after 0, 2, 5, 9.5, 16.3, 26.4 and 41.6 s.
        assert_eq!(Pace::long().attempts_max(minute), 7 + 4);
        assert_eq!(Pace::long().attempts_max(Duration::ZERO), 4);
        assert_eq!(Pace::long().silence(), Duration::from_secs(46));
    }
}
