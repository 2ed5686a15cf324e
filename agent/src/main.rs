//! `terminal-agent`: hands its arguments to [`terminal_agent::cli::run`].

use std::process::ExitCode;

fn main() -> ExitCode {
    terminal_agent::cli::run(std::env::args_os())
}
