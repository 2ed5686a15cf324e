//! `update`: install a software version. Completed only once the new system runs and is committed.

use serde::{Deserialize, Serialize};

use super::{InvalidParameters, Validate, check_line, check_range};
#[cfg(feature = "schema")]
use crate::schema::LINE;
use crate::text::{NAME_CHARS_MAX, bounded};

/// Most health checks that a result lists.
pub const HEALTH_CHECKS_MAX: usize = 32;
/// Longest `slot`.
const SLOT_CHARS_MAX: usize = 16;

/// What to install, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UpdateParameters {
    /// This version; the newest of the channel when absent. 1 to 64 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = NAME_CHARS_MAX), regex(pattern = LINE))
    )]
    pub version: Option<String>,
    /// When to install.
    pub apply: Apply,
    /// Whether an older version may be installed, where the terminal's own rules allow it too.
    pub allow_downgrade: bool,
    /// Whether a metered network may be used.
    pub allow_metered: bool,
    /// Least charge, 0 to 100 percent; mains counts as enough.
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub min_battery_percent: u8,
    /// Close the batch first.
    pub close_batch_first: bool,
}

impl Default for UpdateParameters {
    fn default() -> Self {
        Self {
            version: None,
            apply: Apply::Window,
            allow_downgrade: false,
            allow_metered: false,
            min_battery_percent: 50,
            close_batch_first: false,
        }
    }
}

/// When to install.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Apply {
    /// At once.
    Now,
    /// In the maintenance window.
    #[default]
    Window,
    /// As soon as no payment is active.
    OnIdle,
}

impl Validate for UpdateParameters {
    fn validate(&self) -> Result<(), InvalidParameters> {
        check_line("version", self.version.as_deref(), NAME_CHARS_MAX)?;
        check_range("min_battery_percent", self.min_battery_percent.into(), 0, 100)
    }
}

/// What was installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UpdateResult {
    /// Version before.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub from: String,
    /// Version now.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub to: String,
    /// False when `to` had been running already.
    pub installed: bool,
    /// Bytes that were downloaded.
    pub bytes_downloaded: u64,
    /// How often the download was resumed.
    pub resumes: u32,
    /// The slot that runs, where the system has slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = SLOT_CHARS_MAX), regex(pattern = LINE)))]
    pub slot: Option<String>,
    /// What was checked before the new system was committed.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = HEALTH_CHECKS_MAX)))]
    pub health_checks: Vec<HealthCheck>,
}

/// One check of the new system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HealthCheck {
    /// What was checked.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub name: String,
    /// Whether it passed.
    pub ok: bool,
    /// How long it took.
    pub duration_ms: u64,
}

impl UpdateResult {
    pub(crate) fn bounded(mut self) -> Self {
        self.from = bounded(&self.from, NAME_CHARS_MAX);
        self.to = bounded(&self.to, NAME_CHARS_MAX);
        self.slot = self.slot.as_deref().map(|slot| bounded(slot, SLOT_CHARS_MAX));
        self.health_checks.truncate(HEALTH_CHECKS_MAX);
        for check in &mut self.health_checks {
            check.name = bounded(&check.name, NAME_CHARS_MAX);
        }
        self
    }
}
