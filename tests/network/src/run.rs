//! Runs cases beside each other.

use std::{env, io::Write as _, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    cases::{Case, Form, Needs},
    figures::Outcome,
    namespaces,
    pace::Pace,
};

/// A skip is a failure where this is 1.
const REQUIRED: &str = "NETWORK_REQUIRED";
/// Agents that start at once are slow to start; then they mostly wait.
const AT_ONCE: usize = 64;

/// Runs the cases of this form and tells of each as it ends. In the order of the list.
pub async fn run(cases: Vec<Case>, form: Form, pace: Pace) -> Vec<(&'static str, Outcome)> {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    let chosen = cases.into_iter().filter(|case| form == Form::Long || case.form == Form::Both);
    for (place, case) in chosen.enumerate() {
        let permits = Arc::clone(&permits);
        running.spawn(async move {
            let _permit = permits.acquire_owned().await;
            (place, case.name, one(case, pace).await)
        });
    }
    let mut ended = Vec::new();
    while let Some(joined) = running.join_next().await {
        match joined {
            Ok((place, name, outcome)) => {
                tell(name, &outcome);
                ended.push((place, name, outcome));
            }
            Err(error) => {
                let outcome = Outcome::Failed(error.to_string());
                tell("a case", &outcome);
                ended.push((usize::MAX, "a case", outcome));
            }
        }
    }
    ended.sort_by_key(|(place, ..)| *place);
    ended.into_iter().map(|(_, name, outcome)| (name, outcome)).collect()
}

async fn one(case: Case, pace: Pace) -> Outcome {
    if case.needs == Needs::Namespaces {
        if let Some(why) = namespaces::unavailable() {
            let required = env::var_os(REQUIRED).is_some_and(|value| value == "1");
            let why = why.to_owned();
            return if required { Outcome::Failed(why) } else { Outcome::Skipped(why) };
        }
    }
    match (case.run)(pace).await {
        Ok(figures) => Outcome::Held(figures),
        Err(error) => Outcome::Failed(format!("{error:#}")),
    }
}

/// Not captured by the test runner: a skip that nobody sees is a hole.
fn tell(name: &str, outcome: &Outcome) {
    let line = match outcome {
        Outcome::Held(_) => format!("held     {name}"),
        Outcome::Skipped(why) => format!("SKIPPED  {name}: {why}"),
        Outcome::Failed(why) => format!("FAILED   {name}: {why}"),
    };
    // Without a terminal there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}
