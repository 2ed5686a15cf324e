//! What a terminal says about itself. Absent means unknown, never a made-up value.

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::schema::LINE;
use crate::{
    Timestamp,
    text::{CURRENCY_CHARS, NAME_CHARS_MAX, bounded, line_problem},
};

/// Bounds of `temperature_c`.
const TEMPERATURE_C: std::ops::RangeInclusive<i16> = -60..=150;
/// Bounds of `rssi_dbm`.
const RSSI_DBM: std::ops::RangeInclusive<i16> = -150..=0;

/// State of the hardware and the payment application at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TerminalHealth {
    /// Charge, 0 to 100 percent.
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub battery_level: Option<u8>,
    /// Where the power comes from.
    pub power: Option<PowerSource>,
    /// The network that carries the link.
    pub network: Option<Network>,
    /// Free bytes where the agent stores its records.
    pub storage_free_bytes: Option<u64>,
    /// That of the hottest part, in whole degrees Celsius, -60 to 150.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(range(min = *TEMPERATURE_C.start(), max = *TEMPERATURE_C.end()))
    )]
    pub temperature_c: Option<i16>,
    /// State of the printer.
    pub printer: Option<Printer>,
    /// Payments that wait to be forwarded.
    pub offline_queue: Option<OfflineQueue>,
    /// The open batch.
    pub batch: Option<Batch>,
    /// Whether a payment is in progress.
    pub payment_active: bool,
    /// Whether the terminal is locked.
    pub locked: bool,
    /// Whether the tamper detection has fired.
    pub tampered: bool,
    /// What is on the screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub screen: Option<ScreenView>,
    /// The agent has locked, and the payment application has not confirmed it. Only the agent knows.
    #[serde(skip)]
    pub lock_unconfirmed: bool,
}

impl TerminalHealth {
    /// What this does not know, as `other` knows it. What either has seen is so.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            battery_level: self.battery_level.or(other.battery_level),
            power: self.power.or(other.power),
            network: self.network.or(other.network),
            storage_free_bytes: self.storage_free_bytes.or(other.storage_free_bytes),
            temperature_c: self.temperature_c.or(other.temperature_c),
            printer: self.printer.or(other.printer),
            offline_queue: self.offline_queue.or(other.offline_queue),
            batch: self.batch.or(other.batch),
            payment_active: self.payment_active || other.payment_active,
            locked: self.locked || other.locked,
            tampered: self.tampered || other.tampered,
            screen: self.screen.or(other.screen),
            lock_unconfirmed: self.lock_unconfirmed || other.lock_unconfirmed,
        }
    }

    /// Whether it is within the documented limits.
    pub fn is_bounded(&self) -> bool {
        *self == self.clone().bounded()
    }

    /// Cuts what a backend answered to the documented limits, so that a status always fits into
    /// one frame.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.battery_level = self.battery_level.map(|percent| percent.min(100));
        self.temperature_c = self
            .temperature_c
            .map(|degrees| degrees.clamp(*TEMPERATURE_C.start(), *TEMPERATURE_C.end()));
        if let Some(network) = &mut self.network {
            network.rssi_dbm =
                network.rssi_dbm.map(|rssi| rssi.clamp(*RSSI_DBM.start(), *RSSI_DBM.end()));
        }
        if let Some(queue) = &mut self.offline_queue {
            queue.currency = bounded(&queue.currency, CURRENCY_CHARS);
        }
        if let Some(batch) = &mut self.batch {
            batch.id = bounded(&batch.id, NAME_CHARS_MAX);
        }
        self.screen = self.screen.map(ScreenView::bounded);
        self
    }
}

/// Longest text of a screen that is told, in Unicode scalar values; a longer one is not.
pub const SCREEN_TEXT_CHARS_MAX: usize = 60;

/// What somebody in front of the terminal sees: the kind of screen, and the one line that matters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = no_text_of_a_payment)
)]
pub struct ScreenView {
    /// What is in front.
    pub showing: Showing,
    /// The idle message, the message of the lock, the message that was asked for, or the name of
    /// the menu. Never anything of a payment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = SCREEN_TEXT_CHARS_MAX), regex(pattern = LINE))
    )]
    pub text: String,
}

#[cfg(feature = "schema")]
fn no_text_of_a_payment(schema: &mut schemars::Schema) {
    let either = serde_json::json!([
        { "properties": { "showing": { "not": { "const": "payment" } } } },
        { "properties": { "text": { "maxLength": 0 } } },
    ]);
    schema.insert("anyOf".to_owned(), either);
}

/// What kind of screen is in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Showing {
    /// Ready for the next payment.
    Idle,
    /// A payment: its screen is the payment application's own, and nothing of it is told.
    Payment,
    /// Something else that customers have to wait for, such as a close.
    Busy,
    /// The lock.
    Locked,
    /// A message that was asked for, such as an activation code.
    Message,
    /// A menu.
    Menu,
}

impl ScreenView {
    /// A text that is too long is left out as a whole: half a number could not be masked any more.
    fn bounded(self) -> Self {
        let is_told = self.showing != Showing::Payment
            && line_problem(&self.text, 0, SCREEN_TEXT_CHARS_MAX).is_none();
        Self { text: if is_told { self.text } else { String::new() }, ..self }
    }
}

/// Where the power comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PowerSource {
    /// On mains, battery filling.
    Charging,
    /// On mains.
    Mains,
    /// On battery.
    Battery,
    /// On mains that gives too little.
    Insufficient,
}

/// The network that carries the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Network {
    /// Kind of link.
    #[serde(rename = "type")]
    pub kind: NetworkKind,
    /// Signal strength, -150 to 0 dBm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = *RSSI_DBM.start(), max = *RSSI_DBM.end())))]
    pub rssi_dbm: Option<i16>,
    /// Whether traffic costs money.
    #[serde(default)]
    pub metered: bool,
}

/// Kind of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// Cable.
    Ethernet,
    /// Wireless LAN.
    Wifi,
    /// Mobile network.
    Cellular,
}

/// State of the printer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Printer {
    /// Ready.
    Ok,
    /// Nearly out of paper.
    PaperLow,
    /// Out of paper.
    NoPaper,
    /// Broken.
    Fault,
    /// There is none.
    Absent,
}

/// Payments that wait to be forwarded. Amounts in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OfflineQueue {
    /// How many.
    pub count: u64,
    /// Their sum.
    pub amount: i64,
    /// ISO 4217.
    #[cfg_attr(feature = "schema", schemars(length(max = CURRENCY_CHARS), regex(pattern = LINE)))]
    pub currency: String,
    /// When the oldest was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<Timestamp>,
}

/// The open batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Batch {
    /// Its id.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub id: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Payments in it.
    pub count: u64,
}
