//! The short form: every case that does not consist of waiting, beside each other.

use std::time::Instant;

use terminal_harness::agent_binary;
use terminal_network::{
    cases::{self, Form},
    figures::{Outcome, table},
    pace::Pace,
    run::run,
};

/// One test, because the cases wait for most of their time, and the test runner runs no more tests
/// beside each other than there are processors.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_terminal_lives_through_every_bad_network() {
    agent_binary().unwrap();
    let begun = Instant::now();
    let outcomes = run(cases::all(), Form::Both, Pace::short()).await;
    println!("{}\n{:.0} s", table(&outcomes), begun.elapsed().as_secs_f64());
    let failed = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
    let failed: Vec<_> = failed.map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
