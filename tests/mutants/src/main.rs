//! `cargo run -p terminal-mutants`: every mutant must die.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Result, bail};
use lexopt::{Arg, Parser, ValueExt as _};
use terminal_mutants::{Fate, Mutant, Runner, mutants, workspace};

const USAGE: &str = "\
usage: cargo run -p terminal-mutants [-- [--list] [WORD …]]

  WORD     only mutants whose name holds one of these words
  --list   print the names and end
";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutants: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<bool> {
    let mut words: Vec<String> = Vec::new();
    let mut list_only = false;
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("list") => list_only = true,
            Arg::Value(word) => words.push(word.string()?),
            Arg::Long("help") | Arg::Short('h') => {
                print!("{USAGE}");
                return Ok(true);
            }
            other => bail!("{}\n\n{USAGE}", other.unexpected()),
        }
    }
    let mut mutants = mutants()?;
    mutants.retain(|m| words.is_empty() || words.iter().any(|word| m.name.contains(word)));
    if list_only {
        mutants.iter().for_each(|mutant| println!("{:<48} {}", mutant.name, mutant.file));
        return Ok(true);
    }
    if mutants.is_empty() {
        bail!("no mutant has such a name");
    }
    try_all(&mutants)
}

fn try_all(mutants: &[Mutant]) -> Result<bool> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| workspace().join("target"));
    println!("building and testing without a mutant …");
    let runner = Runner::prepare(&target.join("mutants"))?;
    let mut survivors = 0;
    for mutant in mutants {
        let begun = Instant::now();
        let fate = match runner.try_mutant(mutant)? {
            Fate::Killed(by) => format!("died     {}", brief(&by)),
            Fate::Hung => "died     the tests did not end".to_owned(),
            Fate::Survived => {
                survivors += 1;
                "SURVIVED".to_owned()
            }
        };
        println!("{:<48} {:>4} s  {fate}", mutant.name, begun.elapsed().as_secs());
    }
    println!("{} mutants, {survivors} survived", mutants.len());
    Ok(survivors == 0)
}

/// The first test that failed, and how many others did.
fn brief(names: &[String]) -> String {
    match names {
        [] => "(no test is named)".to_owned(),
        [only] => only.clone(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}
