//! The section `[hal.updates]`: what a terminal takes that keeps its system in two slots.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use terminal_hal::{
    firmware::{
        AbConfig, FirmwareConfig, HealthProgram, RaucConfig, SlotsConfig, TrustedKeys, Window,
    },
    operation::{check_update::Channel, update::HEALTH_CHECKS_MAX},
};

use super::{Problems, Source, credential_path};
use crate::downloads::UpdateUrl;

/// Updates of the whole system.
#[derive(Clone, Debug)]
pub struct UpdatesConfig {
    /// What the hardware layer has to know.
    pub firmware: FirmwareConfig,
    /// Where manifests and images come from.
    pub source: UpdateSource,
}

/// Where manifests and images come from.
#[derive(Clone, Debug)]
pub enum UpdateSource {
    /// A folder.
    Folder(PathBuf),
    /// A web server.
    Https {
        /// What stands before the names of the files.
        url: UpdateUrl,
        /// PEM bundle that it is checked against.
        ca_file: PathBuf,
        /// Whether it may have a private or loopback address.
        allow_private_addresses: bool,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawUpdates {
    source: String,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    allow_private_addresses: bool,
    directory: PathBuf,
    version_file: PathBuf,
    public_keys: Vec<String>,
    #[serde(default)]
    channel: Channel,
    #[serde(default = "night")]
    window: String,
    #[serde(default)]
    allow_downgrade: bool,
    #[serde(default = "size_max_mb")]
    size_max_mb: u64,
    #[serde(default)]
    health_checks: Vec<RawHealthCheck>,
    #[serde(default)]
    ab: RawAb,
    #[serde(default)]
    rauc: RawRauc,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawHealthCheck {
    name: String,
    program: PathBuf,
    #[serde(default = "check_timeout_s")]
    timeout_s: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawAb {
    directory: PathBuf,
    boot_attempts: u8,
}

impl Default for RawAb {
    fn default() -> Self {
        Self { directory: "/firmware".into(), boot_attempts: 2 }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawRauc {
    program: PathBuf,
}

impl Default for RawRauc {
    fn default() -> Self {
        Self { program: "/usr/bin/rauc".into() }
    }
}

/// Needed with a source that keeps systems in slots, and of no use without.
pub(super) fn checked(
    raw: Option<RawUpdates>,
    source: Option<Source>,
    model: &str,
    problems: &mut Problems<'_>,
) -> Option<UpdatesConfig> {
    let is_used = matches!(source, Some(Source::Ab | Source::Rauc));
    let Some(raw) = raw else {
        if is_used {
            problems.add("hal.updates", "missing, want what updates are taken and from where");
        }
        return None;
    };
    problems.absolute("hal.updates.directory", &raw.directory);
    problems.absolute("hal.updates.version-file", &raw.version_file);
    problems.range("hal.updates.size-max-mb", raw.size_max_mb, 1, 1 << 20);
    let keys = keys(&raw.public_keys, problems);
    let window = window(&raw.window, problems);
    let health_checks = health_checks(raw.health_checks, problems);
    let update_source = update_source(
        &raw.source,
        raw.ca_file.map(credential_path),
        raw.allow_private_addresses,
        problems,
    );
    let slots = slots(raw.ab, raw.rauc, source == Some(Source::Rauc), problems);
    let firmware = FirmwareConfig {
        directory: raw.directory,
        version_file: raw.version_file,
        model: model.to_owned(),
        keys: keys?,
        channel: raw.channel,
        window: window?,
        allow_downgrade: raw.allow_downgrade,
        size_bytes_max: raw.size_max_mb.saturating_mul(1 << 20),
        health_checks,
        slots,
    };
    let config = UpdatesConfig { firmware, source: update_source? };
    is_used.then_some(config)
}

fn slots(ab: RawAb, rauc: RawRauc, is_rauc: bool, problems: &mut Problems<'_>) -> SlotsConfig {
    problems.absolute("hal.updates.ab.directory", &ab.directory);
    problems.range("hal.updates.ab.boot-attempts", ab.boot_attempts.into(), 1, 10);
    problems.absolute("hal.updates.rauc.program", &rauc.program);
    if is_rauc {
        SlotsConfig::Rauc(RaucConfig { program: rauc.program })
    } else {
        SlotsConfig::Ab(AbConfig { directory: ab.directory, boot_attempts: ab.boot_attempts })
    }
}

fn keys(texts: &[String], problems: &mut Problems<'_>) -> Option<TrustedKeys> {
    if texts.is_empty() {
        problems.add("hal.updates.public-keys", "empty, want at least one minisign public key");
    }
    TrustedKeys::parse(texts)
        .inspect_err(|problem| problems.add("hal.updates.public-keys", problem))
        .ok()
}

fn window(text: &str, problems: &mut Problems<'_>) -> Option<Window> {
    let window = Window::parse(text);
    if window.is_none() {
        let problem = format!("got {text:?}, want two times of the day such as \"02:00-05:00\"");
        problems.add("hal.updates.window", &problem);
    }
    window
}

fn health_checks(raw: Vec<RawHealthCheck>, problems: &mut Problems<'_>) -> Vec<HealthProgram> {
    // One more is made by the agent itself.
    let count = u64::try_from(raw.len()).unwrap_or(u64::MAX);
    let most = u64::try_from(HEALTH_CHECKS_MAX).unwrap_or(u64::MAX) - 1;
    problems.range("hal.updates.health-checks", count, 0, most);
    let mut checks = Vec::with_capacity(raw.len());
    for check in raw {
        problems.line("hal.updates.health-checks.name", &check.name);
        problems.absolute("hal.updates.health-checks.program", &check.program);
        problems.range("hal.updates.health-checks.timeout-s", check.timeout_s, 1, 600);
        checks.push(HealthProgram {
            name: check.name,
            program: check.program,
            time_max: Duration::from_secs(check.timeout_s),
        });
    }
    checks
}

fn update_source(
    text: &str,
    ca_file: Option<PathBuf>,
    allow_private_addresses: bool,
    problems: &mut Problems<'_>,
) -> Option<UpdateSource> {
    if Path::new(text).is_absolute() {
        return Some(UpdateSource::Folder(text.into()));
    }
    match UpdateUrl::parse(text) {
        Ok(url) => {
            if ca_file.is_none() {
                problems.add("hal.updates.ca-file", "missing, want a PEM bundle of whom to trust");
            }
            ca_file.map(|ca_file| UpdateSource::Https { url, ca_file, allow_private_addresses })
        }
        Err(problem) => {
            let problem = format!("got {text:?}, {problem}, or an absolute path");
            problems.add("hal.updates.source", &problem);
            None
        }
    }
}

fn night() -> String {
    "02:00-05:00".to_owned()
}

const fn size_max_mb() -> u64 {
    1_024
}

const fn check_timeout_s() -> u64 {
    60
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        source = "/media/updates"
        directory = "/var/lib/terminal-agent/updates"
        version-file = "/etc/firmware-version"
        public-keys = ["RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"]
    "#;

    fn parse(text: &str, source: Source) -> Result<Option<UpdatesConfig>, String> {
        let mut problems = Problems { path: Path::new("agent.toml"), lines: Vec::new() };
        let raw = toml::from_str(text).unwrap();
        let config = checked(Some(raw), Some(source), "n92", &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(problems.lines.join("\n")) }
    }

    #[test]
    fn a_minimal_section_is_enough_and_of_no_effect_without_slots() {
        let config = parse(GOOD, Source::Ab).unwrap().unwrap();
        assert!(matches!(config.firmware.slots, SlotsConfig::Ab(_)));
        assert!(!config.firmware.allow_downgrade);
        let config = parse(GOOD, Source::Rauc).unwrap().unwrap();
        assert!(matches!(config.firmware.slots, SlotsConfig::Rauc(_)));
        assert!(parse(GOOD, Source::Mock).unwrap().is_none());
        let text = GOOD.replace("/media/updates", "https://updates.example/n92/")
            + "ca-file = \"/etc/terminal-agent/updates-ca.pem\"\n";
        let config = parse(&text, Source::Ab).unwrap().unwrap();
        assert!(matches!(config.source, UpdateSource::Https { .. }));
    }

    /// The keys of the shipped file, which are all behind a `#` there, without the words.
    fn shipped() -> String {
        let shipped = include_str!("../../../packaging/agent.toml");
        let section = shipped.split("\n# [hal.updates]\n").nth(1).unwrap();
        let lines = section.lines().take_while(|line| line.starts_with('#'));
        let is_key = |line: &&str| {
            let key = line.split(" = ").next().unwrap_or_default();
            line.starts_with(['[', ']', ' '])
                || (line.contains(" = ") && key.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        };
        let lines: Vec<_> =
            lines.filter_map(|line| line.strip_prefix("# ")).filter(is_key).collect();
        lines.join("\n").replace("hal.updates.", "")
    }

    #[test]
    fn the_shipped_file_shows_every_key_with_a_value_that_works() {
        let text = shipped();
        let config = parse(&text, Source::Ab).unwrap().unwrap();
        assert_eq!(config.firmware.health_checks.len(), 1);
        for key in [
            "source",
            "ca-file",
            "allow-private-addresses",
            "directory",
            "version-file",
            "public-keys",
            "channel",
            "window",
            "allow-downgrade",
            "size-max-mb",
            "health-checks",
            "boot-attempts",
            "program",
        ] {
            assert!(text.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let more = |text: &str| format!("{GOOD}{text}\n");
        for (text, problem) in [
            (GOOD.replace("\"RWQ", "\"xWQ"), "public-keys: got"),
            (
                GOOD.replace(
                    "[\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"]",
                    "[]",
                ),
                "public-keys: empty",
            ),
            (GOOD.replace("/media/updates", "http://updates.example"), "source: got"),
            (GOOD.replace("/media/updates", "https://updates.example"), "ca-file: missing"),
            (GOOD.replace("\"/var/lib", "\"var/lib"), "directory: got"),
            (more("window = \"2-5\""), "window: got \"2-5\", want two times"),
            (more("size-max-mb = 0"), "size-max-mb: got 0"),
            (more("ab = { boot-attempts = 0 }"), "ab.boot-attempts: got 0"),
            (more("rauc = { program = \"rauc\" }"), "rauc.program: got"),
            (
                more("[[health-checks]]\nname = \"x\"\nprogram = \"x\""),
                "health-checks.program: got",
            ),
        ] {
            let error = parse(&text, Source::Ab).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
