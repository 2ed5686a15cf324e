//! Standard error, which a person reads or the journal.

use std::{
    env,
    fs::File,
    io::{self, Write as _},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
};

/// Severity of a line to the journal, see sd-daemon(3); without one a line is information.
const ERROR: &str = "<3>";

/// Says why the program ends.
pub(super) fn complain(text: &str) {
    let severity = if is_journal() { ERROR } else { "" };
    let lines: String = format!("terminal-agent: {text}")
        .lines()
        .map(|line| format!("{severity}{line}\n"))
        .collect();
    // Nobody may be there to read it.
    let _ = io::stderr().write_all(lines.as_bytes());
}

/// Whether standard error is what the service manager has connected to the journal: programs that
/// were started by a service inherit the variable, and may have another one.
fn is_journal() -> bool {
    let Some(stream) = env::var_os("JOURNAL_STREAM") else { return false };
    let file = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    file.and_then(|file| file.metadata())
        .is_ok_and(|file| stream == *format!("{}:{}", file.dev(), file.ino()))
}
