//! `open_menu`: show a menu on the terminal's screen. Never carries a PIN: the operator
//! authenticates on the terminal.

use serde::{Deserialize, Serialize};

use super::{InvalidParameters, Validate, check_range};
use crate::Timestamp;

/// Bounds of `timeout_s`.
pub const TIMEOUT_S: std::ops::RangeInclusive<u32> = 10..=600;

/// Which menu, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct OpenMenuParameters {
    /// Which menu.
    pub menu: Menu,
    /// Closes by itself after this, 10 to 600 seconds.
    #[cfg_attr(
        feature = "schema",
        schemars(range(min = *TIMEOUT_S.start(), max = *TIMEOUT_S.end()))
    )]
    pub timeout_s: u32,
}

impl Default for OpenMenuParameters {
    fn default() -> Self {
        Self { menu: Menu::Settings, timeout_s: 120 }
    }
}

/// The menus of a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Menu {
    /// Settings.
    #[default]
    Settings,
    /// Network.
    Network,
    /// Reports.
    Reports,
    /// Diagnostics.
    Diagnostics,
}

impl Validate for OpenMenuParameters {
    fn validate(&self) -> Result<(), InvalidParameters> {
        let (min, max) = TIMEOUT_S.into_inner();
        check_range("timeout_s", self.timeout_s.into(), min.into(), max.into())
    }
}

/// That the menu is on the screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenMenuResult {
    /// Since when.
    pub opened_at: Timestamp,
    /// False where the application queued it behind another screen.
    pub shown: bool,
}
