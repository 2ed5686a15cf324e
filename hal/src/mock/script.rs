//! The script: a JSON file that says how the simulated terminal behaves and misbehaves.
//!
//! It is read again before every call, so that a running agent's terminal can be changed from
//! outside. A missing file is an empty script. A file that cannot be used stops
//! [`MockTerminal::open`](super::MockTerminal::open); on a running terminal it leaves the script
//! before it in force and is logged. Unknown fields are refused.
//!
//! # Fields
//! Every field may be left out.
//!
//! | field | default | meaning |
//! |---|---|---|
//! | `capabilities` | all six | list of `payments`, `logs`, `firmware`, `screen`, `power`, `health`; read when the agent starts |
//! | `methods` | none | faults by method, see below |
//! | `payment_active` | none | `{"state":"cancellable"}` or `{"state":"committed"}`, with `for_ms` it ends by itself; it begins when the script is read |
//! | `payments` | none | payments to take: `id` (taken once each), `sale`, and optionally `tip`, `scheme`, `kind` `purchase`/`refund`, `outcome` `approved`/`declined`/`reversed`, `offline` |
//! | `payments_per_hour` | 18 | at the busiest hour; 0 for no simulated customers |
//! | `host` | `reachable` | `unreachable`, `mismatch` (its totals differ), `unconfirmed` (it does not confirm) |
//! | `offline_forwarding` | true | whether payments taken offline can be forwarded |
//! | `query_close_says` | the truth | `unknown` or `running` |
//! | `battery_level` | simulated | 0 to 100 |
//! | `no_battery` | false | a terminal without a battery |
//! | `power` | simulated | `charging`, `mains`, `battery`, `insufficient` |
//! | `network` | Wi-Fi | `{"type":"cellular","rssi_dbm":-90,"metered":true}`, or `null` for none |
//! | `printer` | `ok` | `paper_low`, `no_paper`, `fault`, `absent` |
//! | `tampered` | false | tamper detection has fired |
//! | `updates` | 2 offers | list of `version`, and optionally `channel`, `component`, `size_bytes`, `mandatory`, `required_at`, `security_fix` |
//! | `window_open` | true | maintenance window |
//! | `window_opens_in_s` | 3600 | what a closed window answers |
//! | `window_follows_clock` | false | the window is a time of day of the system clock |
//! | `health_check` | passes | `{"passes":false}` rolls back; `for_ms` is how long it takes |
//! | `reboot_never_happens` | false | `reboot` succeeds and nothing follows |
//! | `unexpected_boot` | none | `{"cause":"power","times":1}`: the next opening of the state file is a new boot; causes as in a reboot result |
//! | `chosen` | none | what somebody chooses in a menu, once for each `key`: `{"key":"1","operation":"end_of_day"}`, optionally `parameters` |
//! | `log_lines` | none | lines to mix in: `time`, `level`, `component`, `message`; proves that the agent masks what a faulty component wrote |
//!
//! # Faults
//! `methods` maps a method to an object of:
//!
//! | field | meaning |
//! |---|---|
//! | `latency_ms` | time that the call takes: half before its effect, half after it, with progress |
//! | `ignore_cancel` | true: does not stop when cancelled |
//! | `fail` | `{"code", "failure_reason"}` and optionally `retryable`, `retry_after_s`, `side_effects`, `at`, `times` |
//! | `hang` | `{}` and optionally `at`, `times`: never returns, unless cancelled |
//! | `crash` | `{}` and optionally `at`, `times`: aborts the process |
//!
//! `at` is `before_effect` (default) or `after_effect`. `times` is how often the fault strikes,
//! for ever without it; it is counted in the state file and survives the crash. A fault that the
//! script drops or changes starts at 0 again. Where several strike, it is `crash`, `hang`, `fail`.
//!
//! Cancelling before the effect gives `CANCELED` without side effects; after it, the wait ends
//! and the call succeeds. For `collect_logs` `after_effect` is after the first
//! [`LOG_LINES_BEFORE_FAULT`](super::logs::LOG_LINES_BEFORE_FAULT) lines.
//!
//! Methods: [`Method`], in snake case.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    api::LogLine,
    operation::OperationRequest,
    status::{Network, NetworkKind, PowerSource, Printer},
};

mod behaviour;
mod faults;

pub use behaviour::{
    HealthCheckBehaviour, HostBehaviour, Offer, QueryAnswer, ScriptedActivity, ScriptedPayment,
    ScriptedState, UnexpectedBoot,
};
pub use faults::{Fail, Method, Point, Rule, Strike};

/// Largest script file; a longer one is a mistake.
pub const SCRIPT_BYTES_MAX: u64 = 256 << 10;

/// How the terminal behaves. See the module for the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// What the terminal can do.
    pub capabilities: BTreeSet<Capability>,
    /// Faults by method.
    pub methods: BTreeMap<Method, Rule>,
    /// A payment in progress.
    pub payment_active: ScriptedActivity,
    /// Payments to take, once each.
    pub payments: Vec<ScriptedPayment>,
    /// Simulated customers at the busiest hour.
    pub payments_per_hour: u32,
    /// The acquirer host.
    pub host: HostBehaviour,
    /// Whether offline payments can be forwarded.
    pub offline_forwarding: bool,
    /// What `query_close` answers instead of the truth.
    pub query_close_says: Option<QueryAnswer>,
    /// Fixed charge.
    pub battery_level: Option<u8>,
    /// Whether there is no battery.
    pub no_battery: bool,
    /// Fixed power source.
    pub power: Option<PowerSource>,
    /// The network, `None` for none.
    pub network: Option<Network>,
    /// The printer.
    pub printer: Printer,
    /// Whether the tamper detection has fired.
    pub tampered: bool,
    /// Updates on offer; two simulated ones when `None`.
    pub updates: Option<Vec<Offer>>,
    /// Whether the maintenance window is open.
    pub window_open: bool,
    /// When it opens otherwise.
    pub window_opens_in_s: u32,
    /// Whether the window is a time of day of the system clock.
    pub window_follows_clock: bool,
    /// The health check after an update.
    pub health_check: HealthCheckBehaviour,
    /// Whether `reboot` does nothing.
    pub reboot_never_happens: bool,
    /// A boot that nobody asked for.
    pub unexpected_boot: Option<UnexpectedBoot>,
    /// What somebody chooses in a menu.
    pub chosen: Option<OperationRequest>,
    /// Lines to mix into the logs.
    pub log_lines: Vec<LogLine>,
}

/// A capability of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the trait of that name")]
pub enum Capability {
    Payments,
    Logs,
    Firmware,
    Screen,
    Power,
    Health,
}

impl Default for Script {
    fn default() -> Self {
        use Capability::{Firmware, Health, Logs, Payments, Power, Screen};
        Self {
            capabilities: BTreeSet::from([Payments, Logs, Firmware, Screen, Power, Health]),
            methods: BTreeMap::new(),
            payment_active: ScriptedActivity::default(),
            payments: Vec::new(),
            payments_per_hour: 18,
            host: HostBehaviour::Reachable,
            offline_forwarding: true,
            query_close_says: None,
            battery_level: None,
            no_battery: false,
            power: None,
            network: Some(Network { kind: NetworkKind::Wifi, rssi_dbm: Some(-58), metered: false }),
            printer: Printer::Ok,
            tampered: false,
            updates: None,
            window_open: true,
            window_opens_in_s: 3600,
            window_follows_clock: false,
            health_check: HealthCheckBehaviour::default(),
            reboot_never_happens: false,
            unexpected_boot: None,
            chosen: None,
            log_lines: Vec::new(),
        }
    }
}

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// Says what is wrong, what is expected, and in which line and column.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let script: Self = serde_json::from_str(text)?;
        match script.battery_level {
            Some(level) if level > 100 => {
                Err(serde::de::Error::custom(format!("battery_level: got {level}, want 0 to 100")))
            }
            Some(_) | None => Ok(script),
        }
    }
}
