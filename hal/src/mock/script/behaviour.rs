//! How the terminal and what is around it behave.

use serde::{Deserialize, Serialize};

use crate::{
    Timestamp,
    api::PaymentActivity,
    mock::state::{PaymentKind, PaymentOutcome},
    operation::{
        check_update::{Channel, Component},
        reboot::BootReason,
    },
};

/// A payment in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptedActivity {
    /// Whether, and how far it is.
    pub state: ScriptedState,
    /// Ends by itself after this.
    pub for_ms: Option<u64>,
}

/// Whether a payment is in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptedState {
    /// No.
    #[default]
    None,
    /// Yes, and it can be cancelled.
    Cancellable,
    /// Yes, and it cannot be stopped.
    Committed,
}

impl From<ScriptedState> for PaymentActivity {
    fn from(state: ScriptedState) -> Self {
        match state {
            ScriptedState::None => Self::Idle,
            ScriptedState::Cancellable => Self::Cancellable,
            ScriptedState::Committed => Self::Committed,
        }
    }
}

/// A payment to take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedPayment {
    /// Taken once per id.
    pub id: String,
    /// The payment.
    pub sale: u32,
    /// Tip on top.
    #[serde(default)]
    pub tip: u32,
    /// Card scheme, `visa` when absent.
    #[serde(default)]
    pub scheme: Option<String>,
    /// Purchase or refund.
    #[serde(default)]
    pub kind: PaymentKind,
    /// What became of it.
    #[serde(default)]
    pub outcome: PaymentOutcome,
    /// Whether it was authorised offline.
    #[serde(default)]
    pub offline: bool,
}

/// How the acquirer host answers a close.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HostBehaviour {
    /// It agrees.
    #[default]
    Reachable,
    /// `HOST_UNREACHABLE`; nothing is closed.
    Unreachable,
    /// Outcome `mismatch`; the batch stays open.
    Mismatch,
    /// Outcome `unconfirmed`; the batch stays open.
    Unconfirmed,
}

/// What `query_close` answers instead of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryAnswer {
    /// It cannot tell.
    Unknown,
    /// Still at it.
    Running,
}

/// An update on offer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    /// Release channel, `stable` when absent.
    #[serde(default)]
    pub channel: Channel,
    /// What it updates, `firmware` when absent. Only firmware can be installed.
    #[serde(default = "Offer::component")]
    pub component: Component,
    /// To which version.
    pub version: String,
    /// Size of the download.
    #[serde(default = "Offer::size_bytes")]
    pub size_bytes: u64,
    /// Whether the merchant may not put it off.
    #[serde(default)]
    pub mandatory: bool,
    /// When it becomes mandatory.
    #[serde(default)]
    pub required_at: Option<Timestamp>,
    /// Whether it closes a security hole.
    #[serde(default)]
    pub security_fix: bool,
}

impl Offer {
    const fn component() -> Component {
        Component::Firmware
    }

    const fn size_bytes() -> u64 {
        48 << 20
    }

    /// Firmware on offer.
    pub fn firmware(channel: Channel, version: &str) -> Self {
        Self {
            channel,
            component: Self::component(),
            version: version.to_owned(),
            size_bytes: Self::size_bytes(),
            mandatory: false,
            required_at: None,
            security_fix: false,
        }
    }
}

/// The health check after an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthCheckBehaviour {
    /// Whether the new system is kept.
    pub passes: bool,
    /// How long it takes.
    pub for_ms: u64,
}

impl Default for HealthCheckBehaviour {
    fn default() -> Self {
        Self { passes: true, for_ms: 0 }
    }
}

/// A boot that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnexpectedBoot {
    /// Why.
    pub cause: BootReason,
    /// How often; at every opening when `None`.
    #[serde(default)]
    pub times: Option<u32>,
}
