//! One trait per capability, with the types that only they use.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::{Call, HalFuture};
use crate::{
    BootId, ErrorCode, Failure, OperationId, Timestamp,
    operation::{
        CheckUpdateParameters, CheckUpdateResult, ConfigureResult, EndOfDayParameters,
        EndOfDayResult, IfPaymentActive, LockParameters, LockResult, OpenMenuParameters,
        OpenMenuResult, SettingProblem, UnlockParameters, UpdateParameters, UpdateResult,
        check_update::ComponentVersion, reboot::BootReason, send_logs::LogLevel,
    },
    status::TerminalHealth,
    text::bounded,
};

/// The payment application.
pub trait Payments: Send + Sync {
    /// Names the running instance of the payment application; a restart changes it.
    fn instance(&self) -> HalFuture<'_, String>;

    /// Whether a payment is in progress. Only for display: see [`Payments::hold_payments`].
    fn activity(&self) -> HalFuture<'_, PaymentActivity>;

    /// Whether anybody is there who may take a payment, whatever state that application is in. Only
    /// where nobody listens, or nothing is heard in time, may the terminal be restarted without a
    /// hold. By itself anything that [`Payments::activity`] answers is a sign of life, but
    /// `HAL_UNAVAILABLE`.
    fn is_alive(&self) -> HalFuture<'_, bool> {
        Box::pin(async {
            let answer = self.activity().await;
            Ok(!answer.is_err_and(|failure| failure.code == ErrorCode::HalUnavailable))
        })
    }

    /// Refuses new payments from now on, in one atomic step with the check that none is active.
    ///
    /// The hold belongs to `call.id` and ends by itself after `policy.lease`; holding again with
    /// the same id extends it. While another id holds, this waits as for an active payment.
    ///
    /// # Errors
    /// `BUSY_PAYMENT` when the policy ran out, `CANCELED` when the call was cancelled meanwhile.
    fn hold_payments<'a>(&'a self, call: &'a Call, policy: &'a HoldPolicy) -> HalFuture<'a, ()>;

    /// Ends the hold of that id; without one, does nothing.
    fn release_payments(&self, id: OperationId) -> HalFuture<'_, ()>;

    /// Closes or reports a batch. The application stores `call.id` durably **before** its first
    /// effect, so that [`Payments::query_close`] can tell after a crash what became of it.
    fn close_batch<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a EndOfDayParameters,
    ) -> HalFuture<'a, EndOfDayResult>;

    /// What became of the close with that id.
    ///
    /// # Errors
    /// `HAL_UNAVAILABLE` while the application does not answer; the agent asks again.
    fn query_close(&self, id: OperationId) -> HalFuture<'_, CloseState>;

    /// Locks or unlocks, durably. Repeating it changes nothing.
    fn set_locked<'a>(
        &'a self,
        call: &'a Call,
        request: &'a LockRequest,
    ) -> HalFuture<'a, LockResult>;

    /// Applies a configuration as a whole, or rejects it as a whole.
    fn apply_settings<'a>(
        &'a self,
        call: &'a Call,
        revision: u64,
        config: &'a Map<String, Value>,
    ) -> HalFuture<'a, SettingsOutcome>;
}

/// Whether a payment is in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentActivity {
    /// None.
    Idle,
    /// One that can still be cancelled.
    Cancellable,
    /// One that has been sent to the acquirer and cannot be stopped any more.
    Committed,
}

/// What a hold does about an active payment, and how long it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldPolicy {
    /// The hold ends by itself after this.
    pub lease: Duration,
    /// What to do about an active payment.
    pub if_payment_active: IfPaymentActive,
    /// How long to wait for it.
    pub wait_max: Duration,
}

/// What became of a close.
#[derive(Clone, Debug, PartialEq)]
pub enum CloseState {
    /// The application has never heard of it: nothing happened.
    NotStarted,
    /// Still at it.
    Running,
    /// Finished with this result.
    Finished(Box<EndOfDayResult>),
    /// Failed; nothing is being done any more.
    Failed(Failure),
    /// The application cannot tell.
    Unknown,
}

/// Lock or unlock.
#[derive(Clone, Debug, PartialEq)]
pub enum LockRequest {
    /// Stop taking payments.
    Lock(LockParameters),
    /// Take payments again.
    Unlock(UnlockParameters),
}

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingsOutcome {
    /// In force as a whole.
    Applied(ConfigureResult),
    /// Refused as a whole; the one before is in force.
    Rejected(Vec<SettingProblem>),
}

/// Log sources.
pub trait Logs: Send + Sync {
    /// Lines of a range, oldest first. The same range gives the same lines while they are kept.
    fn collect<'a>(&'a self, call: &'a Call, range: &'a LogRange) -> HalFuture<'a, LogStream>;
}

/// Which lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// From this instant on.
    pub from: Timestamp,
    /// Before this instant.
    pub to: Timestamp,
    /// Only these components; all when empty.
    pub components: Vec<String>,
    /// This level and what is more severe.
    pub min_level: LogLevel,
}

/// Lines as they are read; the channel's bound is the back pressure. The end of the channel is
/// the end of the range.
pub type LogStream = mpsc::Receiver<Result<LogLine, Failure>>;

/// Most characters of the name of a component.
pub const LOG_COMPONENT_CHARS_MAX: usize = 64;
/// Most characters of the message of a line; the rest is cut.
pub const LOG_MESSAGE_CHARS_MAX: usize = 8_192;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub time: Timestamp,
    /// How severe.
    pub level: LogLevel,
    /// Which part of the terminal.
    pub component: String,
    /// What happened. Never card data.
    pub message: String,
}

impl LogLine {
    /// Cut to the documented limits.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.component = bounded(&self.component, LOG_COMPONENT_CHARS_MAX);
        self.message = bounded(&self.message, LOG_MESSAGE_CHARS_MAX);
        self
    }
}

/// Software updates.
pub trait Firmware: Send + Sync {
    /// What runs now.
    fn versions(&self) -> HalFuture<'_, Vec<ComponentVersion>>;

    /// What could be installed.
    fn check<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a CheckUpdateParameters,
    ) -> HalFuture<'a, CheckUpdateResult>;

    /// Whether the maintenance window is a time of day of the system clock. The agent then holds it
    /// back while nobody vouches for that clock. False where the window is told by whoever has a
    /// clock of its own.
    fn window_follows_system_clock(&self) -> bool {
        true
    }

    /// Whether [`Firmware::install`] could begin now; installs nothing. The agent asks before it
    /// closes the batch for an update. With a result where what runs is what is asked for: nothing
    /// would be installed, and no batch has to be closed.
    ///
    /// # Errors
    /// What `install` would refuse it with before it changes anything: `NO_UPDATE`,
    /// `DOWNLOAD_FAILED`, `LOW_BATTERY`, `OUTSIDE_WINDOW` with `retry_after_s`, …
    fn check_ready<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, Option<UpdateResult>>;

    /// Downloads, verifies and installs; never restarts the device.
    ///
    /// # Errors
    /// `OUTSIDE_WINDOW` with `retry_after_s` until the maintenance window opens: the agent then
    /// waits without occupying the terminal.
    fn install<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, InstallOutcome>;

    /// What became of the installation with that id, asked after a restart.
    fn query_update(&self, id: OperationId) -> HalFuture<'_, UpdateState>;
}

/// What an installation needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstallOutcome {
    /// The version runs already.
    AlreadyRunning(UpdateResult),
    /// Installed; it runs after a restart.
    RestartRequired,
}

/// What became of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateState {
    /// Never heard of it, or nothing was changed.
    NotStarted,
    /// Being installed, or its health check is running.
    Running,
    /// Installed; it runs after a restart.
    RestartRequired,
    /// The new system runs and has been committed.
    Committed(UpdateResult),
    /// Failed or rolled back.
    Failed(Failure),
    /// Cannot tell.
    Unknown,
}

/// Characters of a message that fit on the screen.
pub const SCREEN_MESSAGE_CHARS_MAX: usize = 60;

/// The screen.
pub trait Screen: Send + Sync {
    /// Opens a menu.
    fn open_menu<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a OpenMenuParameters,
    ) -> HalFuture<'a, OpenMenuResult>;

    /// Shows a line of at most 60 characters; `None` goes back to the idle screen.
    fn show_message<'a>(&'a self, message: Option<&'a str>) -> HalFuture<'a, ()>;
}

/// Restart and boot identity.
pub trait Power: Send + Sync {
    /// Identity of this boot.
    fn boot_id(&self) -> HalFuture<'_, BootId>;

    /// Restarts the device. Success means that the restart has been set in motion; the process
    /// is then told to stop as at any shutdown.
    fn reboot<'a>(&'a self, call: &'a Call) -> HalFuture<'a, ()>;

    /// Restarts the payment application and returns when its instance has changed.
    fn restart_application<'a>(&'a self, call: &'a Call) -> HalFuture<'a, ()>;

    /// Why this boot happened, as the hardware tells it.
    fn reset_cause(&self) -> HalFuture<'_, BootReason>;
}

/// State of the terminal.
pub trait Health: Send + Sync {
    /// A snapshot; cheap enough for every heartbeat.
    fn health(&self) -> HalFuture<'_, TerminalHealth>;
}
