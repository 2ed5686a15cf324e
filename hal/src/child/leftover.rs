//! Records of running process groups, and how what was left running is found again.
//!
//! A record is a file named after the group; it holds the boot and the start time of the group's
//! leader, because process ids are used again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// Writes the record of a group that has just been started.
pub(super) fn record(records: &Path, group: i32) -> io::Result<PathBuf> {
    let path = records.join(group.to_string());
    let started = stat(group).map_or(0, |stat| stat.started);
    fs::write(&path, format!("{} {started}\n", boot_id()?))?;
    Ok(path)
}

/// Kills the groups that are on record, and forgets them.
pub(super) fn kill_all(records: &Path) -> io::Result<()> {
    for entry in fs::read_dir(records)? {
        let path = entry?.path();
        if let Some(group) = left_running(&path)? {
            tracing::warn!(group, "killing a program that was left running");
            // It may end by itself at this moment.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        fs::remove_file(&path)?;
    }
    Ok(())
}

/// The group of that record, if anything of it still runs.
fn left_running(record: &Path) -> io::Result<Option<i32>> {
    let group = record.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok());
    // 0 and 1 would be this process's own group, and everybody's.
    let Some(group) = group.filter(|group| *group > 1) else { return Ok(None) };
    let text = fs::read_to_string(record)?;
    let mut words = text.split_whitespace();
    let same_boot = words.next() == Some(&boot_id()?);
    let started = words.next().and_then(|word| word.parse::<u64>().ok());
    let (true, Some(started)) = (same_boot, started) else { return Ok(None) };
    // A leader with another start time is another program: the id has been used again, which
    // cannot happen while anything of the group runs.
    let ours = match stat(group) {
        Some(leader) => leader.group == group && leader.started == started,
        None => any_member(group)?,
    };
    Ok(ours.then_some(group))
}

fn any_member(group: i32) -> io::Result<bool> {
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        if pid.and_then(stat).is_some_and(|stat| stat.group == group) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What `/proc/PID/stat` tells.
struct Stat {
    group: i32,
    /// Ticks since the boot.
    started: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; fields 3 and on follow it.
    let (_, fields) = text.rsplit_once(')')?;
    let field = |number: usize| fields.split_whitespace().nth(number - 3);
    Some(Stat { group: field(5)?.parse().ok()?, started: field(22)?.parse().ok()? })
}

fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
