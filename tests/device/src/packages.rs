//! The life of the Debian package on a terminal: what each step must keep, above all reports that
//! the cloud has not confirmed.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use terminal_cloud::{DropHow, DropLink, FaultSwitches, OperationStatus};
use terminal_hal::OperationId;
use terminal_harness::{Site, SiteOptions};

use crate::{
    root::{Machine, Root, succeeded},
    settings,
};

/// Everything that is waited for must come within this.
const PATIENCE: Duration = Duration::from_secs(60);
/// Relative to the root: what must be there while the package is installed.
const INSTALLED: [&str; 6] = [
    "usr/bin/terminal-agent",
    "usr/lib/systemd/system/terminal-agent.service",
    "etc/systemd/system/multi-user.target.wants/terminal-agent.service",
    "usr/lib/sysusers.d/terminal-agent.conf",
    "usr/share/doc/terminal-agent/terminal-agent.cdx.json",
    "etc/credstore",
];
const STORE: &str = "var/lib/terminal-agent/store";
const CONFIG: &str = "etc/terminal-agent/agent.toml";
const STORE_DIRECTORY: &str = "directory = \"/var/lib/terminal-agent\"";

/// The whole life, step by step.
pub(crate) async fn life() -> Result<()> {
    let new = Machine::Own.package()?;
    let folder = tempfile::TempDir::new()?;
    let old = older(&new, folder.path())?;
    let root = Root::fresh(Machine::Own)?;
    let site = Site::start(SiteOptions::default()).await?;

    installed(&root, &old)?;
    say("installed: files, user, credential store; enabled, not started");
    settings::write(&site, &root)?;
    let unsent = unsent_report(&site, &root).await?;
    say("an end of day was closed while the cloud was away: its report waits");

    let config = fs::read(root.path(CONFIG))?;
    done(root.install(&new)?)?;
    ensure!(fs::read(root.path(CONFIG))? == config, "the upgrade changed the configuration");
    delivered(&site, &root, unsent).await?;
    say("upgraded: configuration kept, the report arrived, once");

    done(root.install(&old)?)?;
    works(&site, &root).await?;
    say("downgraded: the store has a format that the older version reads, operations run");

    refuses_a_store_it_cannot_read(&root, &new)?;
    say("refused: a store of a newer format, nothing changed");

    done(root.install(&new)?)?;
    done(root.run(&["dpkg", "--remove", "terminal-agent"])?)?;
    ensure!(!root.path("usr/bin/terminal-agent").exists(), "the program is still there");
    ensure!(root.path(CONFIG).exists() && root.path(STORE).exists(), "too much was removed");
    say("removed: configuration and store kept");

    let purged = done(root.run(&["dpkg", "--purge", "terminal-agent"])?)?;
    ensure!(!root.path(CONFIG).exists(), "the configuration is still there");
    ensure!(root.path(STORE).exists(), "a purge that could not ask deleted the store");
    let said = String::from_utf8_lossy(&purged.stderr).into_owned();
    ensure!(said.contains("may hold reports"), "the purge did not say what it kept: {said}");
    say("purged: nobody could be asked, the store is kept and that is said");

    done(root.install(&new)?)?;
    answer(&root, "true")?;
    done(root.run(&["dpkg", "--purge", "terminal-agent"])?)?;
    ensure!(!root.path("var/lib/terminal-agent").exists(), "the store is still there");
    say("purged with the answer yes: the store is gone");
    Ok(())
}

fn say(what: &str) {
    println!("ok  {what}");
}

/// What dpkg did well.
fn done(output: Output) -> Result<Output> {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "dpkg: {}{}", said(&output.stdout), said(&output.stderr));
    Ok(output)
}

/// The same package under an older version number.
fn older(new: &Path, folder: &Path) -> Result<PathBuf> {
    let tree = folder.join("tree");
    succeeded(Command::new("dpkg-deb").arg("--raw-extract").arg(new).arg(&tree))?;
    let control = tree.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let version = format!("Version: {}", env!("CARGO_PKG_VERSION"));
    ensure!(text.contains(&version), "{text}");
    fs::write(&control, text.replace(&version, "Version: 0.0.1"))?;
    let old = folder.join("old.deb");
    succeeded(Command::new("dpkg-deb").args(["--build", "--nocheck"]).arg(&tree).arg(&old))?;
    Ok(old)
}

fn installed(root: &Root, package: &Path) -> Result<()> {
    done(root.install(package)?)?;
    for file in INSTALLED {
        ensure!(root.path(file).symlink_metadata().is_ok(), "{file} is missing");
    }
    let users = fs::read_to_string(root.path("etc/passwd"))?;
    ensure!(users.contains("terminal-agent:"), "no user was made");
    let secrets = fs::metadata(root.path("etc/credstore"))?;
    ensure!((secrets.mode() & 0o777, secrets.uid()) == (0o700, 0), "others may read credentials");
    let version = done(root.run(&["terminal-agent", "version"])?)?;
    ensure!(
        String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")),
        "version"
    );
    Ok(())
}

/// An agent in the system, as its unit would start it.
struct Running(Child);

impl Running {
    fn start(root: &Root) -> Result<Self> {
        let state = root.path("var/lib/terminal-agent");
        let own = ["install", "-d", "-o", "terminal-agent", "-g", "terminal-agent", "-m", "700"];
        let folders = ["/var/lib/terminal-agent", "/run/terminal-agent"];
        done(root.run(&[&own[..], &folders].concat())?)?;
        // systemd hands the token on; here it lies where the agent may read it.
        fs::copy(root.path("etc/credstore/terminal-agent.token"), state.join("token"))?;
        done(root.run(&["chown", "terminal-agent:", "/var/lib/terminal-agent/token"])?)?;
        let mut agent = root.agent();
        agent.env("CREDENTIALS_DIRECTORY", "/var/lib/terminal-agent");
        agent.arg("run").stdin(Stdio::null());
        Ok(Self(agent.stderr(fs::File::create(root.path("tmp/agent.log"))?).spawn()?))
    }

    fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.0.id().try_into()?), Signal::SIGTERM)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Leaves a report of a closed batch in the store, and no agent that could send it.
async fn unsent_report(site: &Site, root: &Root) -> Result<OperationId> {
    let agent = Running::start(root)?;
    let cloud = site.cloud()?;
    cloud.wait_online(site.terminal_id(), true, PATIENCE).await?;
    let id = site.create("end_of_day", json!({})).await?;
    cloud.wait_timeline(id, "started", 1, PATIENCE).await?;
    let link =
        DropLink { terminal_id: site.terminal_id().to_owned(), how: DropHow::Rst, code: None };
    let away =
        FaultSwitches { refuse_links_ms: Some(0), drop_link: Some(link), ..Default::default() };
    site.faults(away).await?;
    until("the batch is closed and its verdict waits", || {
        Ok(closes(root, id)? == [1] && verdict_is_stored(root)?)
    })
    .await?;
    agent.stop()?;
    site.faults(FaultSwitches { clear: true, ..Default::default() }).await?;
    ensure!(cloud.operation(id).await?.status == OperationStatus::Pending, "it was reported");
    Ok(id)
}

async fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        if holds()? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("not within {PATIENCE:?}: {what}")
}

fn closes(root: &Root, id: OperationId) -> Result<Vec<u64>> {
    settings::closes(&fs::read_to_string(root.path(settings::MEMORY))?, id)
}

/// The agent itself says that the verdict waits.
fn verdict_is_stored(root: &Root) -> Result<bool> {
    let answer = root.run(&["terminal-agent", "operations", "--json"])?;
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
    Ok(answer["finished"].as_array().is_some_and(|finished| !finished.is_empty()))
}

async fn delivered(site: &Site, root: &Root, id: OperationId) -> Result<()> {
    let agent = Running::start(root)?;
    let operation = site.verdict(id).await?;
    ensure!(operation.status == OperationStatus::Completed, "{operation:?}");
    let reports = site.cloud()?.reports(site.terminal_id()).await?;
    let of_it = reports.iter().filter(|report| report.operation_id == Some(id)).count();
    ensure!(of_it == 1, "{of_it} reports of one operation");
    ensure!(closes(root, id)? == [1], "closed more than once");
    agent.stop()
}

async fn works(site: &Site, root: &Root) -> Result<()> {
    let agent = Running::start(root)?;
    site.cloud()?.wait_online(site.terminal_id(), true, PATIENCE).await?;
    let operation = site.run("check_update", json!({})).await?;
    ensure!(operation.status == OperationStatus::Completed, "{operation:?}");
    agent.stop()
}

fn refuses_a_store_it_cannot_read(root: &Root, package: &Path) -> Result<()> {
    let format = root.path(STORE).join("format");
    let before = fs::read(&format).context("the store has no format")?;
    let version =
        || -> Result<Vec<u8>> { Ok(root.run(&["dpkg-query", "--show", "terminal-agent"])?.stdout) };
    let installed = version()?;
    let refused = || -> Result<()> {
        let output = root.install(package)?;
        ensure!(!output.status.success(), "a version that cannot read the store was installed");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(said.contains("has format 99"), "it does not say why: {said}");
        ensure!(version()? == installed, "the installed version has changed");
        Ok(())
    };
    fs::write(&format, "99\n")?;
    refused()?;
    fs::write(format, before)?;

    // The same where the configuration has the store elsewhere.
    let config = fs::read(root.path(CONFIG))?;
    settings::replace(root, &[(STORE_DIRECTORY, "directory = \"/data/agent\"")])?;
    fs::create_dir_all(root.path("data/agent/store"))?;
    fs::write(root.path("data/agent/store/format"), "99\n")?;
    refused()?;
    Ok(fs::write(root.path(CONFIG), config)?)
}

/// Answers the package's question beforehand.
fn answer(root: &Root, value: &str) -> Result<()> {
    let line = format!("terminal-agent terminal-agent/delete-store boolean {value}\n");
    fs::write(root.path("tmp/answer"), line)?;
    done(root.run(&["debconf-set-selections", "/tmp/answer"])?).map(drop)
}
