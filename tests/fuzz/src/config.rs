//! The agent's configuration file.

use std::path::Path;

use terminal_agent::config::{Config, ConfigError};
use terminal_hal::text::line_problem;

/// Beside what a message repeats of the file.
const MESSAGE_BYTES: usize = 4096;
/// Every byte of the file may be a value that a message of this length is about.
const MESSAGE_BYTES_PER_BYTE: usize = 256;

/// A TOML file: what is taken can work, and what is not is told at a bounded length.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Config::parse(Path::new("agent.toml"), text) {
        Ok(config) => can_work(&config),
        Err(error) => {
            let said = error.to_string();
            let bound = MESSAGE_BYTES + MESSAGE_BYTES_PER_BYTE * text.len();
            assert!(!said.is_empty() && said.len() <= bound, "{} bytes: {said:.200}", said.len());
            let tells = match &error {
                ConfigError::Invalid { problems } => !problems.is_empty(),
                ConfigError::Syntax { problem, .. } => !problem.is_empty(),
                ConfigError::Read { .. } => false,
            };
            assert!(tells, "{error:?}");
        }
    }
}

fn can_work(config: &Config) {
    let terminal = &config.terminal;
    let said = [&terminal.serial_number, &terminal.model, &terminal.software_version];
    for text in said.into_iter().chain(&terminal.id) {
        assert_eq!(line_problem(text, 1, 64), None);
    }
    assert_ne!(terminal.id.is_some(), config.enrolment.is_some());
    assert!(config.store.directory.is_absolute() && config.control.socket.is_absolute());
    let link = &config.link;
    assert!(!link.url.is_tls() || link.trust.is_some(), "nobody to trust");
    let has_credentials = link.identity.is_some() || link.token_file.is_some();
    assert!(has_credentials || config.enrolment.is_some(), "nothing to show");
    assert!(!link.url.host().is_empty());
    let backoff = config.backoff;
    assert!((10..=backoff.cap_ms).contains(&backoff.base_ms) && backoff.cap_ms <= 3_600_000);
    for host in &config.uploads.hosts {
        assert_eq!(line_problem(host, 1, 64), None);
    }
    assert!(config.store.ballast_bytes >= 256 << 10 && config.store.reserve_bytes >= 256 << 10);
}
