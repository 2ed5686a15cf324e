//! The command line.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _, path::Path};

use crate::agent_files::command_line;

const COMMANDS: [&str; 6] = ["Run", "Validate", "Status", "Operations", "Version", "Help"];

/// Arguments, with zeros between them.
pub fn arguments(data: &[u8]) {
    let given = data.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
    let all: Vec<OsString> = std::iter::once("terminal-agent".into()).chain(given).collect();
    match command_line(all.iter().cloned()) {
        Ok(read) => {
            assert!(COMMANDS.contains(&read.command.as_str()));
            let default = read.config == Path::new("/etc/terminal-agent/agent.toml");
            assert!(default || is_among(&all, &read.config), "{read:?} from {all:?}");
            assert!(!read.json || all.iter().any(|word| word == "--json"), "{read:?}");
        }
        // Escapes make a message longer than what it repeats.
        Err(said) => assert!(!said.is_empty() && said.len() <= 12 * data.len() + 256, "{said}"),
    }
}

/// Whether a path is a word, or stands behind its option in one.
fn is_among(words: &[OsString], path: &Path) -> bool {
    let path = path.as_os_str().as_encoded_bytes();
    words.iter().any(|word| word.as_encoded_bytes().ends_with(path))
}
