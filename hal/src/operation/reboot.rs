//! `reboot`: restart the device or the payment application. Reported by what runs afterwards.

use serde::{Deserialize, Serialize};

use super::{InvalidParameters, Validate, check_line, check_range};
#[cfg(feature = "schema")]
use crate::schema::LINE;
use crate::{BootId, text::NOTE_CHARS_MAX};

/// Longest `delay_s`.
pub const DELAY_S_MAX: u32 = 3600;

/// What to restart, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RebootParameters {
    /// The whole device or the payment application.
    pub scope: RebootScope,
    /// Wait before the restart, 0 to 3,600 seconds.
    #[cfg_attr(feature = "schema", schemars(range(max = DELAY_S_MAX)))]
    pub delay_s: u32,
    /// For the terminal's log, at most 128 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = NOTE_CHARS_MAX), regex(pattern = LINE))
    )]
    pub reason: Option<String>,
}

impl Default for RebootParameters {
    fn default() -> Self {
        Self { scope: RebootScope::Device, delay_s: 5, reason: None }
    }
}

/// What is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RebootScope {
    /// The operating system: done when the boot id has changed.
    #[default]
    Device,
    /// The payment application: done when its instance has changed.
    Application,
}

impl Validate for RebootParameters {
    fn validate(&self) -> Result<(), InvalidParameters> {
        check_range("delay_s", self.delay_s.into(), 0, DELAY_S_MAX.into())?;
        check_line("reason", self.reason.as_deref(), NOTE_CHARS_MAX)
    }
}

/// What restarted, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RebootResult {
    /// The whole device or the payment application.
    pub scope: RebootScope,
    /// Boot id when the restart was called for.
    pub boot_id_before: BootId,
    /// Boot id now; the same for the application scope.
    pub boot_id_after: BootId,
    /// Why the device restarted, as far as anybody knows.
    pub boot_reason: BootReason,
}

/// Why a device restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BootReason {
    /// This operation did it.
    Requested,
    /// A watchdog fired.
    Watchdog,
    /// Power was lost.
    Power,
    /// A software update.
    Update,
    /// The daily restart that card-scheme rules demand.
    Daily,
    /// Nobody knows.
    Unknown,
}
