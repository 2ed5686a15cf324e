//! The section `[hal.linux]`: where things are on a Linux system.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use terminal_hal::{
    api::LOG_COMPONENT_CHARS_MAX,
    linux::{
        BootConfig, Interface, LinuxConfig,
        logs::{JournalConfig, LogFile, LogsConfig, TimeFormat},
    },
    status::NetworkKind,
    text::line_problem,
};

use super::{HalConfig, Source};
use crate::config::Problems;

/// Units and identifiers of the journal.
const JOURNAL_SOURCES_MAX: u64 = 32;
/// Log files that are put together: they are open at the same time, with their rotations.
const LOG_FILES_MAX: u64 = 8;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RawLinux {
    root: PathBuf,
    systemctl: PathBuf,
    application_unit: Option<String>,
    reset_cause_file: Option<PathBuf>,
    daily_restart_mark: Option<PathBuf>,
    disk: Option<PathBuf>,
    interfaces: BTreeMap<String, RawInterface>,
    journal: RawJournal,
    log_files: Vec<RawLogFile>,
}

impl Default for RawLinux {
    fn default() -> Self {
        Self {
            root: "/".into(),
            systemctl: "/usr/bin/systemctl".into(),
            application_unit: None,
            reset_cause_file: None,
            daily_restart_mark: None,
            disk: None,
            interfaces: BTreeMap::new(),
            journal: RawJournal::default(),
            log_files: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawInterface {
    #[serde(rename = "type")]
    kind: Option<String>,
    metered: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawJournal {
    journalctl: PathBuf,
    directory: Option<PathBuf>,
    components: BTreeMap<String, Vec<String>>,
}

impl Default for RawJournal {
    fn default() -> Self {
        let journalctl = "/usr/bin/journalctl".into();
        Self { journalctl, directory: None, components: BTreeMap::new() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawLogFile {
    path: PathBuf,
    component: String,
    #[serde(default = "rfc3339")]
    time_format: String,
}

fn rfc3339() -> String {
    "rfc3339".to_owned()
}

/// `store` is the agent's own folder: its disk is the one that counts when none is named.
pub(super) fn checked(raw: RawLinux, store: &Path, problems: &mut Problems<'_>) -> LinuxConfig {
    problems.absolute("hal.linux.root", &raw.root);
    problems.absolute("hal.linux.systemctl", &raw.systemctl);
    let named = [
        ("hal.linux.reset-cause-file", &raw.reset_cause_file),
        ("hal.linux.daily-restart-mark", &raw.daily_restart_mark),
        ("hal.linux.disk", &raw.disk),
    ];
    for (key, path) in named {
        if let Some(path) = path {
            problems.absolute(key, path);
        }
    }
    if let Some(unit) = &raw.application_unit {
        problems.line("hal.linux.application-unit", unit);
    }
    let interfaces = raw.interfaces.into_iter();
    LinuxConfig {
        root: raw.root,
        systemctl: raw.systemctl,
        application_unit: raw.application_unit,
        boot: BootConfig {
            cause_file: raw.reset_cause_file,
            daily_mark: raw.daily_restart_mark,
            memory: store.join("boot-reason.json"),
        },
        disk: raw.disk.unwrap_or_else(|| store.to_owned()),
        interfaces: interfaces.map(|(name, raw)| interface(name, raw, problems)).collect(),
        logs: LogsConfig {
            journal: journal(raw.journal, problems),
            files: log_files(raw.log_files, problems),
        },
    }
}

fn interface(name: String, raw: RawInterface, problems: &mut Problems<'_>) -> (String, Interface) {
    let kind = match raw.kind.as_deref() {
        None => None,
        Some("ethernet") => Some(NetworkKind::Ethernet),
        Some("wifi") => Some(NetworkKind::Wifi),
        Some("cellular") => Some(NetworkKind::Cellular),
        Some(other) => {
            let problem = format!("got {other:?}, want ethernet, wifi or cellular");
            problems.add(&format!("hal.linux.interfaces.{name}.type"), &problem);
            None
        }
    };
    (name, Interface { kind, metered: raw.metered })
}

fn journal(raw: RawJournal, problems: &mut Problems<'_>) -> JournalConfig {
    problems.absolute("hal.linux.journal.journalctl", &raw.journalctl);
    if let Some(directory) = &raw.directory {
        problems.absolute("hal.linux.journal.directory", directory);
    }
    let mut named = BTreeSet::new();
    for (component, sources) in &raw.components {
        let key = format!("hal.linux.journal.components.{component}");
        check_component(&key, component, problems);
        if sources.is_empty() {
            problems.add(&key, "empty, want units (x.service) or syslog identifiers");
        }
        for source in sources {
            problems.line(&key, source);
            if !named.insert(source) {
                problems.add(&key, &format!("{source:?} is named twice, want it in one component"));
            }
        }
    }
    let sources = raw.components.values().map(Vec::len).sum::<usize>() as u64;
    problems.range("hal.linux.journal.components", sources, 0, JOURNAL_SOURCES_MAX);
    let RawJournal { journalctl, directory, components } = raw;
    JournalConfig { journalctl, directory, components }
}

fn log_files(raw: Vec<RawLogFile>, problems: &mut Problems<'_>) -> Vec<LogFile> {
    const KEY: &str = "hal.linux.log-files";
    problems.range(KEY, raw.len() as u64, 0, LOG_FILES_MAX);
    let mut files = Vec::new();
    for RawLogFile { path, component, time_format } in raw {
        problems.absolute(&format!("{KEY}.path"), &path);
        check_component(&format!("{KEY}.component"), &component, problems);
        let time_format = match time_format.as_str() {
            "rfc3339" => TimeFormat::Rfc3339,
            "syslog" => TimeFormat::Syslog,
            other => {
                let problem = format!("got {other:?}, want rfc3339 or syslog");
                problems.add(&format!("{KEY}.time-format"), &problem);
                continue;
            }
        };
        files.push(LogFile { path, component, time_format });
    }
    files
}

fn check_component(key: &str, component: &str, problems: &mut Problems<'_>) {
    if let Some(problem) = line_problem(component, 1, LOG_COMPONENT_CHARS_MAX) {
        problems.add(key, &problem);
    }
}

/// What is to give logs needs a source of them.
pub(super) fn check_use(config: &HalConfig, problems: &mut Problems<'_>) {
    if config.logs == Some(Source::Linux) && config.linux.logs.is_empty() {
        let problem = "missing, want components of the journal, or hal.linux.log-files";
        problems.add("hal.linux.journal.components", problem);
    }
}
