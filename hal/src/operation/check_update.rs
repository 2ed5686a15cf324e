//! `check_update`: what could be installed. Installs nothing.

use serde::{Deserialize, Serialize};

use super::{InvalidParameters, Validate, check_line, check_range};
use crate::{ErrorCode, Timestamp, text::bounded};

/// Most updates that one answer lists.
pub const UPDATES_MAX: usize = 16;

/// Where to look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckUpdateParameters {
    /// Release channel.
    pub channel: Channel,
    /// Only these components; all when empty. At most 16.
    pub components: Vec<String>,
}

/// Release channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
        self.components.iter().try_for_each(|name| check_line("components", Some(name), 64))
    }
}

/// What runs and what could run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckUpdateResult {
    /// Whether `updates` holds anything.
    pub available: bool,
    /// What runs now.
    pub current: Vec<ComponentVersion>,
    /// What could be installed, at most [`UPDATES_MAX`].
    pub updates: Vec<AvailableUpdate>,
    /// When the source was asked.
    pub checked_at: Timestamp,
    /// Why an installation would be refused now.
    #[serde(default)]
    pub blocked_by: Vec<ErrorCode>,
}

/// A component and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentVersion {
    /// Which.
    pub component: Component,
    /// Its version, 1 to 64 characters.
    pub version: String,
}

/// What software a terminal has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct AvailableUpdate {
    /// Which component.
    pub component: Component,
    /// To which version.
    pub version: String,
    /// Size of the download.
    pub size_bytes: u64,
    /// SHA-256 of the download, 64 hex digits.
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
            current.version = bounded(&current.version, 64);
        }
        for update in &mut self.updates {
            update.version = bounded(&update.version, 64);
            update.sha256 = bounded(&update.sha256, 64);
            update.notes_url = update.notes_url.as_deref().map(|url| bounded(url, 512));
        }
        self
    }
}
