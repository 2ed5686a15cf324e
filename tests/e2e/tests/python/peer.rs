//! A program of `tests/peers`: told what to do by lines of JSON, and saying by such lines what
//! happens.

use std::{
    ffi::OsStr,
    fs::OpenOptions,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_harness::Site;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::support::PATIENCE;

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../peers");

/// Whether there is a Python; said where there is none, and a failure with `PYTHON_REQUIRED`.
pub(crate) fn has_python() -> Result<bool> {
    let has = Command::new("python3").args(["-c", "import asyncio, sqlite3, ssl"]).output();
    if has.is_ok_and(|output| output.status.success()) {
        return Ok(true);
    }
    ensure!(std::env::var_os("PYTHON_REQUIRED").is_none(), "there is no python3 with ssl, sqlite3");
    println!("skipped: there is no python3 with ssl and sqlite3");
    Ok(false)
}

/// A running program. Dropping it is `kill -9`.
pub(crate) struct Peer {
    name: String,
    child: Child,
    orders: ChildStdin,
    events: UnboundedReceiver<Value>,
    /// Events that nobody has asked for yet.
    kept: Vec<Value>,
}

impl Peer {
    fn start(name: &str, arguments: &[&OsStr], log: &Path) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = Command::new("python3")
            .arg("-B")
            .arg(Path::new(PROGRAMS).join(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()?;
        let orders = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        let (sender, events) = unbounded_channel();
        thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            for event in lines.filter_map(|line| serde_json::from_str(&line).ok()) {
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        Ok(Self { name: name.to_owned(), child, orders, events, kept: Vec::new() })
    }

    /// The cloud on the files of a site, on a port of its own or the one that it had.
    pub(crate) async fn cloud(site: &Site, port: u16) -> Result<(Self, u16)> {
        let (certificate, key) = (site.path("peer.pem"), site.path("peer.key"));
        if !certificate.exists() {
            let (chain, secret) = site.pki().server(&["localhost"])?;
            std::fs::write(&certificate, chain)?;
            std::fs::write(&key, secret)?;
        }
        let (data, ca, port) = (site.path("peer.db"), site.ca_file(), port.to_string());
        let arguments: [&OsStr; 10] = [
            "--data".as_ref(),
            data.as_ref(),
            "--certificate".as_ref(),
            certificate.as_ref(),
            "--key".as_ref(),
            key.as_ref(),
            "--client-ca".as_ref(),
            ca.as_ref(),
            "--port".as_ref(),
            port.as_ref(),
        ];
        let mut peer = Self::start("cloud.py", &arguments, &site.path("peer.log"))?;
        let listening = peer.until("a port", |event| event.get("listening").is_some()).await?;
        let port = listening["listening"].as_u64().context("no port")?;
        Ok((peer, u16::try_from(port)?))
    }

    /// The agent on the files of a site, against a cloud on that port.
    pub(crate) fn agent(site: &Site, port: u16) -> Result<Self> {
        let url = format!("wss://localhost:{port}/v1/terminal/ws");
        let file = |name: &str| site.path(name).into_os_string();
        let arguments = [
            ("--data", file("python.db")),
            ("--url", url.into()),
            ("--ca", site.ca_file().into_os_string()),
            ("--certificate", file("agent/client.pem")),
            ("--key", file("agent/client.key")),
            ("--terminal-id", site.terminal_id().into()),
            ("--payment", file("payment")),
            ("--reconnect-base-s", "0.05".into()),
        ];
        let flat: Vec<&OsStr> =
            arguments.iter().flat_map(|(name, value)| [name.as_ref(), value.as_os_str()]).collect();
        Self::start("agent.py", &flat, &site.path("python.log"))
    }

    /// The first event of that kind that nobody has asked for yet.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        if let Some(place) = self.kept.iter().position(&is_it) {
            return Ok(self.kept.remove(place));
        }
        let wait = async {
            loop {
                let event = self.events.recv().await.context("it has ended")?;
                if is_it(&event) {
                    return Ok::<Value, anyhow::Error>(event);
                }
                self.kept.push(event);
            }
        };
        let found = tokio::time::timeout(PATIENCE, wait).await;
        found.with_context(|| format!("{}: {what} did not come", self.name))?
    }

    /// The next event with that field, and that value in it.
    pub(crate) async fn says(&mut self, field: &str, value: &str) -> Result<Value> {
        self.until(&format!("{field} {value}"), |event| event[field] == value).await
    }

    /// Whether it has said so, among what it had said before the last event that was asked for.
    pub(crate) fn has_said(&self, field: &str, value: &str) -> bool {
        self.kept.iter().any(|event| event[field] == value)
    }

    pub(crate) fn tell(&mut self, order: &Value) -> Result<()> {
        Ok(writeln!(self.orders, "{order}")?)
    }

    /// Orders an operation; gives its id.
    pub(crate) async fn dispatch(&mut self, site: &Site, kind: &str, ttl_s: u32) -> Result<String> {
        let terminal_id = site.terminal_id();
        self.tell(&json!({ "dispatch": kind, "terminal_id": terminal_id, "ttl_s": ttl_s }))?;
        let created = self.until("an id", |event| event.get("created").is_some()).await?;
        Ok(created["created"].as_str().context("no id")?.to_owned())
    }

    /// Waits for the verdict of an operation, as it was reported.
    pub(crate) async fn report(&mut self, id: &str) -> Result<Value> {
        let event = self.until("a report", |event| event["report"]["id"] == id).await?;
        Ok(event["report"].clone())
    }

    /// The verdict that is stored, and how many reports of that operation there are.
    pub(crate) async fn stored(&mut self, id: &str) -> Result<(Value, u64)> {
        self.tell(&json!({ "show": id }))?;
        let shown = self.says("shown", id).await?;
        Ok((shown["verdict"].clone(), shown["reports"].as_u64().context("no count")?))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
