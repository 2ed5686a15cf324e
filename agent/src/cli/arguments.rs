//! Reading the arguments.

use std::{ffi::OsString, path::PathBuf};

use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Map, Value};

use crate::shell::StartRequest;

/// Where the configuration is unless `--config` says otherwise.
const CONFIG: &str = "/etc/terminal-agent/agent.toml";

pub(super) const USAGE: &str = "\
terminal-agent: device agent of a payment terminal

usage: terminal-agent COMMAND [--config FILE] [--json]

  run          connect to the cloud and run operations until told to stop
  validate     check the configuration file and name every problem in it
  status       link, clock, current operation, queue and unsent reports of a running agent
  operations   operations that run or wait, and the newest verdicts
  start KIND   begin an operation at the terminal, such as end_of_day
  activate     have a terminal that the cloud has deactivated activated again, with a code
  discard      remove reports of an owner before this one: they are kept and never sent
  version      version of the agent and of the protocol

  --config FILE   configuration file (/etc/terminal-agent/agent.toml)
  --json          one JSON object instead of text
  --parameters JSON   with start: an object, as the protocol has it for the kind
  --key KEY           with start: the same key is the same operation, however often it is asked for

exit codes: 0 ok, 64 usage, 69 unavailable, 70 internal, 74 store, 77 permission, 78 configuration
";

pub(super) struct Arguments {
    pub(super) command: Command,
    pub(super) config: PathBuf,
    pub(super) json: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Run,
    Validate,
    Status,
    Operations,
    Activate,
    Start(StartRequest),
    Discard,
    Version,
    Help,
}

/// What is wrong with the arguments is said in the error.
pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Arguments, lexopt::Error> {
    let mut parser = Parser::from_iter(arguments);
    let (mut command, mut config, mut json) = (None, PathBuf::from(CONFIG), false);
    let (mut kind, mut parameters, mut key) = (None, None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("config") | Arg::Short('c') => config = parser.value()?.into(),
            Arg::Long("json") => json = true,
            Arg::Long("parameters") => parameters = Some(object(&parser.value()?.string()?)?),
            Arg::Long("key") => key = Some(parser.value()?.string()?),
            Arg::Long("help") | Arg::Short('h') => command = Some(Command::Help),
            Arg::Long("version") | Arg::Short('V') => command = Some(Command::Version),
            Arg::Value(value) if command.is_none() => command = Some(named(&value.string()?)?),
            Arg::Value(value) if kind.is_none() => kind = Some(value.string()?),
            Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => return Err(argument.unexpected()),
        }
    }
    let command = match (command.ok_or("no command given")?, kind, parameters, key) {
        (Command::Start(_), None, ..) => return Err("start: no kind of operation given".into()),
        (Command::Start(_), Some(operation), parameters, key) => {
            let parameters = parameters.unwrap_or_default();
            Command::Start(StartRequest { operation, parameters, key })
        }
        (_, Some(value), ..) => return Err(Arg::Value(value.into()).unexpected()),
        (_, None, Some(_), _) | (_, None, None, Some(_)) => {
            return Err("--parameters and --key go with start".into());
        }
        (command, None, None, None) => command,
    };
    Ok(Arguments { command, config, json })
}

fn object(text: &str) -> Result<Map<String, Value>, lexopt::Error> {
    serde_json::from_str(text)
        .map_err(|error| format!("--parameters: {error}, want a JSON object").into())
}

fn named(name: &str) -> Result<Command, lexopt::Error> {
    Ok(match name {
        "run" => Command::Run,
        "validate" => Command::Validate,
        "status" => Command::Status,
        "operations" => Command::Operations,
        "activate" => Command::Activate,
        "start" => Command::Start(StartRequest::default()),
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
        for wrong in [
            &["dance"][..],
            &[],
            &["run", "run"],
            &["run", "--fast"],
            &["--config"],
            &["start"],
            &["start", "lock", "lock"],
            &["start", "lock", "--parameters", "7"],
            &["status", "--key", "a"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn start_takes_a_kind_its_parameters_and_a_key() {
        let all = ["start", "end_of_day", "--parameters", r#"{"mode":"report"}"#, "--key", "a"];
        let Command::Start(request) = parsed(&all).unwrap().command else { panic!("{all:?}") };
        assert_eq!((request.operation.as_str(), request.key.as_deref()), ("end_of_day", Some("a")));
        assert_eq!(request.parameters["mode"], "report");
    }
}
