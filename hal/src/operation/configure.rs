//! `configure`: apply a configuration revision as a whole.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{InvalidParameters, Validate, check_range};
use crate::text::bounded;

/// Most paths that a result lists.
pub const PATHS_MAX: usize = 64;

/// Limits of the settings that everybody knows. A real payment application may have others; the
/// simulated terminal and the simulated cloud have these.
pub mod limits {
    /// Tip suggestions on one screen.
    pub const TIP_SUGGESTIONS_MAX: usize = 4;
    /// Largest tip suggestion, in percent.
    pub const TIP_PERCENT_MAX: u64 = 100;
    /// Largest tip suggestion, in minor units.
    pub const TIP_AMOUNT_MAX: u64 = 1_000_000;
    /// Characters of the idle screen.
    pub const IDLE_CHARS_MAX: usize = 60;
    /// Largest offline payment, in minor units.
    pub const OFFLINE_AMOUNT_MAX: u32 = 100_000_000;
    /// Longest offline queue.
    pub const OFFLINE_QUEUE_MAX: u32 = 10_000;
    /// Ways to hand over a receipt.
    pub const RECEIPT_CHANNELS: [&str; 3] = ["print", "email", "sms"];
}

/// A revision of the desired configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigureParameters {
    /// Grows with every change, from 1.
    pub revision: u64,
    /// The whole desired state. The payment application knows what is in it.
    pub config: Map<String, Value>,
}

impl Validate for ConfigureParameters {
    fn validate(&self) -> Result<(), InvalidParameters> {
        check_range("revision", self.revision, 1, u64::MAX)
    }
}

/// What was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigureResult {
    /// The revision that is in force.
    pub revision: u64,
    /// SHA-256 of the effective configuration, 64 lower-case hex digits.
    pub sha256: String,
    /// What changed, such as `tip.mode`; at most [`PATHS_MAX`].
    #[serde(default)]
    pub applied: Vec<String>,
}

/// A setting that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingProblem {
    /// Where, such as `tip.suggestions[4]`.
    pub path: String,
    /// A stable code, such as `TOO_LONG`.
    pub code: String,
    /// What is there and what the limit is.
    pub message: String,
}

impl ConfigureResult {
    pub(crate) fn bounded(mut self) -> Self {
        self.sha256 = bounded(&self.sha256, 64);
        self.applied.truncate(PATHS_MAX);
        self.applied = self.applied.iter().map(|path| bounded(path, 64)).collect();
        self
    }
}
