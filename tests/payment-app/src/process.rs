//! The application as a process: started, killed, started again as a device would.

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::EXIT_REBOOT;

/// How often the process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The program, in the profile of the program that asks; built if need be.
pub fn payment_app_binary() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let directory = own.parent().context("the program is in no folder")?;
    let profile = if directory.ends_with("deps") {
        directory.parent().context("no profile folder")?
    } else {
        directory
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME")]);
    command.args(["--bin", "terminal-payment-app"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = profile.parent() {
        command.arg("--target-dir").arg(target);
    }
    ensure!(command.status()?.success(), "the payment application does not build");
    Ok(profile.join("terminal-payment-app"))
}

/// How the process is started.
#[derive(Clone, Debug)]
pub struct AppLaunch {
    /// The program and, before its options, its arguments.
    pub program: Vec<PathBuf>,
    /// Where it listens.
    pub socket: PathBuf,
    /// Its memory.
    pub state: PathBuf,
    /// How it behaves.
    pub script: PathBuf,
    /// What is on its screen.
    pub screen: PathBuf,
    /// Whose terminal it is.
    pub serial_number: String,
    /// What it prints is added to this file.
    pub log: PathBuf,
}

impl AppLaunch {
    fn spawn(&self) -> Result<Child> {
        let (program, arguments) = self.program.split_first().context("no program")?;
        let log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        Ok(Command::new(program)
            .args(arguments)
            .arg("--socket")
            .arg(&self.socket)
            .arg("--state")
            .arg(&self.state)
            .arg("--script")
            .arg(&self.script)
            .arg("--screen")
            .arg(&self.screen)
            .args(["--serial-number", &self.serial_number])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?)
    }
}

/// Called when the simulated device restarts, before its processes are started again.
pub type OnReboot = Box<dyn Fn() + Send>;

/// An application that is started again whenever it ends, until it is dropped.
pub struct PaymentApp {
    shared: Arc<Mutex<Shared>>,
    supervisor: Option<JoinHandle<()>>,
}

struct Shared {
    child: Option<Child>,
    keep: bool,
    starts: u32,
}

impl PaymentApp {
    /// Starts it.
    pub fn start(launch: AppLaunch, on_reboot: OnReboot) -> Result<Self> {
        let shared = Shared { child: Some(launch.spawn()?), keep: true, starts: 1 };
        let shared = Arc::new(Mutex::new(shared));
        let of_thread = Arc::clone(&shared);
        let supervisor = thread::spawn(move || supervise(&of_thread, &launch, &*on_reboot));
        Ok(Self { shared, supervisor: Some(supervisor) })
    }

    /// How often it has been started.
    pub fn starts(&self) -> u32 {
        lock(&self.shared).starts
    }

    /// Process id of the running process.
    pub fn pid(&self) -> Option<u32> {
        lock(&self.shared).child.as_ref().map(Child::id)
    }

    /// SIGKILL; it is started again at once.
    pub fn kill_9(&self) -> Result<()> {
        // While this is held the supervisor does not reap it: the id is not another process's.
        let shared = lock(&self.shared);
        let pid = shared.child.as_ref().map(Child::id).context("it does not run")?;
        Ok(kill(Pid::from_raw(pid.try_into()?), Signal::SIGKILL)?)
    }
}

impl Drop for PaymentApp {
    fn drop(&mut self) {
        {
            let mut shared = lock(&self.shared);
            shared.keep = false;
            if let Some(child) = &mut shared.child {
                let _ = child.kill();
            }
        }
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.join();
        }
    }
}

fn supervise(shared: &Mutex<Shared>, launch: &AppLaunch, on_reboot: &dyn Fn()) {
    loop {
        thread::sleep(LOOK_EVERY);
        let mut shared = lock(shared);
        let Some(child) = &mut shared.child else { return };
        let Ok(Some(status)) = child.try_wait() else { continue };
        shared.child = None;
        if !shared.keep {
            return;
        }
        if status.code() == Some(EXIT_REBOOT.into()) {
            on_reboot();
        }
        match launch.spawn() {
            Ok(child) => {
                shared.child = Some(child);
                shared.starts += 1;
            }
            Err(error) => eprintln!("payment application not started again: {error:#}"),
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An agent's configuration that has a simulated terminal, with this application in its place.
pub fn through_bridge(toml: &str, socket: &Path) -> String {
    let hal = format!("backend = \"vendor\"\n\n[hal.vendor]\nsocket = \"{}\"", socket.display());
    toml.replace("backend = \"mock\"", &hal)
}
