//! Builds and runs the simulation's tests on a copy of the workspace.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{Mutant, Tree};

/// What has to notice.
const PACKAGE: &str = "terminal-simulation";
/// A build that takes longer is ended.
const BUILD_TIME_MAX: Duration = Duration::from_secs(3600);
/// A run that takes longer, and so many times as long as without a mutant, is ended: a run that
/// does not end has noticed.
const RUN_TIME_MIN: Duration = Duration::from_secs(600);
const RUN_TIMES_MAX: u32 = 10;

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// These tests failed.
    Killed(Vec<String>),
    /// The tests did not come to an end.
    Hung,
    /// All tests passed: nothing would notice this mistake.
    Survived,
}

/// Runs the tests on a copy of the workspace.
pub struct Runner {
    tree: Tree,
    target: PathBuf,
    log: PathBuf,
    run_time_max: Duration,
}

impl Runner {
    /// Copies the workspace into `folder` and sees that its tests pass without a mutant.
    pub fn prepare(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let tree = Tree::copy_to(&folder.join("tree"))?;
        let (target, log) = (folder.join("build"), folder.join("log"));
        let mut runner = Self { tree, target, log, run_time_max: BUILD_TIME_MAX };
        runner.build()?;
        let begun = Instant::now();
        let fate = runner.run()?;
        ensure!(fate == Fate::Survived, "fails without any mutant: {fate:?}");
        runner.run_time_max = RUN_TIME_MIN.max(begun.elapsed() * RUN_TIMES_MAX);
        Ok(runner)
    }

    /// Runs the tests with a mutant in place.
    pub fn try_mutant(&self, mutant: &Mutant) -> Result<Fate> {
        let built_and_run = || {
            self.build()?;
            self.run()
        };
        self.tree.with(mutant, built_and_run).with_context(|| mutant.name.clone())
    }

    fn build(&self) -> Result<()> {
        match self.cargo(&["--no-run"], BUILD_TIME_MAX)? {
            Some(status) if status.success() => Ok(()),
            Some(_) => bail!("does not build:\n{}", fs::read_to_string(&self.log)?),
            None => bail!("was not built within {} s", BUILD_TIME_MAX.as_secs()),
        }
    }

    fn run(&self) -> Result<Fate> {
        Ok(match self.cargo(&["--no-fail-fast"], self.run_time_max)? {
            None => Fate::Hung,
            Some(status) if status.success() => Fate::Survived,
            Some(_) => {
                let log = fs::read_to_string(&self.log)?;
                let failed = failed(&log);
                // Without a name a test program must have died as a whole, and nothing else.
                ensure!(!failed.is_empty() || log.contains(DIED), "no test failed:\n{log}");
                Fate::Killed(failed)
            }
        })
    }

    /// `None` when it takes too long.
    fn cargo(&self, arguments: &[&str], time_max: Duration) -> Result<Option<ExitStatus>> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let log = File::create(&self.log)?;
        let mut command = Command::new(cargo);
        command.args(["test", "--package", PACKAGE, "--lib", "--tests"]).args(arguments);
        command.current_dir(self.tree.root()).env("CARGO_TARGET_DIR", &self.target);
        command.env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        wait(command.process_group(0).spawn()?, time_max)
    }
}

fn wait(mut child: Child, time_max: Duration) -> Result<Option<ExitStatus>> {
    let until = Instant::now() + time_max;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(Duration::from_millis(50));
    }
    killpg(Pid::from_raw(child.id().try_into()?), Signal::SIGKILL)?;
    child.wait()?;
    Ok(None)
}

/// What cargo says of a test program that a signal ended.
const DIED: &str = "process didn't exit successfully";

/// Names of the tests that failed.
fn failed(log: &str) -> Vec<String> {
    let names = log.lines().filter_map(|line| line.strip_prefix("test "));
    names.filter_map(|line| line.strip_suffix(" ... FAILED")).map(str::to_owned).collect()
}
