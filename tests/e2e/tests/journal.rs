//! The system journal: what it is told, and that the agent does not wait for it. The journal is a
//! socket of the test's own, in a mount namespace of the agent's own.

use std::{fs, io::ErrorKind, os::unix::net::UnixDatagram, path::Path, time::Duration};

use anyhow::{Context, Result};
use nix::unistd::geteuid;
use serde_json::json;
use terminal_harness::{Agent, Site, SiteOptions};

use crate::support::skipped;

/// Operations until the journal must have been told of one: what is said before it answers is lost.
const ATTEMPTS_MAX: u32 = 50;
/// A line must have come within this.
const LINE_TIME_MAX: Duration = Duration::from_secs(20);

/// A journal for the agents of a site, read by nobody yet.
fn journal(site: &Site) -> Result<UnixDatagram> {
    fs::create_dir(site.path("journal"))?;
    let socket = UnixDatagram::bind(site.path("journal/socket"))?;
    socket.set_read_timeout(Some(LINE_TIME_MAX))?;
    site.edit_config(|text| text.replace(r#"target = "stderr""#, r#"target = "journald""#))?;
    Ok(socket)
}

/// An agent that finds the site's journal where the system's would be.
fn start(site: &Site) -> Result<Agent> {
    let mut launch = site.launch();
    let script = format!(
        r#"mount -t tmpfs none /run && mkdir /run/systemd && ln -s {} /run/systemd/journal && exec "$@""#,
        site.path("journal").display()
    );
    launch.wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"].map(Into::into).into();
    Agent::launch(launch)
}

/// Sends until not even a new socket gets a datagram in.
fn fill(journal: &Path) -> Result<()> {
    loop {
        let sender = UnixDatagram::unbound()?;
        sender.set_nonblocking(true)?;
        let mut sent = 0;
        while sender.send_to(b"MESSAGE=full\n", journal).is_ok() {
            sent += 1;
        }
        if sent == 0 {
            return Ok(());
        }
    }
}

/// Receives datagrams until one has all of these in it.
fn line(journal: &UnixDatagram, parts: &[&str]) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = journal.recv(&mut buffer).with_context(|| format!("no line {parts:?}"))?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        if parts.iter().all(|part| text.contains(part)) {
            return Ok(());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_nobody_reads_holds_up_neither_the_start_nor_an_operation() -> Result<()> {
    if !geteuid().is_root() {
        return skipped("only root can give the agent another journal");
    }
    let site = Site::start(SiteOptions::default()).await?;
    let journal = journal(&site)?;
    fill(&site.path("journal/socket"))?;
    let _agent = start(&site)?;
    site.online().await?;
    site.run("end_of_day", json!({})).await?;

    // That it would have been told proves that it was the journal which was not waited for.
    journal.set_nonblocking(true)?;
    let mut nothing = [0; 1];
    while journal.recv(&mut nothing).map_err(|error| error.kind()) != Err(ErrorKind::WouldBlock) {}
    for _ in 0..ATTEMPTS_MAX {
        let next = site.run("check_update", json!({})).await?.id.to_string();
        let mut buffer = vec![0; 64 << 10];
        while let Ok(length) = journal.recv(&mut buffer) {
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            if text.contains("operation completed") && text.contains(&next) {
                return Ok(());
            }
        }
    }
    anyhow::bail!("the journal has been told nothing since it is read")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_found_in_the_journal_by_its_documented_fields() -> Result<()> {
    if !geteuid().is_root() {
        return skipped("only root can give the agent another journal");
    }
    let site = Site::start(SiteOptions::default()).await?;
    let journal = journal(&site)?;
    site.script(&json!({ "methods": { "close_batch": { "fail": {
        "code": "HOST_UNREACHABLE", "failure_reason": "no line to the host"
    } } } }))?;
    let _agent = start(&site)?;
    site.online().await?;
    let id = site.create("end_of_day", json!({})).await?.to_string();
    line(&journal, &["MESSAGE", "connected", "SESSION_ID"])?;
    line(&journal, &["operation accepted", "OPERATION_ID", &id, "OPERATION", "end_of_day"])?;
    line(&journal, &["operation started", "OPERATION_ID", &id, "ATTEMPT"])?;
    let failed = ["operation failed", "OPERATION_ID", &id, "CODE", "HOST_UNREACHABLE", "REASON"];
    line(&journal, &failed)
}
