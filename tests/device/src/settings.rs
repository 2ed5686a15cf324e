//! What a technician writes on a terminal after the package is installed: the packaged
//! configuration with the terminal's own values, the authority, the token.

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_hal::OperationId;
use terminal_harness::Site;

use crate::root::Root;

/// How long closing a batch takes on the simulated terminal: long enough to be cut off in it.
pub(crate) const CLOSE_MS: u64 = 4000;

/// Writes the files of a site's terminal.
pub(crate) fn write(site: &Site, root: &Root) -> Result<()> {
    let packaged = fs::read_to_string(root.path("etc/terminal-agent/agent.toml"))?;
    let text = [
        (r#"id = "P11223351-T0001""#, format!("id = \"{}\"", site.terminal_id())),
        (r#""wss://cloud.example/v1/terminal/ws""#, format!("\"{}\"", site.cloud()?.link_url())),
        ("# script-file =", "script-file =".to_owned()),
        ("reconnect-base-ms = 2000", "reconnect-base-ms = 200".to_owned()),
        ("reconnect-cap-s = 300", "reconnect-cap-s = 2".to_owned()),
    ]
    .into_iter()
    .try_fold(packaged, |text, (from, to)| {
        ensure!(text.contains(from), "the packaged configuration has no {from}");
        Ok(text.replace(from, &to))
    })?;
    fs::write(root.path("etc/terminal-agent/agent.toml"), text)?;
    fs::copy(site.ca_file(), root.path("etc/terminal-agent/ca.pem"))?;
    fs::copy(site.path("agent/token"), root.path("etc/credstore/terminal-agent.token"))?;
    let script = json!({ "methods": { "close_batch": { "latency_ms": CLOSE_MS } } });
    fs::write(root.path("etc/terminal-agent/mock-script.json"), script.to_string())?;
    fs::write(root.path("etc/hosts"), "127.0.0.1 localhost\n")?;
    Ok(())
}

/// How often the simulated terminal has closed a batch for an operation; once for each batch.
pub(crate) fn closes(root: &Root, id: OperationId) -> Result<Vec<u64>> {
    let text = fs::read_to_string(root.path("var/lib/terminal-agent/mock-state.json"))?;
    let memory: Value = serde_json::from_str(&text)?;
    let batches = memory["closed"].as_array().context("it remembers no batches")?;
    let of_it = batches.iter().filter(|batch| batch["closed_by"] == id.to_string());
    Ok(of_it.filter_map(|batch| batch["closes"].as_u64()).collect())
}
