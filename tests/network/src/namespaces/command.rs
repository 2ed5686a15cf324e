//! The programs that make and change networks.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// Runs a program to its end and gives what it printed.
pub(super) fn run(program: &str, arguments: &[&str], input: Option<&str>) -> Result<String> {
    let shown = || format!("{program} {}", arguments.join(" "));
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(shown)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read what it is given says why on its standard error.
        let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    }
    let output = child.wait_with_output().with_context(shown)?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {} {}", shown(), output.status, told.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Lines for `ip`, in a namespace or in the root one.
pub(super) fn ip_batch(namespace: Option<&str>, lines: &str) -> Result<()> {
    let mut arguments = Vec::new();
    if let Some(namespace) = namespace {
        arguments.extend(["-n", namespace]);
    }
    arguments.extend(["-batch", "-"]);
    run("ip", &arguments, Some(lines)).with_context(|| lines.to_owned())?;
    Ok(())
}

/// A script for `nft`: all of it takes effect, or nothing.
pub(super) fn nft(namespace: &str, script: &str) -> Result<()> {
    let arguments = ["netns", "exec", namespace, "nft", "-f", "-"];
    run("ip", &arguments, Some(script)).with_context(|| script.to_owned())?;
    Ok(())
}
