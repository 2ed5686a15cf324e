//! The long form: `cargo run -p terminal-powercut -- --cuts 1000 --seed 7`.
//!
//! The exit code is 0 only if every store could be looked at and held what it had promised.

use std::env;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use terminal_powercut::ground::Ground;
use terminal_powercut::run::{Plan, Supply, run};
use terminal_powercut::worker::{Job, SUBCOMMAND, work};

const USAGE: &str = "\
usage: terminal-powercut [--cuts N] [--seed N] [--flapping] [--without CALL]...
                         [--keep DIRECTORY]

  --cuts N          power cuts, 300 if not given
  --seed N          of everything that is chosen, 1 if not given
  --flapping        the power goes again after some commits, again and again
  --without CALL    the kernel does not carry out fdatasync, fsync or sync_file_range of the worker
  --keep DIRECTORY  keep the media that were found wanting
";

const CUTS: usize = 300;

fn main() -> ExitCode {
    match started() {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "terminal-powercut: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn started() -> Result<ExitCode> {
    let mut parser = Parser::from_env();
    if env::args_os().nth(1).is_some_and(|first| first == SUBCOMMAND) {
        let _ = parser.next()?;
        return work(&Job::parse(parser)?).map(|()| ExitCode::SUCCESS);
    }
    let Some(plan) = plan(parser)? else {
        write!(io::stdout(), "{USAGE}")?;
        return Ok(ExitCode::SUCCESS);
    };
    let missing = Ground::missing();
    if !missing.is_empty() {
        bail!("power cannot be cut on this machine; missing: {}", missing.join(", "));
    }
    let figures = run(&plan, |figures| {
        let (cuts, failures) = (figures.cuts(), figures.failures());
        let _ = writeln!(io::stderr(), "{cuts} of {} cuts, {failures} failures", plan.cuts);
    })?;
    write!(io::stdout(), "seed {}\n{figures}", plan.seed)?;
    Ok(if figures.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `None` for help.
fn plan(mut parser: Parser) -> Result<Option<Plan>> {
    let mut plan = Plan {
        program: env::current_exe().context("looking for this program")?,
        cuts: CUTS,
        supply: Supply::Steady,
        seed: 1,
        without: Vec::new(),
        keep: None,
    };
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("cuts") => plan.cuts = parser.value()?.parse()?,
            Arg::Long("seed") => plan.seed = parser.value()?.parse()?,
            Arg::Long("without") => plan.without.push(parser.value()?.parse()?),
            Arg::Long("flapping") => plan.supply = Supply::Flapping,
            Arg::Long("keep") => plan.keep = Some(PathBuf::from(parser.value()?)),
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => {
                bail!("{}\n\n{USAGE}", argument.unexpected())
            }
        }
    }
    Ok(Some(plan))
}
