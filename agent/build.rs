//! Names the time of the sources: no certificate that the agent can meet expired before it.

use std::{env, fs, process::Command, time::UNIX_EPOCH};

fn main() {
    // Not on every commit: an older floor is still a floor.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rustc-env=TERMINAL_AGENT_SOURCE_TIME_S={}", source_time_s());
}

/// Seconds since 1970: the packager's word, else the commit, else the manifest's age.
fn source_time_s() -> u64 {
    let given = env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
    given.or_else(commit_time_s).or_else(manifest_time_s).unwrap_or(0)
}

fn commit_time_s() -> Option<u64> {
    let output = Command::new("git").args(["log", "-1", "--format=%ct"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn manifest_time_s() -> Option<u64> {
    let modified = fs::metadata("Cargo.toml").ok()?.modified().ok()?;
    Some(modified.duration_since(UNIX_EPOCH).ok()?.as_secs())
}
