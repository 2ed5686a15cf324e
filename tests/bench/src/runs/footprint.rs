//! Memory, processor, writes: idle, after many operations, and on the disk of the terminal.

use std::{path::Path, time::Duration};

use anyhow::Result;
use terminal_harness::Agent;

use super::{Bench, HEARTBEAT_NEVER_S, HEARTBEAT_S, Idle, number, one_by_one};
use crate::{
    figures::{Figure, Target},
    process::{self, Tracer},
    records::{ALL_KEPT_MS, FEW_KEPT_MS},
    terminal::Terminal,
};

/// After the start everything has settled after this.
const SETTLE: Duration = Duration::from_secs(2);

/// Starts the agent on a new store and lets it be.
pub(super) async fn idle(bench: &mut Bench<'_>, terminal: &Terminal) -> Result<Idle> {
    let plan = bench.plan;
    if !plan.idle_beating.is_zero() {
        let mut idle = Idle::start(bench, terminal, HEARTBEAT_S).await?;
        let per_minute = switches(&mut idle, plan.idle_beating).await?;
        bench.add(Figure::new("idle: voluntary switches, heartbeat 30 s", per_minute, "/min"));
        idle.agent.stop()?;
    }
    let mut idle = Idle::start(bench, terminal, HEARTBEAT_NEVER_S).await?;
    idle.link.idle(SETTLE).await?;
    let per_minute = switches(&mut idle, plan.idle).await?;
    let name = "idle: voluntary switches without a heartbeat";
    bench.add(Figure::new(name, per_minute, "/min").target(Target::AtMost(10.0)));
    memory(bench, &idle.agent, "idle", 6_000.0)?;
    bench.add(Figure::new("– threads", number(idle.agent.proc_status("Threads")?), ""));
    Ok(idle)
}

async fn switches(idle: &mut Idle, duration: Duration) -> Result<f64> {
    let pid = idle.pid()?;
    let before = process::voluntary_switches(pid)?;
    idle.link.idle(duration).await?;
    // A thread that has ended meanwhile takes its count with it.
    let since = |(thread, count)| count - before.get(&thread).copied().unwrap_or(0);
    let switches = process::voluntary_switches(pid)?.into_iter().map(since).sum();
    Ok(number(switches) * 60.0 / duration.as_secs_f64())
}

fn memory(bench: &mut Bench<'_>, agent: &Agent, when: &str, most_kb: f64) -> Result<()> {
    let kb = |name| agent.proc_status(name).map(number);
    let resident = Figure::new(format!("{when}: resident memory"), kb("VmRSS")?, "kB");
    bench.add(resident.target(Target::AtMost(most_kb)));
    bench.add(Figure::new("– anonymous", kb("RssAnon")?, "kB"));
    bench.add(Figure::new("– of files, mostly the program", kb("RssFile")?, "kB"));
    Ok(())
}

/// Many operations one after the other: what each costs, and what stays. First with verdicts that
/// may be forgotten after seconds, then with verdicts that must all be remembered.
pub(super) async fn long_run(bench: &mut Bench<'_>, idle: &mut Idle) -> Result<()> {
    let (plan, pid) = (bench.plan, idle.pid()?);
    let (commits, syncs) = (idle.store_counter("commits")?, idle.store_counter("syncs")?);
    let cpu = process::cpu(pid)?;
    let written = many(idle, plan.long_run, FEW_KEPT_MS).await?;
    let operations = number(plan.long_run.try_into()?);
    let cpu = (process::cpu(pid)? - cpu).as_secs_f64() * 1e3 / operations;
    let commits = number(idle.store_counter("commits")? - commits) / operations;
    let syncs = number(idle.store_counter("syncs")? - syncs) / operations;
    bench.add(Figure::new("flushes per operation", syncs, "").target(Target::AtMost(2.0)));
    bench.add(Figure::new("– commits per operation", commits, ""));
    bench.add(Figure::new("written per operation", written, "kB").target(Target::AtMost(20.0)));
    bench.add(Figure::new("processor time per operation", cpu, "ms").target(Target::AtMost(1.0)));
    let when = format!("after {} operations", plan.long_run);
    memory(bench, &idle.agent, &when, 8_000.0)?;
    file(bench, idle)?;
    trace(bench, idle).await?;
    let written = many(idle, plan.long_run, ALL_KEPT_MS).await?;
    let when = format!("{} more, all remembered", plan.long_run);
    memory(bench, &idle.agent, &when, 8_000.0)?;
    file(bench, idle)?;
    bench.add(Figure::new("– written per operation", written, "kB"));
    Ok(())
}

/// Runs so many; gives the kilobytes that each has written.
async fn many(idle: &mut Idle, count: usize, kept_ms: u64) -> Result<f64> {
    let before = process::written(idle.pid()?)?;
    one_by_one::many(&mut idle.link, count, kept_ms).await?;
    let written = process::written(idle.pid()?)? - before;
    Ok(number(written) / 1e3 / number(count.try_into()?))
}

fn file(bench: &mut Bench<'_>, idle: &Idle) -> Result<()> {
    let bytes = number(idle.store_counter("file_bytes")?);
    bench.add(Figure::new("– file of the store", bytes / 1e6, "MB"));
    Ok(())
}

/// What the kernel sees, where strace is installed.
async fn trace(bench: &mut Bench<'_>, idle: &mut Idle) -> Result<()> {
    let Some(tracer) = Tracer::attach(idle.pid()?) else { return Ok(()) };
    one_by_one::many(&mut idle.link, bench.plan.traced, FEW_KEPT_MS).await?;
    let calls = tracer.calls()?;
    let operations = number(bench.plan.traced.try_into()?);
    let of = |names: &[&str]| {
        let counts = calls.iter().filter(|(name, _)| names.contains(&name.as_str()));
        number(counts.map(|(_, count)| count).sum()) / operations
    };
    let syncs = of(&["fdatasync", "fsync"]);
    bench.add(Figure::new("strace: fdatasync and fsync per operation", syncs, ""));
    let ranges = of(&["sync_file_range"]);
    bench.add(Figure::new("– sync_file_range per operation (sled)", ranges, ""));
    let all = number(calls.iter().map(|(_, count)| count).sum()) / operations;
    bench.add(Figure::new("– all system calls per operation", all, ""));
    let mut most: Vec<_> = calls.iter().collect();
    most.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let most = most
        .iter()
        .take(16)
        .map(|(name, count)| format!("{name} {:.1}", number(*count) / operations));
    eprintln!("calls per operation: {}", most.collect::<Vec<_>>().join(", "));
    Ok(())
}

/// The program file.
pub(super) fn binary(bench: &mut Bench<'_>, path: &Path) -> Result<()> {
    let bytes = number(std::fs::metadata(path)?.len());
    bench.add(Figure::new("program, stripped", bytes / 1e6, "MB").target(Target::AtMost(3.5)));
    Ok(())
}
