//! Agent processes: built once, started, killed, asked.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// How often a process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Ending in good order may take this long.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// The agent's program, in the profile of the program that asks. Built if need be, or the one
/// that `TERMINAL_AGENT_BIN` names.
pub fn agent_binary() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("TERMINAL_AGENT_BIN") {
        return Ok(path.into());
    }
    let own = std::env::current_exe()?;
    let directory = own.parent().context("the program is in no folder")?;
    let profile = if directory.ends_with("deps") {
        directory.parent().context("no profile folder")?
    } else {
        directory
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "terminal-agent", "--bin", "terminal-agent"]);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    if profile.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    ensure!(command.status()?.success(), "the agent does not build");
    Ok(profile.join("terminal-agent"))
}

/// An agent that is started again whenever it ends, as a service manager would, until it is
/// stopped.
pub struct Agent {
    config: PathBuf,
    binary: PathBuf,
    shared: Arc<Mutex<Shared>>,
    supervisor: Option<JoinHandle<()>>,
}

struct Shared {
    child: Option<Child>,
    /// Whether the next end is followed by a start.
    keep: bool,
    starts: u32,
}

impl Agent {
    /// Starts an agent on a configuration file. What it logs is added to `log`.
    pub fn start(config: &Path, log: &Path) -> Result<Self> {
        let binary = agent_binary()?;
        let log_file = OpenOptions::new().create(true).append(true).open(log)?;
        let first = spawn(&binary, config, &log_file)?;
        let shared = Shared { child: Some(first), keep: true, starts: 1 };
        let shared = Arc::new(Mutex::new(shared));
        let (of_thread, binary_of_thread) = (Arc::clone(&shared), binary.clone());
        let config_of_thread = config.to_owned();
        let supervisor = thread::spawn(move || {
            supervise(&of_thread, &binary_of_thread, &config_of_thread, &log_file);
        });
        Ok(Self { config: config.to_owned(), binary, shared, supervisor: Some(supervisor) })
    }

    /// Process id of the running process.
    pub fn pid(&self) -> Option<u32> {
        self.shared().child.as_ref().map(Child::id)
    }

    /// How often it has been started.
    pub fn starts(&self) -> u32 {
        self.shared().starts
    }

    /// SIGKILL; it is started again at once.
    pub fn kill_9(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Any signal to the running process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("the agent does not run")?;
        Ok(kill(Pid::from_raw(pid.try_into()?), signal)?)
    }

    /// SIGTERM, and not started again. Gives the exit code.
    pub fn stop(mut self) -> Result<Option<i32>> {
        self.shared().keep = false;
        self.signal(Signal::SIGTERM)?;
        let until = Instant::now() + STOP_TIME_MAX;
        while Instant::now() < until {
            let mut shared = self.shared();
            if let Some(child) = &mut shared.child {
                if let Some(status) = child.try_wait()? {
                    shared.child = None;
                    drop(shared);
                    self.join();
                    return Ok(status.code());
                }
            }
            drop(shared);
            thread::sleep(LOOK_EVERY);
        }
        bail!("the agent did not stop within {STOP_TIME_MAX:?}")
    }

    /// What `terminal-agent COMMAND --json` answers.
    pub fn ask(&self, command: &str) -> Result<Value> {
        let output = Command::new(&self.binary)
            .args([command, "--json", "--config"])
            .arg(&self.config)
            .output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// What `terminal-agent COMMAND` prints for people.
    pub fn show(&self, command: &str) -> Result<String> {
        let output =
            Command::new(&self.binary).args([command, "--config"]).arg(&self.config).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A figure of `/proc/PID/status`, such as `VmRSS` in kB or `Threads`.
    pub fn proc_status(&self, name: &str) -> Result<u64> {
        let pid = self.pid().context("the agent does not run")?;
        let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = text.lines().find(|line| line.starts_with(&format!("{name}:")));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(value.with_context(|| format!("no {name}"))?.parse()?)
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn join(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        {
            let mut shared = self.shared();
            shared.keep = false;
            if let Some(child) = &mut shared.child {
                let _ = child.kill();
                let _ = child.wait();
            }
            shared.child = None;
        }
        self.join();
    }
}

fn spawn(binary: &Path, config: &Path, log: &File) -> std::io::Result<Child> {
    Command::new(binary)
        .args(["run", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log.try_clone()?)
        .env_remove("NOTIFY_SOCKET")
        .spawn()
}

fn supervise(shared: &Mutex<Shared>, binary: &Path, config: &Path, log: &File) {
    loop {
        {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if !shared.keep {
                return;
            }
            let ended = shared.child.as_mut().is_none_or(|c| !matches!(c.try_wait(), Ok(None)));
            if ended {
                shared.child = spawn(binary, config, log).ok();
                shared.starts += 1;
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}
