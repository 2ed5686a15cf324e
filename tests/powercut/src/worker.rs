//! The process that uses the store, and how it says what it relies on.
//!
//! It writes a line and waits for the answer, so that whoever records knows to the event what was
//! on record when the store promised something.

use std::ffi::OsString;
use std::io::{self, BufRead, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};
use nix::unistd::alarm;
use terminal_agent::store::{OpenedStore, Store, StoreLimits};

use crate::drive::Event;
use crate::model::Model;
use crate::silence::{self, Call};
use crate::workload::Workload;

/// First argument of the program when it is the worker.
pub const SUBCOMMAND: &str = "work";

/// Commits between two openings of the store.
const REOPEN_EVERY: u64 = 40;
/// A worker that hangs must not hang the test.
const LIFE_MAX_S: u32 = 300;

/// What a worker is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Where the store is, or will be.
    pub store: PathBuf,
    /// Of the workload.
    pub seed: u64,
    /// Commits that the store holds.
    pub begin: u64,
    /// Commits to add.
    pub commits: u64,
    /// Calls that do nothing.
    pub without: Vec<Call>,
}

impl Job {
    /// Arguments that make a program a worker with this job.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = vec![SUBCOMMAND.into(), "--store".into(), self.store.clone().into()];
        for (name, number) in
            [("--seed", self.seed), ("--begin", self.begin), ("--commits", self.commits)]
        {
            arguments.extend([name.into(), number.to_string().into()]);
        }
        for call in &self.without {
            arguments.extend(["--without".into(), call.to_string().into()]);
        }
        arguments
    }

    /// The other way round, from what follows the subcommand.
    ///
    /// # Errors
    ///
    /// When they are not of that form.
    pub fn parse(mut parser: Parser) -> Result<Self> {
        let store = PathBuf::new();
        let mut job = Self { store, seed: 0, begin: 0, commits: 0, without: Vec::new() };
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("store") => job.store = parser.value()?.into(),
                Arg::Long("seed") => job.seed = parser.value()?.parse()?,
                Arg::Long("begin") => job.begin = parser.value()?.parse()?,
                Arg::Long("commits") => job.commits = parser.value()?.parse()?,
                Arg::Long("without") => job.without.push(parser.value()?.parse()?),
                Arg::Long(_) | Arg::Short(_) | Arg::Value(_) => bail!(argument.unexpected()),
            }
        }
        Ok(job)
    }
}

/// Does the job.
///
/// # Errors
///
/// When the store does not do what it must even without a power cut.
pub fn work(job: &Job) -> Result<()> {
    alarm::set(LIFE_MAX_S);
    // Before any thread of the store exists.
    silence::install(&job.without)?;
    let mut workload = Workload::after(job.seed, job.begin);
    let end = job.begin + job.commits;
    while workload.commits() < end {
        let mut store = open(&job.store, &workload)?;
        for _ in 0..REOPEN_EVERY.min(end - workload.commits()) {
            let writes = workload.commit();
            store.append(&writes).with_context(|| format!("commit {}", workload.commits()))?;
            say(&Event::Holds(workload.commits()))?;
        }
    }
    Ok(())
}

fn open(path: &Path, workload: &Workload) -> Result<Store> {
    say(&Event::Opening)?;
    let opened = Store::open(path, StoreLimits::default()).context("opening the store")?;
    ensure!(opened.damage.is_none(), "damaged: {:?}", opened.damage);
    let is_as_left = Model::read(&opened)? == *workload.model();
    ensure!(is_as_left, "the store does not hold commit {}", workload.commits());
    say(&Event::Holds(workload.commits()))?;
    let OpenedStore { store, .. } = opened;
    Ok(store)
}

/// Tells the recorder and returns when it has put it on record.
fn say(event: &Event) -> Result<()> {
    let line = match event {
        Event::Opening => "opening".to_owned(),
        Event::Holds(commit) => format!("holds {commit}"),
        Event::Write { .. } | Event::Flush => bail!("the drive sees that itself"),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("telling the recorder")?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer).context("hearing the recorder")?;
    ensure!(read > 0, "the recorder is gone");
    Ok(())
}

/// Reads a line of a worker.
pub(crate) fn heard(line: &str) -> Result<Event> {
    match line.split_once(' ') {
        None if line == "opening" => Ok(Event::Opening),
        Some(("holds", commit)) => Ok(Event::Holds(commit.parse().context("reading a commit")?)),
        Some(_) | None => bail!("the worker said {line:?}"),
    }
}
