//! The measurements, one file each, in the order in which one agent lives through them.

mod footprint;
mod group;
mod one_by_one;
mod redaction;
mod replay;
mod start;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use tempfile::TempDir;
use terminal_harness::{Agent, agent_binary};

use crate::{
    cloud::{BenchCloud, Link},
    figures::{self, Figure},
    plan::Plan,
    terminal::Terminal,
};

/// No heartbeat falls into a measurement.
const HEARTBEAT_NEVER_S: u32 = 3600;
/// The heartbeat of the field.
const HEARTBEAT_S: u32 = 30;
/// What follows `welcome` is over when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(500);

/// What every run needs.
struct Bench<'a> {
    plan: &'a Plan,
    folder: TempDir,
    cloud: BenchCloud,
    figures: Vec<Figure>,
}

impl Bench<'_> {
    fn ca_file(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn terminal(&self, name: &str) -> Result<Terminal> {
        let (root, port) = (self.folder.path(), self.cloud.port()?);
        Terminal::new(root, name, port, &self.ca_file(), &self.plan.log_level)
    }

    fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }
}

/// An agent that is connected and has nothing to do.
struct Idle {
    agent: Agent,
    link: Link,
}

impl Idle {
    async fn start(bench: &Bench<'_>, terminal: &Terminal, heartbeat_s: u32) -> Result<Self> {
        let agent = terminal.start()?;
        let (mut link, _, _) = bench.cloud.welcome(heartbeat_s).await?;
        link.drain(QUIET).await?;
        Ok(Self { agent, link })
    }

    fn pid(&self) -> Result<u32> {
        self.agent.pid().context("the agent does not run")
    }

    /// A counter of `status`.
    fn store_counter(&self, name: &str) -> Result<u64> {
        let status = self.agent.ask("status")?;
        status["store"][name].as_u64().with_context(|| format!("no {name} in {status}"))
    }
}

/// Measures everything and prints the table.
pub(crate) async fn all(plan: &Plan) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cloud = BenchCloud::start(&folder.path().join("ca.pem")).await?;
    let binary = agent_binary()?;
    let mut bench = Bench { plan, folder, cloud, figures: Vec::new() };
    let terminal = bench.terminal("terminal")?;

    note("idle");
    let mut idle = footprint::idle(&mut bench, &terminal).await?;
    note("one by one");
    one_by_one::measure(&mut bench, &mut idle).await?;
    note("long run");
    footprint::long_run(&mut bench, &mut idle).await?;
    note("bursts");
    group::measure(&mut bench, &mut idle).await?;
    idle.agent.stop()?;
    note("starts");
    start::measure(&mut bench, &terminal).await?;
    note("replay");
    replay::measure(&mut bench).await?;
    note("redaction");
    redaction::measure(&mut bench)?;
    footprint::binary(&mut bench, &binary)?;

    let table = figures::table(&bench.figures);
    let text = format!("{}\n\n{table}", machine(plan, bench.folder.path(), &binary)?);
    println!("\n{text}");
    if plan.write_readme {
        figures::write_readme(&text)?;
    }
    Ok(())
}

/// Where the figures come from.
fn machine(plan: &Plan, folder: &Path, binary: &Path) -> Result<String> {
    let cpus = std::thread::available_parallelism()?;
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    // What comes after the second number says where a kernel was built, not what it does.
    let kernel = release.trim().splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or("?");
    let file_system = nix::sys::statfs::statfs(folder)?.filesystem_type();
    let file_system = match file_system {
        nix::sys::statfs::EXT4_SUPER_MAGIC => "ext4".to_owned(),
        nix::sys::statfs::TMPFS_MAGIC => "tmpfs (syncs cost nothing here)".to_owned(),
        other => format!("{other:?}"),
    };
    Ok(format!(
        "{arch}, {cpus} processors, Linux {kernel}, {file_system}, load {load} at the end; agent \
         {binary} logging at {level}; {operations} operations in the long run.",
        arch = std::env::consts::ARCH,
        binary = binary.file_name().unwrap_or_default().to_string_lossy(),
        level = plan.log_level,
        operations = plan.long_run,
    ))
}

fn note(what: &str) {
    eprintln!("measuring: {what}");
}

/// The `percent`-th percentile; zero of nothing.
fn percentile(samples: &mut [Duration], percent: usize) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    samples.get(last * percent / 100).copied().unwrap_or_default()
}

fn mean(samples: &[Duration]) -> Duration {
    let count = u32::try_from(samples.len().max(1)).unwrap_or(u32::MAX);
    samples.iter().sum::<Duration>() / count
}

/// A count as a figure.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
fn number(count: u64) -> f64 {
    count as f64
}
