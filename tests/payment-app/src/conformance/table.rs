//! What was checked and how it went.

use std::{
    fmt,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::timeout;

use crate::peer::Seen;

/// A scenario that has no end fails.
const SCENARIO_TIME_MAX: Duration = Duration::from_secs(90);

/// Whether a scenario must pass.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Every application must.
    Required,
    /// Of a capability that the application offers: it must not fail.
    Offered,
    /// Need not be there at all.
    Optional,
}

/// How a scenario went.
pub(crate) enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

struct Row {
    name: String,
    need: Need,
    outcome: Outcome,
    took: Duration,
}

/// Every scenario so far.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Runs a required scenario.
    pub(crate) async fn scenario(
        &mut self,
        name: &str,
        scenario: impl Future<Output = Result<()>>,
    ) {
        let begun = Instant::now();
        let outcome = match timeout(SCENARIO_TIME_MAX, scenario).await {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(error)) => Outcome::Failed(format!("{error:#}")),
            Err(_) => Outcome::Failed(format!("no end within {SCENARIO_TIME_MAX:?}")),
        };
        self.rows.push(Row {
            name: name.to_owned(),
            need: Need::Required,
            outcome,
            took: begun.elapsed(),
        });
    }

    /// One that has been run elsewhere, or not at all.
    pub(crate) fn add(&mut self, name: &str, need: Need, outcome: Outcome) {
        self.rows.push(Row { name: name.to_owned(), need, outcome, took: Duration::ZERO });
    }

    /// What was seen of progress in all scenarios.
    pub(crate) fn progress(&mut self, seen: &Seen) {
        let outcome = match (&seen.bad_notification, seen.progress) {
            (Some(bad), _) => Outcome::Failed(bad.clone()),
            (None, 0) => Outcome::Skipped("none was sent".to_owned()),
            (None, _) => Outcome::Passed,
        };
        let need = if seen.bad_notification.is_some() { Need::Required } else { Need::Optional };
        self.add("progress and events are well formed", need, outcome);
    }

    /// Whether everything that is required has passed and nothing that is offered has failed.
    pub(crate) fn is_passed(&self) -> bool {
        self.rows.iter().all(Row::is_good)
    }
}

impl Row {
    fn is_good(&self) -> bool {
        match (self.need, &self.outcome) {
            (_, Outcome::Passed) | (Need::Offered | Need::Optional, Outcome::Skipped(_)) => true,
            (Need::Required, Outcome::Skipped(_)) | (_, Outcome::Failed(_)) => false,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        writeln!(f, "{:<width$}  {:<8}  result", "scenario", "need")?;
        for Row { name, need, outcome, took } in &self.rows {
            let need = match need {
                Need::Required => "required",
                Need::Offered => "offered",
                Need::Optional => "optional",
            };
            let (word, why) = match outcome {
                Outcome::Passed if took.is_zero() => ("passed", String::new()),
                Outcome::Passed => ("passed", format!("{} ms", took.as_millis())),
                Outcome::Failed(why) => ("FAILED", why.clone()),
                Outcome::Skipped(why) => ("skipped", why.clone()),
            };
            let line = format!("{name:<width$}  {need:<8}  {word:<7}  {why}");
            writeln!(f, "{}", line.trim_end())?;
        }
        let count = |is: fn(&Outcome) -> bool| self.rows.iter().filter(|r| is(&r.outcome)).count();
        let passed = count(|outcome| matches!(outcome, Outcome::Passed));
        let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
        let bad = self.rows.iter().filter(|row| !row.is_good()).count();
        let verdict = match bad {
            0 => "conformant".to_owned(),
            _ => format!("not conformant: {bad} that count have failed or were not tried"),
        };
        write!(f, "\n{passed} passed, {failed} failed, {skipped} skipped\n{verdict}")
    }
}
