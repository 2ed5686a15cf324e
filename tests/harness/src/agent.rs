//! Agent processes: built once, started, killed, asked.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
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
    // What cargo tells the program that asks about its own package: build scripts that look at
    // such variables would take everything for changed, and the next build again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    if profile.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    ensure!(command.status()?.success(), "the agent does not build");
    Ok(profile.join("terminal-agent"))
}

/// How an agent process is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its configuration file.
    pub config: PathBuf,
    /// What it logs is added to this file.
    pub log: PathBuf,
    /// A program and its arguments that start the agent in turn, such as `ip netns exec NAME`.
    pub wrapper: Vec<OsString>,
    /// Added to its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Least time from its end to its next start.
    pub restart_after: Duration,
}

impl Launch {
    /// Nothing but the agent.
    pub fn new(config: &Path, log: &Path) -> Self {
        Self {
            config: config.to_owned(),
            log: log.to_owned(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            restart_after: Duration::ZERO,
        }
    }

    fn command(&self, binary: &Path) -> Command {
        let mut command = match self.wrapper.split_first() {
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
            None => Command::new(binary),
        };
        command.args(["run", "--config"]).arg(&self.config);
        command.env_remove("NOTIFY_SOCKET");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
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
    /// How each process that was started again has ended.
    ends: Vec<ExitStatus>,
}

impl Agent {
    /// Starts an agent on a configuration file. What it logs is added to `log`.
    pub fn start(config: &Path, log: &Path) -> Result<Self> {
        Self::launch(Launch::new(config, log))
    }

    /// Starts an agent.
    pub fn launch(launch: Launch) -> Result<Self> {
        let binary = agent_binary()?;
        let config = launch.config.clone();
        let log_file = OpenOptions::new().create(true).append(true).open(&launch.log)?;
        let first = spawn(&binary, &launch, &log_file)?;
        let shared = Shared { child: Some(first), keep: true, starts: 1, ends: Vec::new() };
        let shared = Arc::new(Mutex::new(shared));
        let (of_thread, binary_of_thread) = (Arc::clone(&shared), binary.clone());
        let supervisor = thread::spawn(move || {
            supervise(&of_thread, &binary_of_thread, &launch, &log_file);
        });
        Ok(Self { config, binary, shared, supervisor: Some(supervisor) })
    }

    /// Process id of the running process.
    pub fn pid(&self) -> Option<u32> {
        self.shared().child.as_ref().map(Child::id)
    }

    /// How often it has been started.
    pub fn starts(&self) -> u32 {
        self.shared().starts
    }

    /// How each process that was started again has ended, oldest first.
    pub fn ends(&self) -> Vec<ExitStatus> {
        self.shared().ends.clone()
    }

    /// SIGKILL; it is started again at once.
    pub fn kill_9(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Any signal to the running process.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // While this is held the supervisor does not reap it: the id is not another process's.
        let shared = self.shared();
        let pid = shared.child.as_ref().map(Child::id).context("the agent does not run")?;
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

fn spawn(binary: &Path, launch: &Launch, log: &File) -> std::io::Result<Child> {
    let mut command = launch.command(binary);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.try_clone()?).spawn()
}

fn supervise(shared: &Mutex<Shared>, binary: &Path, launch: &Launch, log: &File) {
    let mut ended_at = None;
    loop {
        {
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if !shared.keep {
                return;
            }
            if let Some(status) = shared.child.as_mut().and_then(|c| c.try_wait().ok().flatten()) {
                shared.child = None;
                shared.ends.push(status);
                ended_at = Some(Instant::now());
            }
            let rests = ended_at.is_some_and(|at| at.elapsed() < launch.restart_after);
            if shared.child.is_none() && !rests {
                shared.child = spawn(binary, launch, log).ok();
                shared.starts += 1;
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}
