//! The configuration file: `RawConfig` is what is written, [`Config`] is what can work.
//!
//! An invalid [`Config`] cannot exist. All problems are reported at once, each with the key, what
//! is there and what should be. Secrets are never in the file: it names files that hold them.

mod enrolment;
mod hal;
mod raw;
mod schedule;
mod updates;

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use terminal_core::engine::BackoffSettings;
use terminal_hal::{OperationKind, text::line_problem};

use crate::{
    link::{ClientIdentity, LinkConfig, LinkUrl, ProxyConfig, Timeouts, Trust},
    schedule::Schedule,
};
pub use enrolment::EnrolmentConfig;
pub use hal::{ExecHalConfig, HalConfig, MockHalConfig, Source, VendorHalConfig};
use raw::RawConfig;
pub use updates::{UpdateSource, UpdatesConfig};

/// Everything that the agent needs to know, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this is.
    pub terminal: Terminal,
    /// How to reach the cloud; with enrolment, its enrolment endpoint.
    pub link: LinkConfig,
    /// How the terminal comes to its credentials, where they are not configured.
    pub enrolment: Option<EnrolmentConfig>,
    /// How to wait between connection attempts.
    pub backoff: BackoffSettings,
    /// Where records are kept.
    pub store: StoreConfig,
    /// The socket that `status` talks to.
    pub control: ControlConfig,
    /// Kinds that the cloud may ask for.
    pub allowed_operations: Vec<OperationKind>,
    /// Where logs may be uploaded to.
    pub uploads: UploadConfig,
    /// The hardware.
    pub hal: HalConfig,
    /// What the terminal begins by itself every day.
    pub schedule: Option<Schedule>,
    /// How much is logged.
    pub log: LogConfig,
}

/// Who this is.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// As the cloud knows it, 1 to 64 characters; `None` where enrolment gives it.
    pub id: Option<String>,
    /// Printed on the device.
    pub serial_number: String,
    /// Hardware model.
    pub model: String,
    /// Version of the terminal's software.
    pub software_version: String,
}

/// Where records are kept.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Directory that belongs to the agent alone.
    pub directory: PathBuf,
    /// Bytes set aside for when the disk is full.
    pub ballast_bytes: u64,
    /// Below this many free bytes no operation is accepted.
    pub reserve_bytes: u64,
}

/// The socket that `status` talks to.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Path of the Unix socket.
    pub socket: PathBuf,
    /// User ids that may read, beside root and the agent's own.
    pub readers: Vec<u32>,
    /// User ids that may also begin operations.
    pub operators: Vec<u32>,
}

/// Where logs may be uploaded to.
#[derive(Clone, Debug)]
pub struct UploadConfig {
    /// Host names, or `*.` and a suffix.
    pub hosts: Vec<String>,
    /// PEM bundle that receivers are checked against.
    pub ca_file: Option<PathBuf>,
    /// Whether a host may resolve to a private or loopback address.
    pub allow_private_addresses: bool,
}

/// How much is logged, and where to.
#[derive(Clone, Copy, Debug)]
pub struct LogConfig {
    /// This severity and above.
    pub level: tracing::Level,
    /// Where to.
    pub target: LogTarget,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// The journal if standard error is connected to it, standard error otherwise.
    Auto,
    /// The journal.
    Journald,
    /// Standard error.
    Stderr,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not TOML, or has a key that nobody knows.
    #[error("{path}: {problem}")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, column and what was expected.
        problem: String,
    },
    /// Values that cannot work, all of them.
    #[error("{}", problems.join("\n"))]
    Invalid {
        /// One line each: `file: key: got X, want Y`.
        problems: Vec<String>,
    },
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Names the file and every problem in it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Checks the text of a file; `path` is for the messages.
    ///
    /// # Errors
    /// Names every problem.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let raw: RawConfig = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            problem: error.to_string().trim_end().to_owned(),
        })?;
        let mut problems = Problems { path, lines: Vec::new() };
        let config = checked(raw, &mut problems);
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError::Invalid { problems: problems.lines }),
        }
    }
}

/// Collects what is wrong.
struct Problems<'a> {
    path: &'a Path,
    lines: Vec<String>,
}

impl Problems<'_> {
    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn add(&mut self, key: &str, problem: &str) {
        self.lines.push(format!("{}: {key}: {problem}", self.path.display()));
    }

    fn line(&mut self, key: &str, text: &str) {
        if let Some(problem) = line_problem(text, 1, 64) {
            self.add(key, &problem);
        }
    }

    fn range(&mut self, key: &str, value: u64, min: u64, max: u64) {
        if value < min || value > max {
            self.add(key, &format!("got {value}, want {min} to {max}"));
        }
    }

    fn absolute(&mut self, key: &str, path: &Path) {
        if !path.is_absolute() {
            self.add(key, &format!("got {:?}, want an absolute path", path.display().to_string()));
        }
    }
}

fn checked(raw: RawConfig, problems: &mut Problems<'_>) -> Option<Config> {
    let terminal = terminal(raw.terminal, raw.enrolment.is_some(), problems);
    let backoff = BackoffSettings {
        base_ms: raw.cloud.reconnect_base_ms,
        cap_ms: raw.cloud.reconnect_cap_s.saturating_mul(1000),
    };
    problems.range("cloud.reconnect-base-ms", backoff.base_ms, 10, 60_000);
    problems.range("cloud.reconnect-cap-s", raw.cloud.reconnect_cap_s, 1, 3600);
    if backoff.base_ms > backoff.cap_ms {
        problems.add("cloud.reconnect-base-ms", "longer than reconnect-cap-s, want at most that");
    }
    problems.range("cloud.connect-timeout-s", raw.cloud.connect_timeout_s.into(), 1, 30);
    problems.absolute("store.directory", &raw.store.directory);
    problems.range("store.ballast-kb", raw.store.ballast_kb, 256, 65_536);
    problems.range("store.reserve-kb", raw.store.reserve_kb, 256, 1_048_576);
    problems.absolute("control.socket", &raw.control.socket);
    let allowed_operations = allowed(&raw.operations.allow, problems);
    for host in &raw.uploads.hosts {
        problems.line("uploads.hosts", host);
    }
    let hal = hal::checked(raw.hal, &raw.store.directory, &terminal.model, problems);
    let log = log(&raw.log, problems);
    let schedule = raw.schedule.as_ref().and_then(|raw| schedule::checked(raw, problems));
    let (link, enrolment) = match raw.enrolment {
        None => (link(raw.cloud, problems)?, None),
        Some(enrolment) => {
            let (link, enrolment) = enrolment::checked(enrolment, raw.cloud, problems)?;
            (link, Some(enrolment))
        }
    };
    Some(Config {
        terminal,
        link,
        enrolment,
        backoff,
        store: StoreConfig {
            directory: raw.store.directory,
            ballast_bytes: raw.store.ballast_kb.saturating_mul(1024),
            reserve_bytes: raw.store.reserve_kb.saturating_mul(1024),
        },
        control: ControlConfig {
            socket: raw.control.socket,
            readers: raw.control.readers,
            operators: raw.control.operators,
        },
        allowed_operations,
        uploads: UploadConfig {
            hosts: raw.uploads.hosts,
            ca_file: raw.uploads.ca_file.map(credential_path),
            allow_private_addresses: raw.uploads.allow_private_addresses,
        },
        hal,
        schedule,
        log,
    })
}

fn terminal(raw: raw::RawTerminal, enrols: bool, problems: &mut Problems<'_>) -> Terminal {
    match &raw.id {
        Some(_) if enrols => problems.add("terminal.id", COMES_WITH_THE_IDENTITY),
        Some(id) => problems.line("terminal.id", id),
        None if enrols => {}
        None => problems.add("terminal.id", "missing, want how the cloud knows this terminal"),
    }
    problems.line("terminal.serial-number", &raw.serial_number);
    problems.line("terminal.model", &raw.model);
    problems.line("terminal.software-version", &raw.software_version);
    Terminal {
        id: raw.id,
        serial_number: raw.serial_number,
        model: raw.model,
        software_version: raw.software_version,
    }
}

/// About a key that has no place beside `[enrolment]`.
const COMES_WITH_THE_IDENTITY: &str = "comes with the identity, want it left out";

fn link(raw: raw::RawCloud, problems: &mut Problems<'_>) -> Option<LinkConfig> {
    let Some(url) = &raw.url else {
        problems.add("cloud.url", "missing, want that of the cloud, or a section [enrolment]");
        return None;
    };
    let url = match LinkUrl::parse(url, raw.allow_insecure) {
        Ok(url) => url,
        Err(error) => {
            problems.add("cloud.url", &error.to_string());
            return None;
        }
    };
    if url.is_tls() && raw.ca_file.is_none() {
        problems.add("cloud.ca-file", "missing, want a PEM bundle of whom to trust");
    }
    let keys = ["cloud.client-certificate-file", "cloud.client-key-file"];
    let identity = pair(keys, raw.client_certificate_file, raw.client_key_file, problems);
    if identity.is_none() && raw.token_file.is_none() {
        problems.add("cloud.token-file", "missing, want a token or a client certificate");
    }
    let crl_file = raw.crl_file.map(credential_path);
    Some(LinkConfig {
        url,
        trust: raw.ca_file.map(|file| Trust { ca_file: credential_path(file), crl_file }),
        identity,
        token_file: raw.token_file.map(credential_path),
        proxy: raw.proxy.map(proxy),
        timeouts: timeouts(raw.connect_timeout_s),
    })
}

/// A certificate and its key: both or none.
fn pair(
    [certificate_name, key_name]: [&str; 2],
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    problems: &mut Problems<'_>,
) -> Option<ClientIdentity> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(ClientIdentity {
            certificate_file: credential_path(certificate),
            key_file: credential_path(key),
        }),
        (None, None) => None,
        (Some(_), None) => {
            problems.add(key_name, "missing, want the key of the certificate");
            None
        }
        (None, Some(_)) => {
            problems.add(certificate_name, "missing, want the one of the key");
            None
        }
    }
}

fn proxy(raw: raw::RawProxy) -> ProxyConfig {
    ProxyConfig {
        host: raw.host,
        port: raw.port,
        credentials_file: raw.credentials_file.map(credential_path),
    }
}

fn timeouts(connect_s: u16) -> Timeouts {
    Timeouts { connect: Duration::from_secs(connect_s.into()), ..Timeouts::default() }
}

fn allowed(names: &Option<Vec<String>>, problems: &mut Problems<'_>) -> Vec<OperationKind> {
    let Some(names) = names else { return OperationKind::ALL.to_vec() };
    let mut kinds = Vec::new();
    for name in names {
        match OperationKind::from_name(name) {
            Some(kind) => kinds.push(kind),
            None => {
                let known: Vec<_> = OperationKind::ALL.iter().map(|kind| kind.as_str()).collect();
                let problem = format!("got {name:?}, want one of {}", known.join(", "));
                problems.add("operations.allow", &problem);
            }
        }
    }
    kinds
}

fn log(raw: &raw::RawLog, problems: &mut Problems<'_>) -> LogConfig {
    let level = match raw.level.as_str() {
        "error" => tracing::Level::ERROR,
        "warn" => tracing::Level::WARN,
        "info" => tracing::Level::INFO,
        "debug" => tracing::Level::DEBUG,
        other => {
            let problem = format!("got {other:?}, want error, warn, info or debug");
            problems.add("log.level", &problem);
            tracing::Level::INFO
        }
    };
    let target = match raw.target.as_str() {
        "auto" => LogTarget::Auto,
        "journald" => LogTarget::Journald,
        "stderr" => LogTarget::Stderr,
        other => {
            problems.add("log.target", &format!("got {other:?}, want auto, journald or stderr"));
            LogTarget::Auto
        }
    };
    LogConfig { level, target }
}

/// Lets a path begin with `$CREDENTIALS_DIRECTORY/`, where systemd puts secrets.
fn credential_path(path: PathBuf) -> PathBuf {
    const VARIABLE: &str = "CREDENTIALS_DIRECTORY";
    match (path.strip_prefix(format!("${VARIABLE}")), std::env::var_os(VARIABLE)) {
        (Ok(rest), Some(directory)) => PathBuf::from(directory).join(rest),
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        [terminal]
        id = "P11223351-T0001"
        serial-number = "123456789012"
        model = "nexgo_n92"
        [cloud]
        url = "wss://cloud.example/v1/terminal/ws"
        ca-file = "/etc/terminal-agent/ca.pem"
        token-file = "/etc/terminal-agent/token"
        [store]
        directory = "/var/lib/terminal-agent"
        [hal]
        backend = "mock"
    "#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("agent.toml"), text)
    }

    #[test]
    fn a_minimal_file_is_enough() {
        let config = parse(MINIMAL).unwrap();
        assert_eq!(config.backoff, BackoffSettings::default());
        assert_eq!(config.allowed_operations.len(), OperationKind::ALL.len());
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_key() {
        let text = MINIMAL
            .replace("wss://", "ws://")
            .replace("P11223351-T0001", "")
            .replace("/var/lib", "var/lib")
            + "[operations]\nallow = [\"format_disk\"]\n[log]\nlevel = \"loud\"\n";
        let error = parse(&text).unwrap_err().to_string();
        for key in ["terminal.id", "cloud.url", "store.directory", "operations.allow", "log.level"]
        {
            assert!(error.contains(&format!("agent.toml: {key}: ")), "{key} not in {error}");
        }
    }

    #[test]
    fn without_a_word_about_the_hardware_nothing_is_simulated() {
        let text = MINIMAL.replace("[hal]", "").replace("backend = \"mock\"", "");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("hal"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = parse(&format!("{MINIMAL}\n[cloud2]\n")).unwrap_err().to_string();
        assert!(error.contains("cloud2") && error.contains("line"), "{error}");
    }

    #[test]
    fn a_link_needs_somebody_to_trust_and_something_to_show() {
        let text = MINIMAL.lines().filter(|l| !l.contains("-file")).collect::<Vec<_>>().join("\n");
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains("cloud.ca-file") && error.contains("cloud.token-file"), "{error}");
    }
}
