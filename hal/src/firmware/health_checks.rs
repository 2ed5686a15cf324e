//! Programs of the terminal maker that say whether a new system does its work.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use nix::unistd::geteuid;

use crate::{
    child::{Limits, Program, Runner, failure::complaint, trusted},
    operation::update::HealthCheck,
};

/// What a check may print; it is not looked at.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// One check: a program that ends with status 0 within its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthProgram {
    /// In the result of the update, 1 to 64 characters.
    pub name: String,
    /// Absolute; only root and the agent's own user may be able to change it.
    pub program: PathBuf,
    /// It may wait this long for what it checks to come up.
    pub time_max: Duration,
}

/// Runs all of them, one after the other, also after one that failed.
pub(super) async fn run(runner: &Runner, programs: &[HealthProgram]) -> Vec<HealthCheck> {
    let mut checks = Vec::with_capacity(programs.len());
    for program in programs {
        let begun = Instant::now();
        let outcome = run_one(runner, program).await;
        if let Err(problem) = &outcome {
            tracing::error!(check = program.name, problem, "the new system fails its health check");
        }
        checks.push(HealthCheck {
            name: program.name.clone(),
            ok: outcome.is_ok(),
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
    checks
}

async fn run_one(runner: &Runner, check: &HealthProgram) -> Result<(), String> {
    // A program that others can change could commit what it should not.
    trusted::check(&check.program, geteuid().as_raw()).map_err(|error| error.to_string())?;
    let limits = Limits { output_bytes: OUTPUT_BYTES_MAX, time: check.time_max };
    let output = runner.run(&Program::new(&check.program), b"", limits, None).await;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, complaint(&output.stderr)))
}
