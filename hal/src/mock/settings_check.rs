//! What is wrong with a configuration: everything at once, each with its path.

use serde_json::{Map, Value};

use super::totals::CURRENCY;
use crate::{
    api::SettingProblem,
    operation::configure::PROBLEMS_MAX,
    text::{bounded, line_problem},
};

/// Tip suggestions that fit on the screen.
const SUGGESTIONS_MAX: usize = 4;
/// Characters that fit on the idle screen.
const IDLE_CHARS_MAX: usize = 60;
/// Largest tip suggestion, in minor units.
const TIP_AMOUNT_MAX: u64 = 1_000_000;
/// Largest offline payment, in minor units.
const OFFLINE_AMOUNT_MAX: u64 = 100_000_000;
/// Longest offline queue.
const OFFLINE_QUEUE_MAX: u64 = 10_000;

const CHANNELS: [&str; 3] = ["print", "email", "sms"];

/// Every problem of a configuration.
pub(super) fn problems(config: &Map<String, Value>, has_printer: bool) -> Vec<SettingProblem> {
    let mut check = Check { problems: Vec::new() };
    for name in config.keys() {
        if !["tip", "receipt", "display", "offlineMode"].contains(&name.as_str()) {
            check.add(name, "UNKNOWN_SETTING", "want tip, receipt, display or offlineMode");
        }
    }
    check.tip(config);
    check.receipt(config, has_printer);
    check.display(config);
    check.offline_mode(config);
    check.problems
}

struct Check {
    problems: Vec<SettingProblem>,
}

impl Check {
    fn add(&mut self, path: &str, code: &str, message: impl AsRef<str>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(SettingProblem {
                path: bounded(path, 64),
                code: code.to_owned(),
                message: bounded(message.as_ref(), 128),
            });
        }
    }

    fn tip(&mut self, config: &Map<String, Value>) {
        let known = ["mode", "suggestions", "allowCustom", "smartThreshold", "currency"];
        let Some(tip) = self.section(config, "tip", &known) else { return };
        let mode = self.choice(tip, "tip.mode", &["percentage", "fixed"]);
        self.boolean(tip, "tip.allowCustom");
        self.integer(tip, "tip.smartThreshold", 0, OFFLINE_AMOUNT_MAX);
        self.choice(tip, "tip.currency", &[CURRENCY]);
        let Some(suggestions) = present(tip, "tip.suggestions") else { return };
        if present(tip, "tip.mode").is_none() {
            self.add("tip.mode", "MISSING", "want percentage or fixed beside suggestions");
        }
        let max = if mode == Some("fixed") { TIP_AMOUNT_MAX } else { 100 };
        self.suggestions(suggestions, max);
    }

    fn suggestions(&mut self, suggestions: &Value, max: u64) {
        let Some(list) = suggestions.as_array() else {
            return self.wrong_type("tip.suggestions", suggestions, "a list of integers");
        };
        let mut last = None;
        for (index, value) in list.iter().enumerate() {
            let path = format!("tip.suggestions[{index}]");
            if index >= SUGGESTIONS_MAX {
                let message = format!("got {}, want at most {SUGGESTIONS_MAX}", list.len());
                return self.add(&path, "TOO_MANY", message);
            }
            let number = self.number(value, &path, 1, max);
            if number.is_some() && last.is_some() && number <= last {
                self.add(&path, "NOT_ASCENDING", format!("got {value}, want more than before it"));
            }
            last = number.or(last);
        }
    }

    fn receipt(&mut self, config: &Map<String, Value>, has_printer: bool) {
        let known = ["channels", "requireConsent"];
        let Some(receipt) = self.section(config, "receipt", &known) else { return };
        self.boolean(receipt, "receipt.requireConsent");
        let path = "receipt.channels";
        let Some(channels) = present(receipt, path) else { return };
        let Some(list) = channels.as_array() else {
            return self.wrong_type(path, channels, "a list of print, email, sms");
        };
        if list.is_empty() {
            self.add(path, "TOO_FEW", "got none, want 1 to 3");
        }
        for (index, channel) in list.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if index >= CHANNELS.len() {
                return self.add(&path, "TOO_MANY", format!("got {}, want 1 to 3", list.len()));
            }
            match channel.as_str() {
                Some(name) if !CHANNELS.contains(&name) => {
                    self.add(&path, "UNSUPPORTED_VALUE", got(channel, "print, email or sms"));
                }
                Some(_) if list.iter().take(index).any(|before| before == channel) => {
                    self.add(&path, "NOT_UNIQUE", format!("{channel} is there twice"));
                }
                Some("print") if !has_printer => {
                    self.add(&path, "UNSUPPORTED_BY_HARDWARE", "this terminal has no printer");
                }
                Some(_) => {}
                None => self.wrong_type(&path, channel, "print, email or sms"),
            }
        }
    }

    fn display(&mut self, config: &Map<String, Value>) {
        let Some(display) = self.section(config, "display", &["idleMessage"]) else { return };
        let path = "display.idleMessage";
        let Some(message) = present(display, path) else { return };
        let Some(text) = message.as_str() else {
            return self.wrong_type(path, message, "a text");
        };
        if let Some(problem) = line_problem(text, 0, IDLE_CHARS_MAX) {
            let long = text.chars().count() > IDLE_CHARS_MAX;
            self.add(path, if long { "TOO_LONG" } else { "CONTROL_CHARACTER" }, problem);
        }
    }

    fn offline_mode(&mut self, config: &Map<String, Value>) {
        let known = ["enabled", "maxAmount", "maxQueue", "maxTotalAmount", "currency"];
        let Some(offline) = self.section(config, "offlineMode", &known) else { return };
        let enabled = self.boolean(offline, "offlineMode.enabled");
        self.integer(offline, "offlineMode.maxAmount", 0, OFFLINE_AMOUNT_MAX);
        self.integer(offline, "offlineMode.maxQueue", 1, OFFLINE_QUEUE_MAX);
        self.integer(offline, "offlineMode.maxTotalAmount", 0, OFFLINE_AMOUNT_MAX);
        self.choice(offline, "offlineMode.currency", &[CURRENCY]);
        for path in ["offlineMode.maxAmount", "offlineMode.maxQueue"] {
            if enabled == Some(true) && present(offline, path).is_none() {
                self.add(path, "MISSING", "required while offlineMode is enabled");
            }
        }
    }

    /// A section, with a problem for each field that it should not have.
    fn section<'a>(
        &mut self,
        config: &'a Map<String, Value>,
        name: &str,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let value = present(config, name)?;
        let Some(section) = value.as_object() else {
            self.wrong_type(name, value, "an object");
            return None;
        };
        for field in section.keys().filter(|field| !known.contains(&field.as_str())) {
            let message = format!("want {}", known.join(", "));
            self.add(&format!("{name}.{field}"), "UNKNOWN_SETTING", message);
        }
        Some(section)
    }

    fn boolean(&mut self, section: &Map<String, Value>, path: &str) -> Option<bool> {
        let value = present(section, path)?;
        if !value.is_boolean() {
            self.wrong_type(path, value, "true or false");
        }
        value.as_bool()
    }

    fn choice<'a>(
        &mut self,
        section: &'a Map<String, Value>,
        path: &str,
        choices: &[&str],
    ) -> Option<&'a str> {
        let value = present(section, path)?;
        let text = value.as_str();
        if text.is_none_or(|text| !choices.contains(&text)) {
            self.add(path, "UNSUPPORTED_VALUE", got(value, &choices.join(" or ")));
        }
        text
    }

    fn integer(&mut self, section: &Map<String, Value>, path: &str, min: u64, max: u64) {
        if let Some(value) = present(section, path) {
            self.number(value, path, min, max);
        }
    }

    fn number(&mut self, value: &Value, path: &str, min: u64, max: u64) -> Option<u64> {
        let wanted = format!("an integer of {min} to {max}");
        if !value.is_i64() && !value.is_u64() {
            self.wrong_type(path, value, &wanted);
            return None;
        }
        let number = value.as_u64().filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.add(path, "OUT_OF_RANGE", got(value, &wanted));
        }
        number
    }

    fn wrong_type(&mut self, path: &str, value: &Value, wanted: &str) {
        self.add(path, "WRONG_TYPE", got(value, wanted));
    }
}

/// The field that a path ends in; `null` is the same as absent.
fn present<'a>(section: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let field = path.rsplit('.').next().unwrap_or(path);
    section.get(field).filter(|value| !value.is_null())
}

fn got(value: &Value, wanted: &str) -> String {
    format!("got {}, want {wanted}", bounded(&value.to_string(), 40))
}
