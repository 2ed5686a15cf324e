//! The conformance command: passed by the simulated application and by the one in Python, failed by
//! applications that break a rule.

mod support;

use std::{
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use terminal_payment_app::{AppLaunch, PaymentApp};

const COMMAND: &str = env!("CARGO_BIN_EXE_terminal-conformance");

/// Runs the command; the application is killed for a restart, and its supervisor starts it again.
fn conformance(socket: &Path, pid_file: Option<&Path>) -> Result<Output> {
    let mut command = Command::new(COMMAND);
    command.arg("--socket").arg(socket);
    if let Some(file) = pid_file {
        // Returns when the process is gone, so that nothing connects to it any more.
        let file = file.display();
        let kill = format!(
            "p=$(cat {file}); kill -9 $p; while kill -0 $p 2>/dev/null; do sleep 0.01; done"
        );
        command.args(["--restart-command", &kill]);
    }
    Ok(command.output()?)
}

/// Keeps the process id of the newest process in a file.
async fn with_pid_file<T>(
    app: &PaymentApp,
    file: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T>
where
    T: Send + 'static,
{
    let work = tokio::task::spawn_blocking(work);
    while !work.is_finished() {
        if let Some(pid) = app.pid() {
            let new = file.with_extension("new");
            std::fs::write(&new, pid.to_string())?;
            std::fs::rename(new, file)?;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    work.await?
}

fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}\n{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}

#[tokio::test]
async fn the_simulated_application_passes() -> Result<()> {
    let slow = json!({ "methods": { "close_batch": { "latency_ms": 40 } } });
    let (app, directory) = support::application(&slow)?;
    let folder = directory.path();
    passes(&app, &folder.join("app.sock"), &folder.join("pid")).await
}

#[tokio::test]
async fn an_application_in_python_passes() -> Result<()> {
    let Some(program) = support::python_app()? else { return Ok(()) };
    let directory = tempfile::tempdir()?;
    let launch = AppLaunch { program, ..support::launch(directory.path()) };
    let app = PaymentApp::start(launch, Box::new(|| {}))?;
    let socket = directory.path().join("app.sock");
    passes(&app, &socket, &directory.path().join("pid")).await
}

async fn passes(app: &PaymentApp, socket: &Path, pid_file: &Path) -> Result<()> {
    let (socket, file) = (socket.to_owned(), pid_file.to_owned());
    let run = move || conformance(&socket, Some(&file));
    let output = with_pid_file(app, pid_file, run).await?;
    ensure!(output.status.code() == Some(0), "{}", text(&output));
    let table = String::from_utf8(output.stdout)?;
    ensure!(table.ends_with("\nconformant\n") && !table.contains("FAILED"), "{table}");
    let required = table.lines().filter(|line| line.contains("  required  passed"));
    ensure!(required.count() >= 40, "{table}");
    ensure!(app.starts() > 5, "it was not restarted: {table}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_breaks_a_rule_does_not_pass() -> Result<()> {
    for (script, rule) in [
        (json!({ "query_close_says": "unknown" }), "has not started"),
        (json!({ "host": "mismatch" }), "the same operation closes once"),
        (
            json!({ "methods": { "hold_payments": { "ignore_cancel": true } } }),
            "a request that waits holds up no other",
        ),
    ] {
        let (_app, directory) = support::application(&script)?;
        let output = conformance(&directory.path().join("app.sock"), None)?;
        ensure!(output.status.code() == Some(1), "{}", text(&output));
        let table = text(&output);
        let line = table.lines().find(|line| line.contains(rule)).context(table.clone())?;
        ensure!(line.contains("FAILED"), "{table}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_restart_command_durability_is_not_proven() -> Result<()> {
    let (_app, directory) = support::application(&json!({}))?;
    let output = conformance(&directory.path().join("app.sock"), None)?;
    let table = text(&output);
    ensure!(output.status.code() == Some(1), "{table}");
    ensure!(!table.contains("FAILED") && table.contains("needs --restart-command"), "{table}");
    ensure!(table.contains("not conformant: 6 that count"), "{table}");
    Ok(())
}

#[test]
fn what_is_not_understood_and_nobody_there_have_their_words_and_exit_codes() -> Result<()> {
    for (arguments, code, says) in [
        (&["--fast"][..], 64, "invalid option '--fast'"),
        (&[][..], 64, "--socket is missing"),
        (&["--socket"][..], 64, "missing argument for option '--socket'"),
        (&["--socket", "/nowhere/app.sock"][..], 69, "nobody answers on /nowhere/app.sock"),
    ] {
        let output = Command::new(COMMAND).args(arguments).output()?;
        ensure!(output.status.code() == Some(code), "{arguments:?}: {}", text(&output));
        let said = String::from_utf8(output.stderr)?;
        ensure!(said.starts_with("terminal-conformance: ") && said.contains(says), "{said}");
    }
    let help = Command::new(COMMAND).arg("--help").output()?;
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--socket"));
    Ok(())
}
