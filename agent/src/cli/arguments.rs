//! Reading the arguments.

use std::{ffi::OsString, path::PathBuf};

use lexopt::{Arg, Parser, ValueExt};

/// Where the configuration is unless `--config` says otherwise.
const CONFIG: &str = "/etc/terminal-agent/agent.toml";

pub(super) const USAGE: &str = "\
terminal-agent: device agent of a payment terminal

usage: terminal-agent COMMAND [--config FILE] [--json]

  run          connect to the cloud and run operations until told to stop
  validate     check the configuration file and name every problem in it
  status       link, clock, current operation, queue and unsent reports of a running agent
  operations   operations that run or wait, and the newest verdicts
  activate     have a terminal that the cloud has deactivated activated again, with a code
  discard      remove reports of an owner before this one: they are kept and never sent
  version      version of the agent and of the protocol

  --config FILE   configuration file (/etc/terminal-agent/agent.toml)
  --json          one JSON object instead of text

exit codes: 0 ok, 64 usage, 69 unavailable, 70 internal, 74 store, 77 permission, 78 configuration
";

pub(super) struct Arguments {
    pub(super) command: Command,
    pub(super) config: PathBuf,
    pub(super) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Run,
    Validate,
    Status,
    Operations,
    Activate,
    Discard,
    Version,
    Help,
}

/// What is wrong with the arguments is said in the error.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, lexopt::Error> {
    let mut parser = Parser::from_iter(arguments);
    let (mut command, mut config, mut json) = (None, PathBuf::from(CONFIG), false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("config") | Arg::Short('c') => config = parser.value()?.into(),
            Arg::Long("json") => json = true,
            Arg::Long("help") | Arg::Short('h') => command = Some(Command::Help),
            Arg::Long("version") | Arg::Short('V') => command = Some(Command::Version),
            Arg::Value(value) if command.is_none() => command = Some(named(&value.string()?)?),
            Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => return Err(argument.unexpected()),
        }
    }
    let command = command.ok_or("no command given")?;
    Ok(Arguments { command, config, json })
}

fn named(name: &str) -> Result<Command, lexopt::Error> {
    Ok(match name {
        "run" => Command::Run,
        "validate" => Command::Validate,
        "status" => Command::Status,
        "operations" => Command::Operations,
        "activate" => Command::Activate,
        "discard" => Command::Discard,
        "version" => Command::Version,
        "help" => Command::Help,
        _ => return Err(format!("unknown command {name:?}").into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Arguments, lexopt::Error> {
        let all = std::iter::once("terminal-agent").chain(arguments.iter().copied());
        parse(all.map(OsString::from))
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        let arguments = parsed(&["--json", "status", "--config", "/x"]).unwrap();
        assert_eq!((arguments.command, arguments.json), (Command::Status, true));
        assert_eq!(arguments.config, PathBuf::from("/x"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for wrong in [&["dance"][..], &[], &["run", "run"], &["run", "--fast"], &["--config"]] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }
}
