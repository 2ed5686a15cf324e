//! `check_update`: what could be installed. Installs nothing.

use serde::{Deserialize, Serialize};

use super::{InvalidParameters, Validate, check_line, check_range};
#[cfg(feature = "schema")]
use crate::schema::LINE;
use crate::{
    ErrorCode, Timestamp,
    text::{NAME_CHARS_MAX, bounded},
};

/// Most updates that one answer lists.
pub const UPDATES_MAX: usize = 16;
/// Longest `notes_url`.
const NOTES_URL_CHARS_MAX: usize = 512;

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CheckUpdateParameters {
    /// Release channel.
    pub channel: Channel,
    /// Only these components; all when empty. At most 16.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = UPDATES_MAX),
            inner(length(min = 1, max = NAME_CHARS_MAX), regex(pattern = LINE))
        )
    )]
    pub components: Vec<String>,
}

/// Release channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// For everybody.
    #[default]
    Stable,
    /// For volunteers.
    Beta,
}

impl Validate for CheckUpdateParameters {
    fn validate(&self) -> Result<(), InvalidParameters> {
        check_range("components", self.components.len() as u64, 0, UPDATES_MAX as u64)?;
        self.components
            .iter()
            .try_for_each(|name| check_line("components", Some(name), NAME_CHARS_MAX))
    }
}

/// What runs and what could run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckUpdateResult {
    /// Whether `updates` holds anything.
    pub available: bool,
    /// What runs now.
    #[cfg_attr(feature = "schema", schemars(length(max = UPDATES_MAX)))]
    pub current: Vec<ComponentVersion>,
    /// What could be installed, at most [`UPDATES_MAX`].
    #[cfg_attr(feature = "schema", schemars(length(max = UPDATES_MAX)))]
    pub updates: Vec<AvailableUpdate>,
    /// When the source was asked.
    pub checked_at: Timestamp,
    /// Why an installation would be refused now.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = UPDATES_MAX)))]
    pub blocked_by: Vec<ErrorCode>,
}

/// A component and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ComponentVersion {
    /// Which.
    pub component: Component,
    /// Its version, at most 64 characters.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub version: String,
}

/// What software a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Operating system.
    Firmware,
    /// Payment application.
    Application,
    /// Parameter files.
    Config,
    /// Key material.
    Keys,
}

/// Something that could be installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AvailableUpdate {
    /// Which component.
    pub component: Component,
    /// To which version.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub version: String,
    /// Size of the download.
    pub size_bytes: u64,
    /// SHA-256 of the download, 64 hex digits.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub sha256: String,
    /// Whether the merchant may put it off.
    pub mandatory: bool,
    /// When it becomes mandatory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub required_at: Option<Timestamp>,
    /// Expected duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_s: Option<u32>,
    /// Whether the terminal restarts.
    pub requires_reboot: bool,
    /// Release notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = NOTES_URL_CHARS_MAX), regex(pattern = LINE))
    )]
    pub notes_url: Option<String>,
    /// Whether it closes a security hole.
    pub security_fix: bool,
}

impl CheckUpdateResult {
    pub(crate) fn bounded(mut self) -> Self {
        self.current.truncate(UPDATES_MAX);
        self.updates.truncate(UPDATES_MAX);
        self.blocked_by.truncate(UPDATES_MAX);
        for current in &mut self.current {
            current.version = bounded(&current.version, NAME_CHARS_MAX);
        }
        for update in &mut self.updates {
            update.version = bounded(&update.version, NAME_CHARS_MAX);
            update.sha256 = bounded(&update.sha256, NAME_CHARS_MAX);
            update.notes_url =
                update.notes_url.as_deref().map(|url| bounded(url, NOTES_URL_CHARS_MAX));
        }
        self
    }
}
