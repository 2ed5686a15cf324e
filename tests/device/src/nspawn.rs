//! A system booted by systemd-nspawn: systemd as process 1, the network of this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::root::{Root, succeeded};

/// Process 1 of the system.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// A system that runs, until it is dropped or its power is cut.
pub(crate) struct Booted<'a> {
    root: &'a Root,
    container: Child,
}

impl<'a> Booted<'a> {
    /// Switches the system on.
    pub(crate) fn boot(root: &'a Root) -> Result<Self> {
        let mut command = Command::new("systemd-nspawn");
        command.args(["--quiet", "--boot", "--register=no", "--keep-unit", "--settings=no"]);
        command.args(["--link-journal=no", "--console=pipe", "--machine=terminal", "--directory"]);
        command.arg(root.path(""));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let container = command.spawn().context("systemd-nspawn, of systemd-container")?;
        Ok(Self { root, container })
    }

    /// Ends everything in it at once: nothing gets to write another byte.
    pub(crate) fn cut_power(mut self) -> Result<()> {
        self.end()
    }

    /// A signal to a process of the system, by its program.
    pub(crate) fn signal(&self, program: &str, signal: Signal) -> Result<()> {
        Ok(kill(self.process(program)?, signal)?)
    }

    /// With process 1 all others of its namespace are killed; systemd-nspawn alone would leave them.
    fn end(&mut self) -> Result<()> {
        match self.process(SYSTEMD) {
            Ok(process) => kill(process, Signal::SIGKILL)?,
            Err(_) => self.container.kill()?,
        }
        self.container.wait()?;
        Ok(())
    }

    /// Its number on this machine.
    fn process(&self, program: &str) -> Result<Pid> {
        let root = self.root.path("").canonicalize()?;
        let of_system = |process: &Path| {
            let link = |name: &str| fs::read_link(process.join(name)).ok();
            link("exe") == Some(PathBuf::from(program)) && is_in(&root, process)
        };
        let processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
        let found = processes.filter(|process| of_system(process)).find_map(|process| {
            process.file_name()?.to_string_lossy().parse().ok().map(Pid::from_raw)
        });
        found.with_context(|| format!("{program} does not run in the system"))
    }
}

impl Drop for Booted<'_> {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

/// Whether a process sees that folder as its root: the same directory on the same device.
fn is_in(root: &Path, process: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let identity = |path: &Path| fs::metadata(path).ok().map(|of| (of.dev(), of.ino()));
    identity(&process.join("root/etc")) == identity(&root.join("etc"))
}

/// Lines of the system's journal that match, oldest first; read from its files.
pub(crate) fn journal(root: &Root, matches: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new("journalctl");
    command.arg("--directory").arg(root.path("var/log/journal"));
    command.args(["--output=cat", "--no-pager"]).args(matches);
    let output = succeeded(&mut command)?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
