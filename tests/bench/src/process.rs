//! What the kernel says about a process.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::Read as _,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Unit of times in `/proc/PID/stat`: the same on all Linux ports.
const TICK: Duration = Duration::from_millis(10);

/// Processor time so far.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything, but no field behind it holds a parenthesis.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    Ok(TICK * ticks.sum::<Result<u32, _>>()?)
}

/// Bytes that it has caused to be written to the medium.
pub(crate) fn written(pid: u32) -> Result<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let value = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(value.context("no write_bytes")?.trim().parse()?)
}

/// How often each of its threads has given up the processor of its own accord.
pub(crate) fn voluntary_switches(pid: u32) -> Result<BTreeMap<OsString, u64>> {
    let mut switches = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?;
        let status = fs::read_to_string(task.path().join("status"))?;
        let value = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"));
        switches.insert(task.file_name(), value.context("no switches")?.trim().parse()?);
    }
    Ok(switches)
}

/// System calls of a process, counted by strace.
pub(crate) struct Tracer {
    strace: Child,
    pid: Pid,
}

/// Calls by name.
pub(crate) type Calls = Vec<(String, u64)>;

impl Tracer {
    /// `None` where there is no strace, or it may not attach.
    pub(crate) fn attach(pid: u32) -> Option<Self> {
        let strace = Command::new("strace")
            .args(["-f", "-c", "-U", "calls,name", "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let tracer_pid = Pid::from_raw(strace.id().try_into().ok()?);
        // It says nothing that could be waited for; the kernel knows when it has attached.
        for _ in 0..200 {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            if status.lines().any(|l| l.starts_with("TracerPid:") && !l.ends_with("\t0")) {
                return Some(Self { strace, pid: tracer_pid });
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = kill(tracer_pid, Signal::SIGINT);
        None
    }

    /// Ends the trace.
    pub(crate) fn calls(mut self) -> Result<Calls> {
        kill(self.pid, Signal::SIGINT)?;
        let mut text = String::new();
        self.strace.stderr.take().context("no output")?.read_to_string(&mut text)?;
        self.strace.wait()?;
        let calls = text.lines().filter_map(|line| {
            let (count, name) = line.trim().split_once(char::is_whitespace)?;
            let name = name.trim();
            (name != "total").then(|| Some((name.to_owned(), count.parse().ok()?)))?
        });
        Ok(calls.collect())
    }
}
