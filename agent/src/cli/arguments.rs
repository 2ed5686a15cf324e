//! Reading the arguments.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use lexopt::{Arg, Parser, ValueExt};
use serde_json::{Map, Value};

use crate::shell::StartRequest;

/// Where the configuration is unless `--config` says otherwise.
const CONFIG: &str = "/etc/terminal-agent/agent.toml";
/// Longest wait for the terminal to come online, in seconds.
const WAIT_S_MAX: u64 = 3600;

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
  --wait-online SECONDS   with status: wait until the terminal is online, 1 to 3600
  --parameters JSON   with start: an object, as the protocol has it for the kind
  --key KEY           with start: the same key is the same operation, however often it is asked for

exit codes: 0 ok, 64 usage, 69 unavailable, 70 internal, 74 store, 75 not online in
time, 77 permission, 78 configuration
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
    Status {
        /// Wait for so long until the terminal is online.
        wait_online: Option<Duration>,
    },
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
    let mut of = Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("config") | Arg::Short('c') => config = parser.value()?.into(),
            Arg::Long("json") => json = true,
            Arg::Long("wait-online") => of.wait_online = Some(seconds(&parser.value()?.string()?)?),
            Arg::Long("parameters") => of.parameters = Some(object(&parser.value()?.string()?)?),
            Arg::Long("key") => of.key = Some(parser.value()?.string()?),
            Arg::Long("help") | Arg::Short('h') => command = Some(Command::Help),
            Arg::Long("version") | Arg::Short('V') => command = Some(Command::Version),
            Arg::Value(value) if command.is_none() => command = Some(named(&value.string()?)?),
            Arg::Value(value) if of.kind.is_none() => of.kind = Some(value.string()?),
            Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => return Err(argument.unexpected()),
        }
    }
    let command = complete(command.ok_or("no command given")?, of)?;
    Ok(Arguments { command, config, json })
}

/// What goes with one command only.
#[derive(Default)]
struct Options {
    wait_online: Option<Duration>,
    kind: Option<String>,
    parameters: Option<Map<String, Value>>,
    key: Option<String>,
}

fn complete(command: Command, of: Options) -> Result<Command, lexopt::Error> {
    let Options { wait_online, kind, parameters, key } = of;
    if wait_online.is_some() && !matches!(command, Command::Status { .. }) {
        return Err("--wait-online goes with status".into());
    }
    match (command, kind, parameters, key) {
        (Command::Start(_), None, ..) => Err("start: no kind of operation given".into()),
        (Command::Start(_), Some(operation), parameters, key) => {
            let parameters = parameters.unwrap_or_default();
            Ok(Command::Start(StartRequest { operation, parameters, key }))
        }
        (_, Some(value), ..) => Err(Arg::Value(value.into()).unexpected()),
        (_, None, Some(_), _) | (_, None, None, Some(_)) => {
            Err("--parameters and --key go with start".into())
        }
        (Command::Status { .. }, None, None, None) => Ok(Command::Status { wait_online }),
        (command, None, None, None) => Ok(command),
    }
}

fn seconds(text: &str) -> Result<Duration, lexopt::Error> {
    match text.parse() {
        Ok(s @ 1..=WAIT_S_MAX) => Ok(Duration::from_secs(s)),
        Ok(_) | Err(_) => {
            Err(format!("--wait-online: got {text:?}, want 1 to {WAIT_S_MAX} seconds").into())
        }
    }
}

fn object(text: &str) -> Result<Map<String, Value>, lexopt::Error> {
    serde_json::from_str(text)
        .map_err(|error| format!("--parameters: {error}, want a JSON object").into())
}

fn named(name: &str) -> Result<Command, lexopt::Error> {
    Ok(match name {
        "run" => Command::Run,
        "validate" => Command::Validate,
        "status" => Command::Status { wait_online: None },
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
        assert_eq!(
            (arguments.command, arguments.json),
            (Command::Status { wait_online: None }, true)
        );
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
            &["run", "--wait-online", "60"],
            &["status", "--wait-online"],
            &["status", "--wait-online", "0"],
            &["status", "--wait-online", "3601"],
            &["status", "--wait-online", "soon"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn status_may_wait_for_a_minute_or_an_hour() {
        for (given, s) in [("1", 1), ("60", 60), ("3600", 3600)] {
            let arguments = parsed(&["status", "--wait-online", given]).unwrap();
            let wait_online = Some(Duration::from_secs(s));
            assert_eq!(arguments.command, Command::Status { wait_online });
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
