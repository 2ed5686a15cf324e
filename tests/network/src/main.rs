//! The long form: every case with the settings of a shipped terminal, and the table of figures.

use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt as _};
use terminal_harness::agent_binary;
use terminal_network::{
    cases::{self, Form},
    figures::{Outcome, table},
    pace::Pace,
    run::run,
};

const USAGE: &str = "\
usage: cargo run -p terminal-network [-- [--short] [WORDS]]

  --short   with short heartbeats and waits, as `cargo test` does
  WORDS     only cases whose name contains them
";

#[tokio::main(worker_threads = 8)]
async fn main() -> ExitCode {
    match work().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("network: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn work() -> Result<bool> {
    let Some((short, words)) = arguments()? else {
        print!("{USAGE}");
        return Ok(true);
    };
    agent_binary()?;
    let named = cases::all().into_iter().filter(|case| case.name.contains(&words));
    let chosen: Vec<_> = named.collect();
    ensure!(!chosen.is_empty(), "no case is called {words:?}");
    let (form, pace) = if short { (Form::Both, Pace::short()) } else { (Form::Long, Pace::long()) };
    let outcomes = run(chosen, form, pace).await;
    print!("{}", table(&outcomes));
    Ok(!outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_))))
}

/// Whether to be short, and part of a name; `None` for help.
fn arguments() -> Result<Option<(bool, String)>> {
    let (mut short, mut words) = (false, String::new());
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("short") => short = true,
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Value(value) if words.is_empty() => words = value.string()?,
            _ => bail!("{}\n\n{USAGE}", argument.unexpected()),
        }
    }
    Ok(Some((short, words)))
}
