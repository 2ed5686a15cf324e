//! What happens to the fleet, and what "an even spread over its window" means for it.

use terminal_core::engine::BackoffSettings;

use super::terminal::HEARTBEAT_S;

/// How the terminals lose the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All connections are reset at the same moment.
    Reset,
    /// No byte comes any more; every terminal finds out by itself.
    Silence,
    /// The cloud sends `reconnect` to all at the same moment.
    Drain {
        /// Least wait.
        after_s: u32,
        /// Random addition.
        spread_s: u32,
    },
    /// The terminals lose the power, and get it back at the same moment.
    PowerCut,
    /// The terminals lose the network; all are told at the same moment when it is back.
    NetworkCut,
}

/// One story in virtual time.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// For people.
    pub name: &'static str,
    /// How it begins.
    pub loss: Loss,
    /// From the loss to the return.
    pub outage_ms: u64,
    /// How long an attempt takes to fail meanwhile: refused at once, or given up.
    pub attempt_ms: u64,
    /// Settings of every terminal.
    pub backoff: BackoffSettings,
}

/// An attempt that a running host refuses.
pub(super) const REFUSED_MS: u64 = 50;
/// Pings of different terminals are half a heartbeat apart at most.
const PINGS_APART_MS: u64 = HEARTBEAT_S as u64 * 500;
/// The terminal in the middle has found out about a silence: it takes 30 s to 45 s.
const FOUND_OUT_MS: u64 = 37_500;
/// An attempt that nobody answers: the connect timeout of the link.
const UNANSWERED_MS: u64 = 10_000;

impl Scenario {
    /// A scenario with the default settings, whose attempts are refused at once.
    pub fn new(name: &'static str, loss: Loss, outage_s: u64) -> Self {
        Self {
            name,
            loss,
            outage_ms: outage_s * 1000,
            attempt_ms: REFUSED_MS,
            backoff: BackoffSettings::default(),
        }
    }

    /// The same when nobody answers attempts.
    #[must_use]
    pub fn unanswered(self) -> Self {
        Self { attempt_ms: UNANSWERED_MS, ..self }
    }

    /// Everything that is reported, with these settings of every terminal.
    pub fn all(backoff: BackoffSettings) -> Vec<Self> {
        Self::stories().into_iter().map(|story| Self { backoff, ..story }).collect()
    }

    fn stories() -> Vec<Self> {
        let drain = |after_s, spread_s| Loss::Drain { after_s, spread_s };
        vec![
            Self::new("planned restart, reconnect 10 + 60 s", drain(10, 60), 10),
            Self::new("planned restart, reconnect 10 + 300 s", drain(10, 300), 10),
            Self::new("the same, back 60 s late", drain(10, 300), 70),
            Self::new("crash, back at once", Loss::Reset, 0),
            Self::new("crash, back after 10 s", Loss::Reset, 10),
            Self::new("crash, back after 30 s", Loss::Reset, 30),
            Self::new("crash, back after 5 min", Loss::Reset, 300),
            Self::new("crash, back after 15 min", Loss::Reset, 900),
            Self::new("crash, back after 1 h", Loss::Reset, 3_600),
            Self::new("silence, new host at once", Loss::Silence, 0),
            Self::new("silence for 5 min", Loss::Silence, 300).unanswered(),
            Self::new("power cut", Loss::PowerCut, 0),
            Self::new("no network for 5 min", Loss::NetworkCut, 300),
        ]
    }

    /// The time over which an even spread would be spread. It follows from the rule alone,
    /// whatever the terminals really did.
    pub fn window_ms(&self) -> u64 {
        match self.loss {
            Loss::Drain { spread_s, .. } => u64::from(spread_s) * 1000,
            Loss::PowerCut | Loss::NetworkCut => self.backoff.base_ms,
            Loss::Reset => self.window_at_the_return_ms(0),
            Loss::Silence => self.window_at_the_return_ms(FOUND_OUT_MS).max(PINGS_APART_MS),
        }
    }

    /// The window that the return falls into, or else the next one, of a terminal whose first
    /// window begins so long after the loss. Each is followed by an attempt that takes its time.
    fn window_at_the_return_ms(&self, first_begins_ms: u64) -> u64 {
        let BackoffSettings { base_ms, cap_ms } = self.backoff;
        let mut window_ms = base_ms.min(cap_ms);
        let mut ends_ms = first_begins_ms + window_ms;
        while ends_ms <= self.outage_ms {
            window_ms = (window_ms.saturating_mul(3) / 2).min(cap_ms);
            ends_ms += self.attempt_ms + window_ms;
        }
        window_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_lie_end_to_end_and_grow_by_a_half_up_to_the_cap() {
        let mut scenario = Scenario::new("", Loss::Reset, 0);
        // 2 s; 2.05 s to 5.05 s; 5.1 s to 9.6 s; 9.65 s to 16.4 s.
        for (outage_ms, want) in [
            (0, 2_000),
            (1_999, 2_000),
            (2_000, 3_000),
            (5_049, 3_000),
            (5_050, 4_500),
            (9_600, 6_750),
            (900_000, 300_000),
        ] {
            scenario.outage_ms = outage_ms;
            assert_eq!(scenario.window_ms(), want, "{outage_ms} ms");
        }
    }

    #[test]
    fn silence_is_noticed_late_and_never_by_all_at_once() {
        let window_ms = |outage_s| Scenario::new("", Loss::Silence, outage_s).window_ms();
        assert_eq!([0, 37, 50].map(window_ms), [15_000; 3]);
        assert!(window_ms(300) > 15_000);
    }
}
