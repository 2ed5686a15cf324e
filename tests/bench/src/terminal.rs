//! A folder in which an agent can run.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use terminal_harness::Agent;

/// Serial number of the simulated terminal, also that of the store.
pub(crate) const SERIAL_NUMBER: &str = "123456789012";

/// A folder with a configuration.
pub(crate) struct Terminal {
    folder: PathBuf,
}

impl Terminal {
    /// A terminal in a new folder `name`, for the cloud on `port`.
    pub(crate) fn new(
        root: &Path,
        name: &str,
        port: u16,
        ca_file: &Path,
        log_level: &str,
    ) -> Result<Self> {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("store"))?;
        fs::write(folder.join("token"), "bench-token-0123456789")?;
        // Nothing is on offer, and no customers come: the call answers at once.
        fs::write(folder.join("script.json"), r#"{"updates":[],"payments_per_hour":0}"#)?;
        let text = format!(
            r#"[terminal]
id = "P11223351-T0001"
serial-number = "{SERIAL_NUMBER}"
model = "nexgo_n92"
software-version = "3.14.2"

[cloud]
url = "wss://localhost:{port}/v1/terminal/ws"
ca-file = "{ca_file}"
token-file = "{folder}/token"
reconnect-base-ms = 10
reconnect-cap-s = 1

[store]
directory = "{folder}/store"

[control]
socket = "{folder}/control.sock"

[hal]
backend = "mock"

[hal.mock]
state-file = "{folder}/mock-state.json"
script-file = "{folder}/script.json"

[log]
level = "{log_level}"
target = "stderr"
"#,
            ca_file = ca_file.display(),
            folder = folder.display(),
        );
        fs::write(folder.join("agent.toml"), text)?;
        Ok(Self { folder })
    }

    /// Where its store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store/store")
    }

    /// Starts its agent.
    pub(crate) fn start(&self) -> Result<Agent> {
        Agent::start(&self.folder.join("agent.toml"), &self.folder.join("agent.log"))
    }
}
