//! Files of the agent that read what comes from outside and that nobody else needs to see: they
//! are compiled here once more, as they are, so that nothing becomes public for a fuzzer's sake.

use std::{ffi::OsString, net::IpAddr, path::PathBuf};

use terminal_hal::Timestamp;

#[expect(dead_code, reason = "only the parser is run here")]
#[path = "../../../agent/src/cli/arguments.rs"]
mod arguments;

#[path = "../../../agent/src/link/retry_after.rs"]
mod retry_after;

#[path = "../../../agent/src/link/address.rs"]
mod address;

/// What the arguments of a command line mean.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) command: String,
    pub(crate) config: PathBuf,
    pub(crate) json: bool,
}

/// Reads a command line.
pub(crate) fn command_line(
    arguments: impl Iterator<Item = OsString>,
) -> Result<CommandLine, String> {
    let read = arguments::parse(arguments).map_err(|error| error.to_string())?;
    let command = format!("{:?}", read.command);
    Ok(CommandLine { command, config: read.config, json: read.json })
}

/// Seconds that a `Retry-After` asks for.
pub(crate) fn retry_after_s(value: &str, now: Timestamp) -> Option<u32> {
    retry_after::seconds(value, now)
}

/// Whether an upload may go to an address.
pub(crate) fn is_public(address: IpAddr) -> bool {
    address::is_public(address)
}
