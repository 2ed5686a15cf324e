//! The settings that both ends know, and what is wrong with a configuration: everything at once, each
//! with its path, what is there and the limit.
//!
//! The sections are `tip`, `receipt`, `display` and `offlineMode`. An application may have more, of
//! which it alone knows the limits; so [`problems`] and [`unknown`] are apart. `null` is the same as
//! absent.

use serde_json::{Map, Value};

use crate::{
    operation::{SettingProblem, configure::PROBLEMS_MAX},
    text::{bounded, line_problem},
};

/// Tip suggestions that fit on the screen.
const SUGGESTIONS_MAX: usize = 4;
/// Largest tip suggestion in percent.
const TIP_PERCENT_MAX: u64 = 100;
/// Largest tip suggestion, in minor units.
const TIP_AMOUNT_MAX: u64 = 1_000_000;
/// Characters that fit on the idle screen.
const IDLE_CHARS_MAX: usize = 60;
/// Largest offline payment, in minor units.
const OFFLINE_AMOUNT_MAX: u64 = 100_000_000;
/// Longest offline queue.
const OFFLINE_QUEUE_MAX: u64 = 10_000;

const CHANNELS: [&str; 3] = ["print", "email", "sms"];

/// Every section with its fields.
const KNOWN: [(&str, &[&str]); 4] = [
    ("tip", &["mode", "suggestions", "allowCustom", "smartThreshold", "currency"]),
    ("receipt", &["channels", "requireConsent"]),
    ("display", &["idleMessage"]),
    ("offlineMode", &["enabled", "maxAmount", "maxQueue", "maxTotalAmount", "currency"]),
];

/// Every known setting that is beyond its limits, at most [`PROBLEMS_MAX`].
pub fn problems(config: &Map<String, Value>) -> Vec<SettingProblem> {
    let mut check = Check { problems: Vec::new() };
    check.tip(config);
    check.receipt(config);
    check.display(config);
    check.offline_mode(config);
    check.problems
}

/// Every setting that is not one of the known ones, at most [`PROBLEMS_MAX`].
pub fn unknown(config: &Map<String, Value>) -> Vec<SettingProblem> {
    let mut check = Check { problems: Vec::new() };
    for (name, value) in config {
        let Some((_, fields)) = KNOWN.iter().find(|(known, _)| known == name) else {
            check.add(
                name,
                "UNKNOWN_SETTING",
                format!("want {}", KNOWN.map(|(n, _)| n).join(", ")),
            );
            continue;
        };
        for field in value.as_object().into_iter().flat_map(Map::keys) {
            if !fields.contains(&field.as_str()) {
                let message = format!("want {}", fields.join(", "));
                check.add(&format!("{name}.{field}"), "UNKNOWN_SETTING", message);
            }
        }
    }
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
        let Some(tip) = self.section(config, "tip") else { return };
        let mode = self.choice(tip, "tip.mode", &["percentage", "fixed"]);
        self.boolean(tip, "tip.allowCustom");
        self.integer(tip, "tip.smartThreshold", 0, OFFLINE_AMOUNT_MAX);
        self.currency(tip, "tip.currency");
        let Some(suggestions) = present(tip, "tip.suggestions") else { return };
        if present(tip, "tip.mode").is_none() {
            self.add("tip.mode", "MISSING", "want percentage or fixed beside suggestions");
        }
        let max = if mode == Some("fixed") { TIP_AMOUNT_MAX } else { TIP_PERCENT_MAX };
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

    fn receipt(&mut self, config: &Map<String, Value>) {
        let Some(receipt) = self.section(config, "receipt") else { return };
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
                Some(_) => {}
                None => self.wrong_type(&path, channel, "print, email or sms"),
            }
        }
    }

    fn display(&mut self, config: &Map<String, Value>) {
        let Some(display) = self.section(config, "display") else { return };
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
        let Some(offline) = self.section(config, "offlineMode") else { return };
        let enabled = self.boolean(offline, "offlineMode.enabled");
        self.integer(offline, "offlineMode.maxAmount", 0, OFFLINE_AMOUNT_MAX);
        self.integer(offline, "offlineMode.maxQueue", 1, OFFLINE_QUEUE_MAX);
        self.integer(offline, "offlineMode.maxTotalAmount", 0, OFFLINE_AMOUNT_MAX);
        self.currency(offline, "offlineMode.currency");
        for path in ["offlineMode.maxAmount", "offlineMode.maxQueue"] {
            if enabled == Some(true) && present(offline, path).is_none() {
                self.add(path, "MISSING", "required while offlineMode is enabled");
            }
        }
    }

    fn section<'a>(
        &mut self,
        config: &'a Map<String, Value>,
        name: &str,
    ) -> Option<&'a Map<String, Value>> {
        let value = present(config, name)?;
        if !value.is_object() {
            self.wrong_type(name, value, "an object");
        }
        value.as_object()
    }

    fn currency(&mut self, section: &Map<String, Value>, path: &str) {
        let Some(value) = present(section, path) else { return };
        let is_code =
            |code: &str| code.len() == 3 && code.bytes().all(|letter| letter.is_ascii_uppercase());
        if !value.as_str().is_some_and(is_code) {
            self.add(path, "UNSUPPORTED_VALUE", got(value, "three capital letters"));
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(config: Value) -> Vec<String> {
        let config = config.as_object().unwrap();
        let found = [unknown(config), problems(config)].concat();
        found.into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn the_limits_hold_at_n_and_n_plus_one() {
        let good = json!({
            "tip": { "mode": "percentage", "suggestions": [1, 15, 20, 100] },
            "receipt": { "channels": ["print", "email", "sms"], "requireConsent": true },
            "display": { "idleMessage": "å".repeat(60) },
            "offlineMode": { "enabled": true, "maxAmount": 100_000_000, "maxQueue": 10_000 },
        });
        assert_eq!(paths(good), Vec::<String>::new());
        let fixed = json!({ "tip": { "mode": "fixed", "suggestions": [1_000_000] } });
        assert_eq!(paths(fixed), Vec::<String>::new());
        for (config, path) in [
            (
                json!({ "tip": { "mode": "fixed", "suggestions": [1, 2, 3, 4, 5] } }),
                "tip.suggestions[4]",
            ),
            (
                json!({ "tip": { "mode": "percentage", "suggestions": [101] } }),
                "tip.suggestions[0]",
            ),
            (json!({ "tip": { "mode": "fixed", "suggestions": [5, 5] } }), "tip.suggestions[1]"),
            (json!({ "tip": { "mode": "fixed", "suggestions": [0] } }), "tip.suggestions[0]"),
            (json!({ "tip": { "suggestions": [1] } }), "tip.mode"),
            (json!({ "tip": { "mode": "free" } }), "tip.mode"),
            (json!({ "tip": { "currency": "nok" } }), "tip.currency"),
            (json!({ "receipt": { "channels": [] } }), "receipt.channels"),
            (json!({ "receipt": { "channels": ["fax"] } }), "receipt.channels[0]"),
            (json!({ "receipt": { "channels": ["sms", "sms"] } }), "receipt.channels[1]"),
            (json!({ "receipt": { "requireConsent": 1 } }), "receipt.requireConsent"),
            (json!({ "display": { "idleMessage": "å".repeat(61) } }), "display.idleMessage"),
            (json!({ "offlineMode": { "enabled": true, "maxQueue": 1 } }), "offlineMode.maxAmount"),
            (json!({ "offlineMode": { "maxQueue": 10_001 } }), "offlineMode.maxQueue"),
            (json!({ "offlineMode": { "maxAmount": 100_000_001 } }), "offlineMode.maxAmount"),
            (json!({ "colour": "red" }), "colour"),
            (json!({ "display": { "font": 1 } }), "display.font"),
        ] {
            assert_eq!(paths(config.clone()), [path], "{config}");
        }
    }
}
