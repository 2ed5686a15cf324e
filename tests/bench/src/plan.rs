//! How much is measured.

use std::time::Duration;

/// Sample sizes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Floors and figures take turns this often, so that both see the same machine.
    pub rounds: usize,
    /// Operations per round, one by one with a pause.
    pub paced: usize,
    /// Operations per round, one after the other.
    pub sequential: usize,
    /// Operations at once.
    pub burst: usize,
    /// How often.
    pub bursts: usize,
    /// Operations of the long run.
    pub long_run: usize,
    /// Reports that wait for a link.
    pub replay: u64,
    /// How often.
    pub replays: usize,
    /// Starts of the process.
    pub starts: usize,
    /// Operations under strace.
    pub traced: usize,
    /// Megabytes of log text.
    pub log_megabytes: usize,
    /// Idle time without a heartbeat.
    pub idle: Duration,
    /// Idle time with the usual heartbeat.
    pub idle_beating: Duration,
    /// Severity that the agent logs.
    pub log_level: String,
    /// Whether the README gets the figures.
    pub write_readme: bool,
}

impl Plan {
    /// What the figures in the README come from; some three minutes.
    pub(crate) fn full() -> Self {
        Self {
            rounds: 5,
            paced: 200,
            sequential: 400,
            burst: 200,
            bursts: 5,
            long_run: 10_000,
            replay: 10_000,
            replays: 3,
            starts: 10,
            traced: 200,
            log_megabytes: 32,
            idle: Duration::from_secs(20),
            idle_beating: Duration::from_secs(30),
            log_level: "warn".to_owned(),
            write_readme: false,
        }
    }

    /// That everything still runs; half a minute, build aside.
    pub(crate) fn short() -> Self {
        Self {
            rounds: 2,
            paced: 30,
            sequential: 50,
            bursts: 1,
            long_run: 300,
            replay: 2_000,
            replays: 1,
            starts: 3,
            traced: 50,
            log_megabytes: 4,
            idle: Duration::from_secs(3),
            idle_beating: Duration::ZERO,
            ..Self::full()
        }
    }
}
