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
/// A build or a run that takes longer is ended; a run that does not end has noticed.
const TIME_MAX: Duration = Duration::from_secs(600);

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
}

impl Runner {
    /// Copies the workspace into `folder` and sees that its tests pass without a mutant.
    pub fn prepare(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let tree = Tree::copy_to(&folder.join("tree"))?;
        let runner = Self { tree, target: folder.join("build"), log: folder.join("log") };
        let fate = runner.test()?;
        ensure!(fate == Fate::Survived, "fails without any mutant: {fate:?}");
        Ok(runner)
    }

    /// Runs the tests with a mutant in place.
    pub fn try_mutant(&self, mutant: &Mutant) -> Result<Fate> {
        self.tree.with(mutant, || self.test()).with_context(|| mutant.name.clone())
    }

    fn test(&self) -> Result<Fate> {
        match self.cargo(&["--no-run"])? {
            Some(status) if status.success() => {}
            _ => bail!("does not build:\n{}", fs::read_to_string(&self.log)?),
        }
        Ok(match self.cargo(&["--no-fail-fast"])? {
            None => Fate::Hung,
            Some(status) if status.success() => Fate::Survived,
            Some(_) => Fate::Killed(failed(&fs::read_to_string(&self.log)?)),
        })
    }

    /// `None` when it takes too long.
    fn cargo(&self, arguments: &[&str]) -> Result<Option<ExitStatus>> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let log = File::create(&self.log)?;
        let mut command = Command::new(cargo);
        command.args(["test", "--package", PACKAGE, "--lib", "--tests"]).args(arguments);
        command.current_dir(self.tree.root()).env("CARGO_TARGET_DIR", &self.target);
        command.env_remove("RUST_BACKTRACE");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        wait(command.process_group(0).spawn()?)
    }
}

fn wait(mut child: Child) -> Result<Option<ExitStatus>> {
    let until = Instant::now() + TIME_MAX;
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

/// Names of the tests that failed.
fn failed(log: &str) -> Vec<String> {
    let names = log.lines().filter_map(|line| line.strip_prefix("test "));
    names.filter_map(|line| line.strip_suffix(" ... FAILED")).map(str::to_owned).collect()
}
