//! The file as it is written. Every key is documented in `packaging/agent.toml`.

use std::path::PathBuf;

use serde::Deserialize;

use super::hal::RawHal;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) terminal: RawTerminal,
    pub(super) cloud: RawCloud,
    pub(super) store: RawStore,
    #[serde(default)]
    pub(super) control: RawControl,
    #[serde(default)]
    pub(super) operations: RawOperations,
    #[serde(default)]
    pub(super) uploads: RawUploads,
    pub(super) hal: RawHal,
    #[serde(default)]
    pub(super) log: RawLog,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawTerminal {
    pub(super) id: String,
    pub(super) serial_number: String,
    pub(super) model: String,
    #[serde(default = "unknown")]
    pub(super) software_version: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawCloud {
    pub(super) url: String,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) crl_file: Option<PathBuf>,
    pub(super) client_certificate_file: Option<PathBuf>,
    pub(super) client_key_file: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) proxy: Option<RawProxy>,
    #[serde(default)]
    pub(super) allow_insecure: bool,
    #[serde(default = "reconnect_base_ms")]
    pub(super) reconnect_base_ms: u64,
    #[serde(default = "reconnect_cap_s")]
    pub(super) reconnect_cap_s: u64,
    #[serde(default = "connect_timeout_s")]
    pub(super) connect_timeout_s: u16,
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
}

impl Default for RawControl {
    fn default() -> Self {
        Self { socket: "/run/terminal-agent/control.sock".into(), readers: Vec::new() }
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

const fn reconnect_base_ms() -> u64 {
    2_000
}

const fn reconnect_cap_s() -> u64 {
    300
}

const fn connect_timeout_s() -> u16 {
    10
}

const fn ballast_kb() -> u64 {
    2_048
}

const fn reserve_kb() -> u64 {
    4_096
}
