//! The file as it is written. Every key is documented in `packaging/agent.toml`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{hal::RawHal, schedule::RawSchedule};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) terminal: RawTerminal,
    #[serde(default)]
    pub(super) cloud: RawCloud,
    pub(super) enrolment: Option<RawEnrolment>,
    pub(super) store: RawStore,
    #[serde(default)]
    pub(super) control: RawControl,
    #[serde(default)]
    pub(super) operations: RawOperations,
    #[serde(default)]
    pub(super) uploads: RawUploads,
    pub(super) hal: RawHal,
    pub(super) schedule: Option<RawSchedule>,
    #[serde(default)]
    pub(super) log: RawLog,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawTerminal {
    pub(super) id: Option<String>,
    pub(super) serial_number: String,
    pub(super) model: String,
    #[serde(default = "unknown")]
    pub(super) software_version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RawCloud {
    pub(super) url: Option<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) crl_file: Option<PathBuf>,
    pub(super) client_certificate_file: Option<PathBuf>,
    pub(super) client_key_file: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) proxy: Option<RawProxy>,
    pub(super) allow_insecure: bool,
    pub(super) reconnect_base_ms: u64,
    pub(super) reconnect_cap_s: u64,
    pub(super) connect_timeout_s: u16,
}

impl Default for RawCloud {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: None,
            crl_file: None,
            client_certificate_file: None,
            client_key_file: None,
            token_file: None,
            proxy: None,
            allow_insecure: false,
            reconnect_base_ms: 2_000,
            reconnect_cap_s: 300,
            connect_timeout_s: 10,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawEnrolment {
    pub(super) url: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) identity_directory: PathBuf,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) factory_certificate_file: Option<PathBuf>,
    pub(super) factory_key_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawProxy {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) credentials_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawStore {
    pub(super) directory: PathBuf,
    #[serde(default = "ballast_kb")]
    pub(super) ballast_kb: u64,
    #[serde(default = "reserve_kb")]
    pub(super) reserve_kb: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RawControl {
    pub(super) socket: PathBuf,
    pub(super) readers: Vec<u32>,
    pub(super) operators: Vec<u32>,
}

impl Default for RawControl {
    fn default() -> Self {
        Self {
            socket: "/run/terminal-agent/control.sock".into(),
            readers: Vec::new(),
            operators: Vec::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RawOperations {
    pub(super) allow: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RawUploads {
    pub(super) hosts: Vec<String>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) allow_private_addresses: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) level: String,
    pub(super) target: String,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".to_owned(), target: "auto".to_owned() }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

const fn ballast_kb() -> u64 {
    2_048
}

const fn reserve_kb() -> u64 {
    4_096
}
