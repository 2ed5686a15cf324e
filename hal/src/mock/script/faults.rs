//! How a method misbehaves.

use serde::{Deserialize, Serialize};

use crate::{ErrorCode, Failure, SideEffects};

/// A method of a capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the method of that name")]
pub enum Method {
    Instance,
    Activity,
    HoldPayments,
    ReleasePayments,
    CloseBatch,
    QueryClose,
    SetLocked,
    ApplySettings,
    CollectLogs,
    Versions,
    CheckUpdate,
    CheckReady,
    InstallUpdate,
    QueryUpdate,
    OpenMenu,
    ShowMessage,
    BootId,
    Reboot,
    RestartApplication,
    ResetCause,
    Health,
}

impl Method {
    /// The name in scripts and in progress reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Activity => "activity",
            Self::HoldPayments => "hold_payments",
            Self::ReleasePayments => "release_payments",
            Self::CloseBatch => "close_batch",
            Self::QueryClose => "query_close",
            Self::SetLocked => "set_locked",
            Self::ApplySettings => "apply_settings",
            Self::CollectLogs => "collect_logs",
            Self::Versions => "versions",
            Self::CheckUpdate => "check_update",
            Self::CheckReady => "check_ready",
            Self::InstallUpdate => "install_update",
            Self::QueryUpdate => "query_update",
            Self::OpenMenu => "open_menu",
            Self::ShowMessage => "show_message",
            Self::BootId => "boot_id",
            Self::Reboot => "reboot",
            Self::RestartApplication => "restart_application",
            Self::ResetCause => "reset_cause",
            Self::Health => "health",
        }
    }
}

/// How one method misbehaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Time that the call takes.
    pub latency_ms: u64,
    /// Whether it goes on when cancelled.
    pub ignore_cancel: bool,
    /// Fails.
    pub fail: Option<Fail>,
    /// Never returns.
    pub hang: Option<Strike>,
    /// Aborts the process.
    pub crash: Option<Strike>,
}

/// Where and how often a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Strike {
    /// Before or after the call takes effect.
    pub at: Point,
    /// How often; for ever when `None`.
    pub times: Option<u32>,
}

/// A point of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Point {
    /// Nothing has happened yet.
    #[default]
    BeforeEffect,
    /// It has taken effect, durably.
    AfterEffect,
}

/// A scripted failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fail {
    /// The code.
    pub code: ErrorCode,
    /// For people.
    pub failure_reason: String,
    /// As the code says when `None`.
    #[serde(default)]
    pub retryable: Option<bool>,
    /// When to try again.
    #[serde(default)]
    pub retry_after_s: Option<u32>,
    /// `none` before the effect and `unknown` after it when `None`.
    #[serde(default)]
    pub side_effects: Option<SideEffects>,
    /// Before or after the call takes effect.
    #[serde(default)]
    pub at: Point,
    /// How often; for ever when `None`.
    #[serde(default)]
    pub times: Option<u32>,
}

impl Fail {
    /// The failure that the caller gets.
    pub(in crate::mock) fn failure(&self) -> Failure {
        let mut failure = Failure::new(self.code, &self.failure_reason);
        failure.retryable = self.retryable.unwrap_or(failure.retryable);
        failure.retry_after_s = self.retry_after_s;
        failure.side_effects = self.side_effects.unwrap_or(match self.at {
            Point::BeforeEffect => SideEffects::None,
            Point::AfterEffect => SideEffects::Unknown,
        });
        failure
    }
}
