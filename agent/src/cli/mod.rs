//! The command line: what a person types and what they read.

mod arguments;
mod human;
mod online;
mod stderr;

use std::{ffi::OsString, io::Write as _, path::PathBuf, process::ExitCode};

use serde_json::{Value, json};

use crate::{
    config::Config,
    link::VerificationClock,
    shell::{self, ControlRequest, RunError},
};
use arguments::{Arguments, Command};

/// Exit codes, as sysexits(3) has them.
mod exit {
    pub(super) const USAGE: u8 = 64;
    pub(super) const UNAVAILABLE: u8 = 69;
    pub(super) const INTERNAL: u8 = 70;
    pub(super) const STORE: u8 = 74;
    pub(super) const OFFLINE: u8 = 75;
    pub(super) const PERMISSION: u8 = 77;
    pub(super) const CONFIG: u8 = 78;
}

/// A failure with its exit code; the text goes to standard error.
struct Failed(u8, String);

/// Runs the command that the arguments name.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let outcome = match arguments::parse(arguments) {
        Ok(Arguments { command, config, json }) => execute(command, config, json),
        Err(problem) => Err(Failed(exit::USAGE, format!("{problem}\n\n{}", arguments::USAGE))),
    };
    match outcome {
        Ok(text) => {
            // A closed pipe is the reader's choice.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(Failed(code, text)) => {
            stderr::complain(&text);
            ExitCode::from(code)
        }
    }
}

fn execute(command: Command, config: PathBuf, json: bool) -> Result<String, Failed> {
    match command {
        Command::Help => Ok(arguments::USAGE.to_owned()),
        Command::Version => Ok(version(json)),
        Command::Validate => validate(&config, json),
        Command::Run => run_agent(&config),
        Command::Status { wait_online: None } => {
            ask(&config, &ControlRequest::Status, json, human::status)
        }
        Command::Status { wait_online: Some(limit) } => {
            online::wait(&config, limit).map(|status| shown(&status, json, human::status))
        }
        Command::Operations => ask(&config, &ControlRequest::Operations, json, human::operations),
        Command::Start(request) => {
            ask(&config, &ControlRequest::Start(request), json, human::start)
        }
        Command::Activate => ask(&config, &ControlRequest::Activate, json, human::activate),
        Command::Discard => ask(&config, &ControlRequest::Discard, json, human::discard),
    }
}

fn version(json: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let sources = VerificationClock::build_time();
    let protocol = terminal_core::protocol::SUBPROTOCOL;
    if json {
        line(&json!({ "version": version, "protocol": protocol, "sources_of": sources }))
    } else {
        format!("terminal-agent {version} ({protocol}, sources of {sources})\n")
    }
}

fn validate(path: &std::path::Path, json: bool) -> Result<String, Failed> {
    let config = load(path)?;
    let (url, id) = (config.link.url.to_string(), config.terminal.id);
    if json {
        return Ok(line(&json!({ "valid": true, "terminal_id": id, "url": url })));
    }
    let what = match id {
        Some(id) => format!("terminal {id} connects to {url}"),
        None => format!("the terminal enrols at {url}"),
    };
    Ok(format!("{}: valid, {what}\n", path.display()))
}

fn run_agent(path: &std::path::Path) -> Result<String, Failed> {
    let config = load(path)?;
    shell::init_log(config.log);
    match shell::run(config) {
        Ok(()) => Ok(String::new()),
        Err(error) => {
            let reason = chain(&error);
            tracing::error!(reason, "stopped");
            let code = match &error {
                RunError::Store(store) => store.exit_code(),
                RunError::Control { source, .. } | RunError::Directory { source, .. }
                    if source.kind() == std::io::ErrorKind::PermissionDenied =>
                {
                    exit::PERMISSION
                }
                RunError::Identity(error) if error.is_forbidden() => exit::PERMISSION,
                RunError::Directory { .. } | RunError::Identity(_) => exit::STORE,
                RunError::Control { .. } | RunError::Process(_) => exit::INTERNAL,
                #[cfg(feature = "mock")]
                RunError::Mock(_) => exit::UNAVAILABLE,
                RunError::Hardware(_) => exit::UNAVAILABLE,
            };
            Err(Failed(code, reason))
        }
    }
}

/// An error with everything that caused it, once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let next_text = next.to_string();
        // Some errors name their cause themselves.
        if !text.ends_with(&next_text) {
            text = format!("{text}: {next_text}");
        }
        cause = next.source();
    }
    text
}

fn ask(
    path: &std::path::Path,
    request: &ControlRequest,
    json: bool,
    human: fn(&Value) -> String,
) -> Result<String, Failed> {
    question(path, request).map(|answer| shown(&answer, json, human))
}

/// What the running agent answers.
fn question(path: &std::path::Path, request: &ControlRequest) -> Result<Value, Failed> {
    let socket = load(path)?.control.socket;
    shell::ask(socket.clone(), request).map_err(|error| {
        let kind = error.kind();
        let denied = kind == std::io::ErrorKind::PermissionDenied;
        let code = if denied { exit::PERMISSION } else { exit::UNAVAILABLE };
        let was_answered = denied || kind == std::io::ErrorKind::Unsupported;
        let hint = if was_answered { "" } else { "; is the agent running?" };
        Failed(code, format!("{}: {error}{hint}", socket.display()))
    })
}

fn shown(answer: &Value, json: bool, human: fn(&Value) -> String) -> String {
    if json { line(answer) } else { human(answer) }
}

fn load(path: &std::path::Path) -> Result<Config, Failed> {
    Config::load(path).map_err(|error| Failed(exit::CONFIG, error.to_string()))
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}
