//! The story as text: a timeline and a table.

use serde_json::Value;
use terminal_cloud::OperationStatus;
use terminal_hal::Timestamp;

use crate::story::{Done, Story};

/// Everything that happened, in order.
pub(crate) fn timeline(story: &Story) {
    let mut lines: Vec<(Timestamp, String)> = Vec::new();
    for told in &story.told {
        lines.push((told.at, format!("*** {}", told.text)));
    }
    for done in &story.operations {
        for entry in &done.timeline {
            // One line per second of work would hide the rest.
            if entry.event != "progress" {
                let name = &done.operation.operation;
                let text = format!("{name:<13}{:<11}{}", entry.event, detail(&entry.detail));
                lines.push((entry.at, text));
            }
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    println!("\n time      what");
    for (at, text) in lines {
        let ms = at.ms_since(story.begin);
        println!("{:>3}.{:03} s  {}", ms / 1000, ms % 1000, text.trim_end());
    }
}

/// One line per operation.
pub(crate) fn operations(story: &Story) {
    println!("\n operation     status     attempts  effects  result");
    for done in &story.operations {
        println!(
            " {:<13} {:<10} {:>8}  {:>7}  {}",
            done.operation.operation,
            status(done.operation.status),
            attempts(done),
            done.effects,
            summary(done),
        );
    }
    println!(" effects: how often the terminal did it; an update installs and restarts");
}

/// The attempt that ended, as the terminal reports it.
fn attempts(done: &Done) -> u64 {
    let report = done.timeline.iter().find(|entry| entry.event == "report");
    report.and_then(|entry| entry.detail["attempt"].as_u64()).unwrap_or(0)
}

fn status(status: OperationStatus) -> &'static str {
    match status {
        OperationStatus::Pending => "PENDING",
        OperationStatus::Completed => "COMPLETED",
        OperationStatus::Failed => "FAILED",
        OperationStatus::Timeout => "TIMEOUT",
    }
}

/// What a reader of a step wants to know.
fn detail(detail: &Value) -> String {
    let shown = ["by", "duplicate", "attempt", "status", "seq", "late"].iter().filter_map(|name| {
        let value = &detail[*name];
        (!value.is_null() && *value != false).then(|| format!("{name} {}", text(value)))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// What a person wants to know first.
fn summary(done: &Done) -> String {
    if let Some(error) = &done.operation.error {
        return format!("{}: {}", text(&error["code"]), text(&error["failure_reason"]));
    }
    let Some(result) = &done.operation.result else { return String::new() };
    let fields: &[&str] = match done.operation.operation.as_str() {
        "end_of_day" => &["outcome", "batch_id", "purchases_count", "purchases_amount", "currency"],
        "send_logs" => &["lines", "bytes_compressed", "sha256"],
        "check_update" => &["available", "checked_at"],
        "open_menu" => &["shown", "opened_at"],
        "reboot" => &["boot_reason", "boot_id_after"],
        "update" => &["from", "to", "slot"],
        "lock" | "unlock" => &["locked", "changed"],
        _ => &["revision", "sha256"],
    };
    let shown = fields.iter().map(|name| format!("{name} {}", text(&result[*name])));
    shown.collect::<Vec<_>>().join(", ")
}

fn text(value: &Value) -> String {
    const CHARS_MAX: usize = 24;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= CHARS_MAX {
        return text;
    }
    text.chars().take(CHARS_MAX - 1).chain(['…']).collect()
}
