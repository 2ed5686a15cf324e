//! What a technician writes on a terminal after the package is installed: the packaged
//! configuration with the terminal's own values, the authority, the token.

use std::{fs, os::unix::fs::symlink};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_hal::OperationId;
use terminal_harness::Site;

use crate::root::Root;

/// Where the simulated terminal keeps its memory.
pub(crate) const MEMORY: &str = "var/lib/terminal-agent/mock-state.json";
/// How long closing a batch takes on the simulated terminal: long enough to be cut off in it.
const CLOSE_MS: u64 = 4000;
const CONFIG: &str = "etc/terminal-agent/agent.toml";
/// Examples that the package brings.
pub(crate) const EXAMPLES: &str = "usr/share/doc/terminal-agent/examples";
/// Drop-ins of the agent's unit.
const UNIT: &str = "etc/systemd/system/terminal-agent.service.d";

/// Writes the files of a site's terminal.
pub(crate) fn write(site: &Site, root: &Root) -> Result<()> {
    let link = site.cloud()?.link_url();
    replace(
        root,
        &[
            (r#"id = "P11223351-T0001""#, &format!("id = \"{}\"", site.terminal_id())),
            (r#""wss://cloud.example/v1/terminal/ws""#, &format!("\"{link}\"")),
            ("# script-file =", "script-file ="),
            ("reconnect-base-ms = 2000", "reconnect-base-ms = 200"),
            ("reconnect-cap-s = 300", "reconnect-cap-s = 2"),
        ],
    )?;
    fs::copy(site.ca_file(), root.path("etc/terminal-agent/ca.pem"))?;
    fs::copy(site.path("agent/token"), root.path("etc/credstore/terminal-agent.token"))?;
    let script = json!({ "methods": { "close_batch": { "latency_ms": CLOSE_MS } } });
    fs::write(root.path("etc/terminal-agent/mock-script.json"), script.to_string())?;
    fs::write(root.path("etc/hosts"), "127.0.0.1 localhost\n")?;
    Ok(())
}

/// Makes a system of it that is booted: the real system is restarted, not the simulated one.
pub(crate) fn prepare_boot(root: &Root, watchdog_s: u32) -> Result<()> {
    replace(root, &[("# power = \"vendor\"", "power = \"linux\"")])?;
    let examples = root.path(EXAMPLES);
    let linux = fs::read_to_string(examples.join("linux-backend.conf"))?;
    drop_in(root, "linux-backend", &linux)?;
    let rules = root.path("usr/share/polkit-1/rules.d");
    fs::copy(examples.join("terminal-agent.rules"), rules.join("terminal-agent.rules"))?;
    // The unit as it is, but for waits that would only make the test longer.
    let shorter = format!("[Service]\nWatchdogSec={watchdog_s}\nRestartSec=1\n");
    drop_in(root, "shorter-waits", &shorter)?;
    // Kept over a power cut, and written soon.
    fs::create_dir_all(root.path("var/log/journal"))?;
    fs::create_dir_all(root.path("etc/systemd/journald.conf.d"))?;
    let journald = "[Journal]\nStorage=persistent\nSyncIntervalSec=1s\n";
    fs::write(root.path("etc/systemd/journald.conf.d/test.conf"), journald)?;
    let identified = root.run(&["systemd-machine-id-setup"])?;
    ensure!(identified.status.success(), "{}", String::from_utf8_lossy(&identified.stderr));
    // Nobody logs in.
    for unit in ["getty.target", "console-getty.service"] {
        let _ = fs::remove_file(root.path("etc/systemd/system").join(unit));
        symlink("/dev/null", root.path("etc/systemd/system").join(unit))?;
    }
    Ok(())
}

/// Adds to the agent's unit.
pub(crate) fn drop_in(root: &Root, name: &str, text: &str) -> Result<()> {
    fs::create_dir_all(root.path(UNIT))?;
    Ok(fs::write(root.path(UNIT).join(format!("{name}.conf")), text)?)
}

/// Changes lines of the configuration that must be there.
pub(crate) fn replace(root: &Root, changes: &[(&str, &str)]) -> Result<()> {
    let packaged = fs::read_to_string(root.path(CONFIG))?;
    let text = changes.iter().try_fold(packaged, |text, (from, to)| {
        ensure!(text.contains(from), "the packaged configuration has no {from}");
        Ok(text.replace(from, to))
    })?;
    Ok(fs::write(root.path(CONFIG), text)?)
}

/// Adds sections to the configuration.
pub(crate) fn append(root: &Root, sections: &str) -> Result<()> {
    let text = fs::read_to_string(root.path(CONFIG))?;
    Ok(fs::write(root.path(CONFIG), text + sections)?)
}

/// How often the simulated terminal has closed a batch for an operation; once for each batch.
pub(crate) fn closes(memory: &str, id: OperationId) -> Result<Vec<u64>> {
    let memory: Value = serde_json::from_str(memory)?;
    let batches = memory["closed"].as_array().context("it remembers no batches")?;
    let of_it = batches.iter().filter(|batch| batch["closed_by"] == id.to_string());
    Ok(of_it.filter_map(|batch| batch["closes"].as_u64()).collect())
}
