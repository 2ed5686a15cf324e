//! Clocks that a test sets, for one agent and nobody else: a small library that is preloaded.
//!
//! Not libfaketime: that leaves alone whether the kernel calls the clock synchronised, on which
//! the agent's trust in it depends and which differs from machine to machine.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use terminal_harness::{Launch, Site};

/// Where each number is in the file.
const WALL: u64 = 0;
const BOOT: u64 = 8;
const SYNCHRONISED: u64 = 16;

/// The clocks of the agents of one site.
pub(crate) struct FakeClock {
    path: PathBuf,
    settings: File,
}

impl FakeClock {
    /// Clocks that go right and that nobody vouches for.
    pub(crate) fn new(site: &Site) -> Result<Self> {
        let path = site.path("clock");
        fs::write(&path, [0; 24])?;
        let settings = File::options().write(true).open(&path)?;
        Ok(Self { path, settings })
    }

    /// An agent of the site that has these clocks.
    pub(crate) fn launch(&self, site: &Site) -> Result<Launch> {
        let mut launch = site.launch();
        launch.environment = vec![
            ("LD_PRELOAD".into(), library()?.into()),
            ("FAKE_CLOCK".into(), self.path.clone().into()),
        ];
        Ok(launch)
    }

    /// Sets the wall clock to a time since 1970.
    pub(crate) fn set_wall(&self, time: Duration) -> Result<()> {
        self.set(WALL, ms(time)? - ms(now()?)?)
    }

    /// Sets the wall clock right.
    pub(crate) fn mend_wall(&self) -> Result<()> {
        self.set(WALL, 0)
    }

    /// A suspend of that length since boot, in all.
    pub(crate) fn set_suspended(&self, time: Duration) -> Result<()> {
        self.set(BOOT, ms(time)?)
    }

    /// Whether somebody vouches for the wall clock.
    pub(crate) fn set_synchronised(&self, synchronised: bool) -> Result<()> {
        self.set(SYNCHRONISED, i64::from(synchronised))
    }

    fn set(&self, at: u64, number: i64) -> Result<()> {
        Ok(self.settings.write_all_at(&number.to_ne_bytes(), at)?)
    }
}

/// Time since 1970.
pub(crate) fn now() -> Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

fn ms(time: Duration) -> Result<i64> {
    Ok(i64::try_from(time.as_millis())?)
}

/// Built once; what links Rust programs is there to build it.
fn library() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clock.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fake-clock.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).arg(&library).arg(source);
    let output = compiler.output().context("cannot run cc")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}
