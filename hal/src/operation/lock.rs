//! `lock` and `unlock`: stop and resume taking payments. A lock survives a power cycle unless it
//! says otherwise.

use serde::{Deserialize, Serialize};

use super::{InvalidParameters, Validate, check_line};
#[cfg(feature = "schema")]
use crate::schema::LINE;
use crate::{Timestamp, text::NOTE_CHARS_MAX};

/// Longest text on the screen of a locked terminal.
pub const MESSAGE_CHARS_MAX: usize = 60;

/// Why, and what the screen says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LockParameters {
    /// For the audit trail, at most 128 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = NOTE_CHARS_MAX), regex(pattern = LINE))
    )]
    pub reason: Option<String>,
    /// Shown on the screen, at most 60 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = MESSAGE_CHARS_MAX), regex(pattern = LINE))
    )]
    pub message: Option<String>,
    /// Let an active payment finish first; otherwise it is cancelled.
    pub finish_active_payment: bool,
    /// Whether a restart clears the lock.
    pub clear_on_reboot: bool,
}

impl Default for LockParameters {
    fn default() -> Self {
        Self { reason: None, message: None, finish_active_payment: true, clear_on_reboot: false }
    }
}

/// Why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct UnlockParameters {
    /// For the audit trail, at most 128 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = NOTE_CHARS_MAX), regex(pattern = LINE))
    )]
    pub reason: Option<String>,
}

impl Validate for LockParameters {
    fn validate(&self) -> Result<(), InvalidParameters> {
        check_line("reason", self.reason.as_deref(), NOTE_CHARS_MAX)?;
        check_line("message", self.message.as_deref(), MESSAGE_CHARS_MAX)
    }
}

impl Validate for UnlockParameters {
    fn validate(&self) -> Result<(), InvalidParameters> {
        check_line("reason", self.reason.as_deref(), NOTE_CHARS_MAX)
    }
}

/// The state of the lock after `lock` or `unlock`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LockResult {
    /// Whether payments are stopped.
    pub locked: bool,
    /// False when it was so before.
    pub changed: bool,
    /// Since when it is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked_at: Option<Timestamp>,
    /// Payments that wait to be forwarded.
    pub pending_offline: u64,
}
