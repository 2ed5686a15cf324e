//! The capability traits: what a backend implements so that the agent can run operations.
//!
//! One small trait per capability. A backend leaves out what its hardware lacks; the operations
//! that need it are then unsupported, and the agent tells the cloud so. Futures may be dropped at
//! any await point: a dropped call has been abandoned, not necessarily undone.

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{Failure, OperationKind};

mod call;
mod capabilities;

pub use crate::operation::{IfPaymentActive, SettingProblem};
pub use call::{Call, CallHandle, Cancellation, Progress, call};
pub use capabilities::{
    CloseState, Firmware, Health, HoldPolicy, InstallOutcome, LOG_COMPONENT_CHARS_MAX,
    LOG_MESSAGE_CHARS_MAX, LockRequest, LogLine, LogRange, LogStream, Logs, PaymentActivity,
    Payments, Power, SCREEN_MESSAGE_CHARS_MAX, Screen, SettingsOutcome, UpdateState,
};

/// What a backend's method returns: boxed, so that backends can be chosen by configuration.
pub type HalFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// The capabilities of one terminal, possibly from several backends.
#[derive(Clone, Default)]
pub struct Hal {
    /// Payment application.
    pub payments: Option<Arc<dyn Payments>>,
    /// Log sources.
    pub logs: Option<Arc<dyn Logs>>,
    /// Software updates.
    pub firmware: Option<Arc<dyn Firmware>>,
    /// Screen.
    pub screen: Option<Arc<dyn Screen>>,
    /// Restart and boot identity.
    pub power: Option<Arc<dyn Power>>,
    /// State of the terminal.
    pub health: Option<Arc<dyn Health>>,
}

/// A part of a terminal, as one trait describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is the trait of that name")]
pub enum Capability {
    Payments,
    Screen,
    Logs,
    Firmware,
    Power,
    Health,
}

impl Capability {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Payments, Self::Screen, Self::Logs, Self::Firmware, Self::Power, Self::Health];

    /// Its name in configuration files and on the vendor socket.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payments => "payments",
            Self::Screen => "screen",
            Self::Logs => "logs",
            Self::Firmware => "firmware",
            Self::Power => "power",
            Self::Health => "health",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.as_str() == name)
    }
}

impl Hal {
    /// The operations that these capabilities can run, in the order of the protocol reference.
    pub fn operations(&self) -> Vec<OperationKind> {
        OperationKind::ALL.into_iter().filter(|kind| self.supports(*kind)).collect()
    }

    fn supports(&self, kind: OperationKind) -> bool {
        match kind {
            OperationKind::EndOfDay
            | OperationKind::Lock
            | OperationKind::Unlock
            | OperationKind::Configure => self.payments.is_some(),
            OperationKind::SendLogs => self.logs.is_some(),
            OperationKind::CheckUpdate => self.firmware.is_some(),
            OperationKind::OpenMenu => self.screen.is_some(),
            OperationKind::Reboot => self.power.is_some(),
            OperationKind::Update => self.firmware.is_some() && self.power.is_some(),
        }
    }
}
