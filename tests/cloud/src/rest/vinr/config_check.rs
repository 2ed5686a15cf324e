//! The limits of a terminal's configuration, as the public page has them.

use serde_json::{Map, Value};
use terminal_hal::operation::configure::limits::{
    IDLE_CHARS_MAX, OFFLINE_AMOUNT_MAX, OFFLINE_QUEUE_MAX, RECEIPT_CHANNELS, TIP_AMOUNT_MAX,
    TIP_PERCENT_MAX, TIP_SUGGESTIONS_MAX,
};

use crate::rest::{
    error::FieldError,
    problems::{Fields, show},
};

/// Everything that is wrong with a configuration as a whole.
pub(super) fn problems(config: &Map<String, Value>) -> Vec<FieldError> {
    let mut fields = Fields::of(config.clone(), "");
    fields.nested("tip", tip);
    fields.nested("receipt", receipt);
    fields.nested("display", |display| {
        display.text("idleMessage", IDLE_CHARS_MAX);
    });
    fields.nested("offlineMode", offline_mode);
    fields.problems()
}

fn tip(tip: &mut Fields) {
    let mode = tip.choice("mode", &[("percentage", TIP_PERCENT_MAX), ("fixed", TIP_AMOUNT_MAX)]);
    tip.boolean("allowCustom");
    tip.integer("smartThreshold", 0, OFFLINE_AMOUNT_MAX);
    currency(tip);
    let Some(suggestions) = tip.list("suggestions") else { return };
    let Some(max) = mode else {
        return tip.problem("mode", "want percentage or fixed beside suggestions");
    };
    if suggestions.len() > TIP_SUGGESTIONS_MAX {
        let got = suggestions.len();
        tip.problem("suggestions", format!("got {got}, want at most {TIP_SUGGESTIONS_MAX}"));
    }
    let mut least = 1;
    for (index, value) in suggestions.iter().enumerate().take(TIP_SUGGESTIONS_MAX) {
        match value.as_u64().filter(|number| (least..=max).contains(number)) {
            Some(number) => least = number + 1,
            None => {
                let wanted = format!("got {}, want an integer of {least} to {max}", show(value));
                tip.problem(&format!("suggestions[{index}]"), wanted);
            }
        }
    }
}

fn receipt(receipt: &mut Fields) {
    receipt.boolean("requireConsent");
    let Some(channels) = receipt.list("channels") else { return };
    if !(1..=RECEIPT_CHANNELS.len()).contains(&channels.len()) {
        receipt.problem(
            "channels",
            format!("got {}, want 1 to {}", channels.len(), RECEIPT_CHANNELS.len()),
        );
    }
    for (index, channel) in channels.iter().enumerate().take(RECEIPT_CHANNELS.len()) {
        let known = channel.as_str().is_some_and(|name| RECEIPT_CHANNELS.contains(&name));
        let again = channels.iter().take(index).any(|before| before == channel);
        if !known || again {
            let problem = format!("got {}, want print, email or sms, each once", show(channel));
            receipt.problem(&format!("channels[{index}]"), problem);
        }
    }
}

fn offline_mode(offline: &mut Fields) {
    let enabled = offline.boolean("enabled") == Some(true);
    let amount = offline.has("maxAmount");
    let queue = offline.has("maxQueue");
    offline.integer("maxAmount", 0, OFFLINE_AMOUNT_MAX);
    offline.integer("maxQueue", 1, OFFLINE_QUEUE_MAX);
    offline.integer("maxTotalAmount", 0, OFFLINE_AMOUNT_MAX);
    currency(offline);
    for (name, is_there) in [("maxAmount", amount), ("maxQueue", queue)] {
        if enabled && !is_there {
            offline.problem(name, "is missing, want an integer while offlineMode is enabled");
        }
    }
}

fn currency(fields: &mut Fields) {
    let Some(code) = fields.line("currency", 3) else { return };
    if code.len() != 3 || !code.bytes().all(|letter| letter.is_ascii_uppercase()) {
        fields.problem("currency", format!("got {code:?}, want three capital letters"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(config: Value) -> Vec<String> {
        let found = problems(config.as_object().unwrap());
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
                "tip.suggestions",
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
