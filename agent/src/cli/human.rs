//! Answers of the agent as text for people.

use std::fmt::Write as _;

use serde_json::Value;

/// `status`: a line per fact.
pub(super) fn status(answer: &Value) -> String {
    let mut out = String::new();
    let name = answer["terminal_id"].as_str().filter(|id| !id.is_empty()).unwrap_or("no id yet");
    let agent = format!("{name}, agent {}", text(&answer["agent_version"]));
    fact(&mut out, "terminal", &agent);
    membership(&mut out, &answer["membership"]);
    fact(&mut out, "link", &link(answer));
    fact(&mut out, "state", &text(&answer["state"]));
    let attention = names(&answer["needs_attention"]);
    fact(&mut out, "attention", if attention.is_empty() { "none" } else { &attention });
    fact(&mut out, "clock", &clock(&answer["clock"]));
    fact(&mut out, "device up for", &duration(&answer["uptime_ms"]));
    fact(&mut out, "configuration", &format!("revision {}", answer["config_revision"]));
    if let Some(next) = answer["end_of_day_next"].as_str() {
        fact(&mut out, "next close", next);
    }
    fact(&mut out, "unsent reports", &answer["unsent_reports"].to_string());
    if let Some(held @ 1..) = answer["held_reports"].as_u64() {
        let held = format!("{held} of an owner before, never sent; `discard` removes them");
        fact(&mut out, "held reports", &held);
    }
    fact(&mut out, "operations", &count_or_none(&answer["operations"]));
    running(&mut out, &answer["operations"]);
    out
}

/// Why the terminal is not online; `None` when it is.
pub(super) fn offline(answer: &Value) -> Option<String> {
    let (membership, session) = (&answer["membership"], &answer["link"]);
    let what = match membership["state"].as_str() {
        // Such a link is for enrolment.
        Some("not_enrolled") => "not activated yet, the link is ",
        Some("deactivated") => "deactivated by the cloud, the link is ",
        _ if session["state"] == "up" => return None,
        _ => "the link is ",
    };
    Some(format!("{what}{}", link(answer)))
}

/// `activate`: what happens next.
pub(super) fn activate(_: &Value) -> String {
    "the terminal asks the cloud for an activation code: see its screen, or `status`\n".to_owned()
}

/// `start`: what has been begun.
pub(super) fn start(answer: &Value) -> String {
    let begun = if answer["duplicate"] == true { "had been begun before" } else { "begun" };
    format!("{begun}: see {} in `operations`\n", text(&answer["id"]))
}

/// `discard`: what is gone.
pub(super) fn discard(answer: &Value) -> String {
    format!("{} reports of an owner before are removed\n", answer["discarded"])
}

/// `operations`: what runs, what waits, what is done.
pub(super) fn operations(answer: &Value) -> String {
    let mut out = String::new();
    let (open, finished) = (&answer["operations"], &answer["finished"]);
    if is_empty(open) && is_empty(finished) {
        return "no operations yet\n".to_owned();
    }
    running(&mut out, open);
    for verdict in finished.as_array().into_iter().flatten() {
        let error = &verdict["error"];
        let detail = if error.is_null() {
            duration(&verdict["duration_ms"])
        } else {
            format!("{}: {}", text(&error["code"]), text(&error["failure_reason"]))
        };
        let sent = if verdict["acked"] == true { "" } else { " (not sent yet)" };
        let begun = match verdict["origin"].as_str() {
            Some("local") => format!(", begun here by {}", text(&verdict["created_by"])),
            _ => String::new(),
        };
        let _ = writeln!(
            out,
            "{}  {:<12} {:<10} {}  {detail}{begun}{sent}",
            text(&verdict["id"]),
            text(&verdict["operation"]),
            text(&verdict["status"]),
            text(&verdict["finished_at"]),
        );
    }
    out
}

/// Nothing for a terminal whose credentials are configured and accepted.
fn membership(out: &mut String, membership: &Value) {
    let certificate = &membership["certificate"];
    let until = match certificate["not_after"].as_str() {
        Some(until) => format!(", certificate good until {until}"),
        None => String::new(),
    };
    let state = match membership["state"].as_str() {
        Some("not_enrolled") => "not activated yet".to_owned(),
        Some("enrolled") => format!("enrolled{until}"),
        Some("deactivated") => "DEACTIVATED: the cloud does not accept this terminal".to_owned(),
        _ => return,
    };
    fact(out, "identity", &state);
    let code = &membership["activation_code"];
    if let Some(shown) = code["code"].as_str() {
        let left = duration(&code["expires_in_ms"]);
        fact(out, "activation code", &format!("{shown} (good for {left})"));
    }
    if let Some(problem) = membership["problem"].as_str() {
        fact(out, "problem", problem);
    }
}

fn fact(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(out, "{name:<16}{value}");
}

fn running(out: &mut String, operations: &Value) {
    for operation in operations.as_array().into_iter().flatten() {
        let attempt = match operation["state"].as_str() {
            Some("queued") => "waits".to_owned(),
            _ => format!("attempt {}", operation["attempt"]),
        };
        let where_from = if operation["origin"] == "local" { "begun here" } else { "asked" };
        let _ = writeln!(
            out,
            "{}  {:<12} {:<10} {attempt}, {where_from} by {}",
            text(&operation["id"]),
            text(&operation["operation"]),
            text(&operation["state"]),
            text(&operation["created_by"]),
        );
    }
}

fn link(answer: &Value) -> String {
    let link = &answer["link"];
    let state = match link["state"].as_str() {
        Some("up") => return format!("up for {}", duration(&link["ms"])),
        Some("waiting") => format!("down, next attempt in {}", duration(&link["ms"])),
        Some("connecting") => "connecting".to_owned(),
        _ => "closing".to_owned(),
    };
    match answer["last_link_end"].as_str() {
        Some(why) => format!("{state} ({why})"),
        None => state,
    }
}

fn clock(clock: &Value) -> String {
    let state = &clock["state"];
    let trust = if state["trusted"] == true { "synchronised" } else { "not synchronised" };
    let offset = match clock["cloud_offset_ms"].as_i64() {
        Some(ms) => format!(", the cloud's clock is {ms:+} ms"),
        None => String::new(),
    };
    format!("{} ({trust}{offset})", text(&state["now"]))
}

fn count_or_none(list: &Value) -> String {
    match list.as_array().map_or(0, Vec::len) {
        0 => "none".to_owned(),
        n => n.to_string(),
    }
}

fn is_empty(list: &Value) -> bool {
    list.as_array().is_none_or(Vec::is_empty)
}

fn names(list: &Value) -> String {
    let names: Vec<String> = list.as_array().into_iter().flatten().map(text).collect();
    names.join(", ")
}

/// A string without quotes; anything else as JSON writes it.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn duration(ms: &Value) -> String {
    let ms = ms.as_u64().unwrap_or(0);
    let s = ms / 1000;
    match s {
        0 => format!("{ms} ms"),
        1..=119 => format!("{s} s"),
        120..=7199 => format!("{} min", s / 60),
        7200..=172_799 => format!("{} h", s / 3600),
        _ => format!("{} d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_failed_operation_shows_its_code_its_reason_and_that_it_waits() {
        let answer = json!({ "operations": [], "finished": [{
            "id": "x", "operation": "end_of_day", "status": "FAILED", "acked": false,
            "finished_at": "t", "error": { "code": "HOST_UNREACHABLE", "failure_reason": "no line" },
        }] });
        let text = operations(&answer);
        assert!(text.contains("HOST_UNREACHABLE: no line (not sent yet)"), "{text}");
    }

    #[test]
    fn what_was_begun_at_the_terminal_says_so_and_by_whom() {
        let open = json!({ "id": "x", "operation": "end_of_day", "state": "queued",
            "origin": "local", "created_by": "schedule" });
        let over = json!({ "id": "y", "operation": "open_menu", "status": "COMPLETED",
            "acked": true, "origin": "local", "created_by": "user 1000" });
        let text = operations(&json!({ "operations": [open], "finished": [over] }));
        assert!(text.contains("waits, begun here by schedule"), "{text}");
        assert!(text.contains("0 ms, begun here by user 1000"), "{text}");
    }

    #[test]
    fn a_status_shows_the_code_that_somebody_has_to_type_in() {
        let answer = json!({ "terminal_id": "", "membership": {
            "state": "not_enrolled", "problem": null, "certificate": null,
            "activation_code": { "code": "ACT-7X9K-2M4P", "expires_in_ms": 3_540_000 },
        }, "operations": [] });
        let text = status(&answer);
        assert!(text.contains("not activated yet"), "{text}");
        assert!(text.contains("ACT-7X9K-2M4P (good for 59 min)"), "{text}");
    }

    #[test]
    fn a_terminal_is_online_with_a_link_that_is_not_for_enrolment() {
        let status = |membership: &str, state: &str| {
            json!({ "membership": { "state": membership }, "link": { "state": state, "ms": 1000 },
                "last_link_end": "refused: HTTP 401" })
        };
        assert_eq!(offline(&status("configured", "up")), None);
        assert_eq!(offline(&status("enrolled", "up")), None);
        for (membership, state, why) in [
            ("configured", "waiting", "the link is down, next attempt in 1 s (refused: HTTP 401)"),
            ("enrolled", "connecting", "the link is connecting (refused: HTTP 401)"),
            ("not_enrolled", "up", "not activated yet, the link is up for 1 s"),
            ("deactivated", "up", "deactivated by the cloud, the link is up for 1 s"),
        ] {
            assert_eq!(offline(&status(membership, state)).as_deref(), Some(why));
        }
    }

    #[test]
    fn a_status_names_the_wait_for_the_next_attempt_and_why() {
        let answer = json!({
            "link": { "state": "waiting", "ms": 125_000 }, "last_link_end": "refused: HTTP 401",
            "operations": [],
        });
        assert!(status(&answer).contains("down, next attempt in 2 min (refused: HTTP 401)"));
    }
}
