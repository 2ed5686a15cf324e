//! What only a booted ARM system can tell: that the unit's sandbox is in force, how soon the terminal
//! is online, what the agent keeps in memory.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{story::Day, system::System};

/// The agent is left alone for so long before its memory is looked at.
const IDLE: Duration = Duration::from_secs(180);
/// Exposure that the unit may have, in tenths.
const EXPOSURE_MAX: u32 = 20;
/// The terminal is online at most so many milliseconds after the system would be up without the agent.
/// The machine's clock counts instructions: a busy host cannot decide this.
const BEYOND_BOOT_MAX_MS: u64 = 3000;

pub(super) async fn print<S: System>(day: &mut Day<S>) -> Result<()> {
    sandbox(&mut day.system)?;
    let online = boot(&mut day.system)?;
    tokio::time::sleep(IDLE).await;
    day.online(true).await?;
    memory(&mut day.system)?;
    day.system.shell("systemctl restart terminal-agent")?;
    day.online(true).await?;
    println!("    restarted while nothing else happens:");
    boot(&mut day.system)?;
    let up = boot_without_the_agent(&mut day.system)?;
    println!("    without the agent the system was up {up} ms after the kernel");
    ensure!(online <= up + BEYOND_BOOT_MAX_MS, "online {} ms later than that", online - up);
    Ok(())
}

/// How long the system by itself takes to be up, in milliseconds since the kernel started.
fn boot_without_the_agent(system: &mut impl System) -> Result<u64> {
    system.shell("systemctl disable terminal-agent 2>&1 && sync")?;
    system.cut_power()?;
    system.boot()?;
    system.shell("systemctl is-system-running --wait || true")?;
    moment(system, "multi-user.target", "ActiveEnter")
}

/// It has run, committed and been restarted with the filter; this says that there was one.
fn sandbox(system: &mut impl System) -> Result<()> {
    let status = system.shell("cat /proc/$(pidof terminal-agent)/status")?;
    let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
    ensure!(seccomp.map(str::trim) == Some("2"), "no filter of system calls: {status}");
    let unit = "/usr/lib/systemd/system/terminal-agent.service";
    let threshold = format!("--offline=true --threshold={EXPOSURE_MAX} {unit}");
    let said = system.shell(&format!("systemd-analyze --no-pager security {threshold}"))?;
    let exposure = said.lines().find(|line| line.contains("Overall exposure level"));
    let uname = system.shell("uname -rm")?;
    println!("ok  Linux {}: filter of system calls in force", uname.trim());
    println!("    {}", exposure.context("no exposure")?.trim());
    Ok(())
}

/// When the terminal was online in the boot that runs, in milliseconds since the kernel started.
fn boot(system: &mut impl System) -> Result<u64> {
    let systemd = moment(system, "", "Userspace")?;
    let started = moment(system, "terminal-agent", "ExecMainStart")?;
    let ready = moment(system, "terminal-agent", "ActiveEnter")?;
    let connected = "journalctl --sync; journalctl --boot --output=json --output-fields=MESSAGE MESSAGE=connected";
    let lines = system.shell(connected)?;
    let line = lines.lines().last().context("never connected")?;
    let line: Value = serde_json::from_str(line)?;
    let online = line["__MONOTONIC_TIMESTAMP"].as_str().context("no time")?.parse::<u64>()? / 1000;
    println!(
        "    ms after the kernel: systemd {systemd}, agent started {started}, READY {ready}, \
         online {online}: the agent took {} ms",
        online.saturating_sub(started)
    );
    Ok(online)
}

/// In kB, by what the pages belong to.
#[derive(Default)]
struct Pages {
    resident: u64,
    proportional: u64,
    private: u64,
}

fn memory(system: &mut impl System) -> Result<()> {
    let smaps = system.shell("cat /proc/$(pidof terminal-agent)/smaps")?;
    let mut kinds = BTreeMap::<&str, Pages>::new();
    let mut kind = "";
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        let Some(name) = first.strip_suffix(':') else {
            kind = kind_of(line);
            continue;
        };
        let size = words.next().and_then(|size| size.parse::<u64>().ok());
        let pages = kinds.entry(kind).or_default();
        match name {
            "Rss" => pages.resident += size.context("no size")?,
            "Pss" => pages.proportional += size.context("no size")?,
            "Private_Clean" | "Private_Dirty" => pages.private += size.context("no size")?,
            _ => {}
        }
    }
    let sum = |of: fn(&Pages) -> u64| kinds.values().map(of).sum::<u64>();
    println!(
        "    after {} s online and idle, in kB: resident, proportional, its own",
        IDLE.as_secs()
    );
    for (kind, pages) in &kinds {
        println!(
            "    {kind:<24} {:>6} {:>6} {:>6}",
            pages.resident, pages.proportional, pages.private
        );
    }
    let (resident, proportional) = (sum(|of| of.resident), sum(|of| of.proportional));
    println!("    {:<24} {resident:>6} {proportional:>6} {:>6}", "all", sum(|of| of.private));
    Ok(())
}

/// When a unit got so far, in milliseconds since the kernel started.
fn moment(system: &mut impl System, unit: &str, property: &str) -> Result<u64> {
    let show = format!("systemctl show --value --property={property}TimestampMonotonic {unit}");
    Ok(system.shell(&show)?.trim().parse::<u64>()? / 1000)
}

/// By a mapping's line: ADDRESSES PERMISSIONS OFFSET DEVICE INODE PATH.
fn kind_of(mapping: &str) -> &'static str {
    let mut words = mapping.split_whitespace().skip(1);
    let permissions = words.next().unwrap_or_default();
    let path = words.nth(3).unwrap_or_default();
    match (path, permissions.get(..3)) {
        ("", _) => "anonymous",
        ("[heap]", _) => "heap",
        ("[stack]", _) => "stack",
        (path, _) if path.starts_with('[') => "kernel's",
        (path, Some("r-x")) if path.ends_with("/terminal-agent") => "program, code",
        (path, Some("r--")) if path.ends_with("/terminal-agent") => "program, constants",
        (path, _) if path.ends_with("/terminal-agent") => "program, variables",
        (path, _) if path.contains(".so") => "C library",
        _ => "other files",
    }
}
