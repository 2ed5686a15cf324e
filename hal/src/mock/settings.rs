//! The configuration of the payment application: checked as a whole, every problem named, then
//! applied as a whole or not at all.
//!
//! Sections and fields are those of the VINR terminal configuration, plus the optional
//! `tip.allowCustom`, `tip.smartThreshold`, `tip.currency`, `offlineMode.maxTotalAmount` and
//! `offlineMode.currency`. `null` is the same as absent.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    boot::IDLE_MESSAGE,
    script::Method,
    shared::Shared,
    state::{Payment, Settings},
    totals::CURRENCY,
};
use crate::{
    ErrorCode, Failure, OperationId,
    api::SettingsOutcome,
    operation::{
        SettingProblem,
        configure::{ConfigureResult, PATHS_MAX, PROBLEMS_MAX},
    },
    settings,
    status::Printer,
};

/// Offline payments that wait at most, unless the configuration says otherwise.
const QUEUE_DEFAULT: u64 = 50;

impl Shared {
    pub(super) fn apply_settings(
        &mut self,
        id: OperationId,
        revision: u64,
        config: &Map<String, Value>,
    ) -> Result<SettingsOutcome, Failure> {
        let in_force = self.state.settings.revision;
        if revision < in_force {
            let reason = format!("revision {in_force} is in force, got {revision}");
            return Err(Failure::new(ErrorCode::RevisionStale, reason));
        }
        let has_printer = self.script().printer != Printer::Absent;
        let problems = problems(config, has_printer);
        if !problems.is_empty() {
            return Ok(SettingsOutcome::Rejected(problems));
        }
        let settings = Settings { revision, config: without_nulls(config) };
        let applied = changed_paths(&self.state.settings.config, &settings.config);
        let sha256 = sha256(&settings.config);
        if settings != self.state.settings {
            self.commit(|state| {
                let idle = settings.config.get("display").and_then(|d| d.get("idleMessage"));
                let idle = idle.and_then(Value::as_str).unwrap_or(IDLE_MESSAGE);
                state.screen.idle_message = idle.to_owned();
                state.settings = settings;
                state.count_effect(id, Method::ApplySettings);
                Ok(())
            })?;
        }
        Ok(SettingsOutcome::Applied(ConfigureResult { revision, sha256, applied }))
    }
}

/// Everything that keeps a configuration from being applied, at most [`PROBLEMS_MAX`].
fn problems(config: &Map<String, Value>, has_printer: bool) -> Vec<SettingProblem> {
    let mut problems = settings::unknown(config);
    problems.extend(settings::problems(config));
    let lacks = |path: String, code: &str, message: String| SettingProblem {
        path,
        code: code.to_owned(),
        message,
    };
    let channels = config.get("receipt").and_then(|receipt| receipt.get("channels"));
    let channels = channels.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if let Some(index) = channels.iter().position(|channel| channel == "print" && !has_printer) {
        let message = "this terminal has no printer".to_owned();
        problems.push(lacks(
            format!("receipt.channels[{index}]"),
            "UNSUPPORTED_BY_HARDWARE",
            message,
        ));
    }
    for section in ["tip", "offlineMode"] {
        let currency = config.get(section).and_then(|section| section.get("currency"));
        let currency = currency.and_then(Value::as_str).unwrap_or(CURRENCY);
        if currency.len() == 3 && currency != CURRENCY {
            let message = format!("got {currency:?}, want {CURRENCY:?}");
            problems.push(lacks(format!("{section}.currency"), "UNSUPPORTED_VALUE", message));
        }
    }
    problems.truncate(PROBLEMS_MAX);
    problems
}

/// What may be taken offline.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfflineLimits {
    enabled: bool,
    amount_max: Option<i64>,
    queue_max: u64,
}

impl OfflineLimits {
    /// As the configuration says.
    pub(super) fn of(config: &Map<String, Value>) -> Self {
        let field = |name| config.get("offlineMode").and_then(|offline| offline.get(name));
        Self {
            enabled: field("enabled").and_then(Value::as_bool).unwrap_or(true),
            amount_max: field("maxAmount").and_then(Value::as_i64),
            queue_max: field("maxQueue").and_then(Value::as_u64).unwrap_or(QUEUE_DEFAULT),
        }
    }

    /// Whether the payment may join a queue of that length.
    pub(super) fn allow(self, payment: &Payment, queued: usize) -> bool {
        let queued = u64::try_from(queued).unwrap_or(u64::MAX);
        let amount = payment.sale.saturating_add(payment.tip);
        let small = self.amount_max.is_none_or(|max| amount <= max);
        self.enabled && small && queued < self.queue_max
    }
}

/// SHA-256 of the configuration as JSON without blanks and with sorted names, in hex.
fn sha256(config: &Map<String, Value>) -> String {
    let json = Value::Object(sorted(config)).to_string();
    Sha256::digest(json.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sorted also where another crate makes serde_json keep the order of insertion.
fn sorted(map: &Map<String, Value>) -> Map<String, Value> {
    let names: BTreeSet<&String> = map.keys().collect();
    let sorted_value = |value: &Value| match value.as_object() {
        Some(inner) => Value::Object(sorted(inner)),
        None => value.clone(),
    };
    names
        .into_iter()
        .filter_map(|name| map.get(name).map(|value| (name.clone(), sorted_value(value))))
        .collect()
}

fn without_nulls(map: &Map<String, Value>) -> Map<String, Value> {
    map.iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let inner = value.as_object().map(|inner| Value::Object(without_nulls(inner)));
            (name.clone(), inner.unwrap_or_else(|| value.clone()))
        })
        .collect()
}

/// `section.field` of everything that differs, at most [`PATHS_MAX`].
fn changed_paths(before: &Map<String, Value>, after: &Map<String, Value>) -> Vec<String> {
    let fields = |map: &Map<String, Value>| -> BTreeSet<(String, String)> {
        let of_section = |(name, section): (&String, &Value)| {
            let fields = section.as_object().into_iter().flat_map(Map::keys);
            fields.map(|field| (name.clone(), field.clone())).collect::<Vec<_>>()
        };
        map.iter().flat_map(of_section).collect()
    };
    let value = |map: &Map<String, Value>, (section, field): &(String, String)| {
        map.get(section).and_then(|section| section.get(field)).cloned()
    };
    fields(before)
        .union(&fields(after))
        .filter(|path| value(before, path) != value(after, path))
        .map(|(section, field)| format!("{section}.{field}"))
        .take(PATHS_MAX)
        .collect()
}
