//! `configure`: apply a configuration revision as a whole.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{InvalidParameters, Validate, check_range};
#[cfg(feature = "schema")]
use crate::schema::LINE;
use crate::text::{NAME_CHARS_MAX, bounded, free};

/// Most paths that a result lists.
pub const PATHS_MAX: usize = 64;
/// Most problems of one configuration that are reported.
pub const PROBLEMS_MAX: usize = 32;
/// Longest `code` of a problem.
const PROBLEM_CODE_CHARS_MAX: usize = 32;
/// Longest `message` of a problem: all of them fit into a frame.
const PROBLEM_CHARS_MAX: usize = 160;

/// A revision of the desired configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ConfigureParameters {
    /// Grows with every change, from 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigureResult {
    /// The revision that is in force.
    pub revision: u64,
    /// SHA-256 of the effective configuration, 64 lower-case hex digits.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub sha256: String,
    /// What changed, such as `tip.mode`; at most [`PATHS_MAX`].
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = PATHS_MAX),
            inner(length(max = NAME_CHARS_MAX), regex(pattern = LINE))
        )
    )]
    pub applied: Vec<String>,
}

/// A setting that cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SettingProblem {
    /// Where, such as `tip.suggestions[4]`.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub path: String,
    /// A stable code, such as `TOO_LONG`.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = PROBLEM_CODE_CHARS_MAX), regex(pattern = LINE))
    )]
    pub code: String,
    /// What is there and what the limit is.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = PROBLEM_CHARS_MAX), regex(pattern = LINE))
    )]
    pub message: String,
}

impl SettingProblem {
    /// Cut to the documented limits; the message is masked.
    #[must_use]
    pub fn bounded(&self) -> Self {
        Self {
            path: bounded(&self.path, NAME_CHARS_MAX),
            code: bounded(&self.code, PROBLEM_CODE_CHARS_MAX),
            message: free(&self.message, PROBLEM_CHARS_MAX),
        }
    }
}

impl ConfigureResult {
    pub(crate) fn bounded(mut self) -> Self {
        self.sha256 = bounded(&self.sha256, NAME_CHARS_MAX);
        self.applied.truncate(PATHS_MAX);
        self.applied = self.applied.iter().map(|path| bounded(path, NAME_CHARS_MAX)).collect();
        self
    }
}
