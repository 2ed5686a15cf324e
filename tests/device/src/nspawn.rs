//! A system booted by systemd-nspawn: systemd as process 1, the network of this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{sleep, timeout};

use crate::{
    root::{Root, succeeded},
    system::System,
};

/// Process 1 of the system.
const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// How systemd-nspawn ends when the system wants to be started again.
const RESTART: i32 = 133;

/// A system in a container.
pub(crate) struct Container<'a> {
    root: &'a Root,
    running: Option<Child>,
}

impl<'a> Container<'a> {
    /// A system that is off.
    pub(crate) const fn new(root: &'a Root) -> Self {
        Self { root, running: None }
    }

    /// The number of its process 1 on this machine.
    fn first_process(&self) -> Result<Pid> {
        let root = self.root.path("").canonicalize()?;
        let of_system = |process: &Path| {
            let link = |name: &str| fs::read_link(process.join(name)).ok();
            link("exe") == Some(PathBuf::from(SYSTEMD)) && is_in(&root, process)
        };
        let processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
        let found = processes.filter(|process| of_system(process)).find_map(|process| {
            process.file_name()?.to_string_lossy().parse().ok().map(Pid::from_raw)
        });
        found.context("the system does not run")
    }
}

impl System for Container<'_> {
    fn boot(&mut self) -> Result<()> {
        let mut command = Command::new("systemd-nspawn");
        command.args(["--quiet", "--boot", "--register=no", "--keep-unit", "--settings=no"]);
        command.args(["--link-journal=no", "--console=pipe", "--directory"]);
        command.arg(self.root.path(""));
        // Nobody else's: two containers of one name do not run beside each other.
        command.arg(format!("--machine=terminal-{}", std::process::id()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(command.spawn().context("systemd-nspawn, of systemd-container")?);
        Ok(())
    }

    /// With process 1 all others of its namespace are killed; systemd-nspawn alone would leave them.
    fn cut_power(&mut self) -> Result<()> {
        let Some(mut container) = self.running.take() else { return Ok(()) };
        match self.first_process() {
            Ok(process) => kill(process, Signal::SIGKILL)?,
            Err(_) => container.kill()?,
        }
        container.wait()?;
        Ok(())
    }

    async fn shut_down(&mut self, patience: Duration) -> Result<()> {
        let container = self.running.as_mut().context("the system does not run")?;
        let ended = async {
            loop {
                match container.try_wait()? {
                    Some(status) => return Ok::<_, anyhow::Error>(status),
                    None => sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let status = timeout(patience, ended).await.context("the system did not shut down")??;
        self.running = None;
        ensure!(
            status.code() == Some(RESTART),
            "the system does not want to be restarted: {status}"
        );
        Ok(())
    }

    fn shell(&mut self, command: &str) -> Result<String> {
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--target={}", self.first_process()?)).args(["--all", "--root", "--wd"]);
        enter.args(["/bin/sh", "-c", command]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        Ok(String::from_utf8_lossy(&succeeded(&mut enter)?.stdout).into_owned())
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        let _ = self.cut_power();
    }
}

/// Whether a process sees that folder as its root: the same directory on the same device.
fn is_in(root: &Path, process: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let identity = |path: &Path| fs::metadata(path).ok().map(|of| (of.dev(), of.ino()));
    identity(&process.join("root/etc")) == identity(&root.join("etc"))
}
