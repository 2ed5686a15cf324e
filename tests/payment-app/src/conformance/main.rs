//! `terminal-conformance`: checks a vendor's payment application against `hal/VENDOR.md`, over its
//! own socket, and prints a table.
//!
//! Three parts: the messages themselves, byte by byte; what must outlive a restart; and what the
//! methods mean, with the tests that every
//! backend of the agent passes, through the agent's own bridge. It must never leave a terminal that
//! it has checked locked or held.

mod durability;
mod meaning;
mod messages;
mod peer;
mod table;
mod together;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};
use peer::{Peer, Target};
use table::Table;

const USAGE: &str = "\
usage: terminal-conformance --socket PATH [--restart-command COMMAND]

Checks a payment application against hal/VENDOR.md, on a terminal that nobody trades with: it
holds payments, closes a batch, locks and unlocks, and applies the empty configuration.

  --socket PATH              where the application listens
  --restart-command COMMAND  run by the shell: ends the application and starts it again; without
                             it the scenarios about durability cannot pass

exit codes: 0 everything required has passed, 1 something has not, 64 usage, 69 no application
";

/// An application that is just starting may take this long.
const HELLO_TIME_MAX: Duration = Duration::from_secs(5);
const EXIT_USAGE: u8 = 64;
const EXIT_UNAVAILABLE: u8 = 69;

fn main() -> ExitCode {
    let target = match arguments() {
        Ok(Some(target)) => target,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("terminal-conformance: {error:#}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match run(target) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("terminal-conformance: {error:#}");
            ExitCode::from(EXIT_UNAVAILABLE)
        }
    }
}

fn run(target: Target) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut table = Table::default();
        // Without a first answer there is nothing to check.
        let nobody = || format!("nobody answers on {}", target.socket.display());
        let greeted = Peer::greeted(&target, HELLO_TIME_MAX).await.with_context(nobody)?;
        let hello = greeted.hello;
        println!(
            "{} {}, instance {}\n",
            hello.application, hello.application_version, hello.instance
        );
        messages::check(&mut table, &target).await;
        together::check(&mut table, &target).await;
        meaning::check(&mut table, &target).await;
        durability::check(&mut table, &target).await;
        table.progress(&target.seen());
        println!("{table}");
        Ok(table.is_passed())
    })
}

/// `None` for help.
fn arguments() -> Result<Option<Target>> {
    let (mut socket, mut restart) = (None, None);
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("socket") => socket = Some(PathBuf::from(parser.value()?)),
            Arg::Long("restart-command") => restart = Some(parser.value()?.string()?),
            Arg::Long("help") | Arg::Short('h') => return Ok(None),
            _ => bail!("{}\n\n{USAGE}", argument.unexpected()),
        }
    }
    let Some(socket) = socket else { bail!("--socket is missing\n\n{USAGE}") };
    Ok(Some(Target::new(socket, restart)))
}
