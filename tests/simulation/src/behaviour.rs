//! How the hardware takes an operation, as a part of the plan.

use serde::{Deserialize, Serialize};

/// How the hardware takes an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Behaviour {
    /// From the begin of a call to its end.
    pub latency_ms: u64,
    /// When its effect happens, as a part of that.
    pub effect_percent: u64,
    /// How the call ends.
    pub end: CallEnd,
    /// It cannot be cancelled.
    pub ignores_cancel: bool,
    /// When asked what became of it, the hardware cannot tell.
    pub forgets: bool,
    /// So often it is put off until a maintenance window (`update`).
    pub deferrals: u32,
    /// For so long each time.
    pub deferral_s: u32,
    /// What becomes of a restart that it calls for.
    pub restart: RestartEnd,
    /// So many of its calls take the agent down with them.
    pub crashes: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            latency_ms: 1_000,
            effect_percent: 50,
            end: CallEnd::Works,
            ignores_cancel: false,
            forgets: false,
            deferrals: 0,
            deferral_s: 30,
            restart: RestartEnd::Clean,
            crashes: 0,
        }
    }
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallEnd {
    /// With its effect.
    Works,
    /// With a failure before the effect.
    FailsBefore,
    /// With a failure after a part of the effect.
    FailsAfter,
    /// Later than it should.
    Hangs {
        /// For so long; never where absent.
        ms: Option<u64>,
    },
}

/// What becomes of a restart of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestartEnd {
    /// An orderly shutdown, then a boot.
    Clean,
    /// A boot without an orderly shutdown.
    Unclean,
    /// It never happens.
    Never,
    /// It is refused.
    Fails,
    /// It happens, and the version before runs again (`update`).
    RollsBack,
}
