//! What a case measured, and the table of all of them.

use std::{fmt::Write as _, time::Duration};

/// What one case measured.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// From the beginning of the fault to the terminal's own word that there is no link.
    pub noticed: Option<Duration>,
    /// That word must come within this, by the documented deadlines.
    pub limit: Option<Duration>,
    /// The reason as the terminal gives it.
    pub reason: String,
    /// What was done under the fault, and how long it took.
    pub under: Option<Duration>,
    /// From the end of the fault to the verdicts of all operations, those of before included.
    pub back: Option<Duration>,
    /// Connections that the terminal tried from the beginning of the fault on.
    pub attempts: usize,
}

/// How a case ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything held.
    Held(Figures),
    /// This machine cannot do it.
    Skipped(String),
    /// Something did not hold.
    Failed(String),
}

/// A table in Markdown.
pub fn table(rows: &[(&str, Outcome)]) -> String {
    let mut out = String::from(
        "| case | noticed after | limit | reason that the terminal gives | under it | back after \
         | attempts |\n|---|---|---|---|---|---|---|\n",
    );
    for (name, outcome) in rows {
        let _ = match outcome {
            Outcome::Held(figures) => writeln!(
                out,
                "| {name} | {} | {} | {} | {} | {} | {} |",
                seconds(figures.noticed),
                seconds(figures.limit),
                figures.reason.replace('|', "/"),
                seconds(figures.under),
                seconds(figures.back),
                figures.attempts,
            ),
            Outcome::Skipped(why) => writeln!(out, "| {name} | skipped: {why} | | | | | |"),
            Outcome::Failed(_) => writeln!(out, "| {name} | **failed** | | | | | |"),
        };
    }
    out
}

fn seconds(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "–".to_owned(), |duration| format!("{:.1} s", duration.as_secs_f64()))
}
