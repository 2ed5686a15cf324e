//! One question or order: a program is started, told, heard and gone.

use std::{fmt::Display, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ErrorCode, Failure,
    answer::WireFailure,
    api::Cancellation,
    child::{Limits, Output, Program, Runner, trusted},
    error::Effect,
};

/// Version of what is said.
pub const EXEC_VERSION: u32 = 1;
/// Most bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The exit code of a program that does not know the method.
pub const UNKNOWN_METHOD: i32 = 64;

/// A program that serves a capability.
pub(super) struct ExecProgram {
    pub(super) path: PathBuf,
    pub(super) owner: u32,
    pub(super) runner: Runner,
}

#[derive(Serialize)]
struct Request<'a> {
    version: u32,
    method: &'a str,
    params: Value,
}

/// Exactly one of them; other fields are ignored.
#[derive(Deserialize)]
struct Answer {
    result: Option<Value>,
    error: Option<WireFailure>,
}

/// What is asked, and what an answer that never comes may mean.
pub(super) struct Ask<'a> {
    pub(super) method: &'static str,
    pub(super) params: Value,
    pub(super) effect: Effect,
    pub(super) time: Duration,
    pub(super) cancellation: Option<&'a Cancellation>,
}

impl ExecProgram {
    /// Starts the program and reads its answer.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Value, Failure> {
        trusted::check(&self.path, self.owner).map_err(|why| {
            tracing::warn!(%why, "a program is not started");
            Failure::new(ErrorCode::DeviceFault, format!("a program cannot be trusted: {why}"))
        })?;
        let request =
            Request { version: EXEC_VERSION, method: ask.method, params: ask.params.clone() };
        let input = serde_json::to_vec(&request).unwrap_or_default();
        let limits = Limits { output_bytes: ANSWER_BYTES_MAX, time: ask.time };
        let program = Program::new(&self.path);
        let run = self.runner.run(&program, &input, limits, ask.cancellation);
        let output = run.await.map_err(|error| error.failure(ask.effect))?;
        self.answer(ask, &program, output)
    }

    fn answer(&self, ask: &Ask<'_>, program: &Program, output: Output) -> Result<Value, Failure> {
        if output.status.code() == Some(UNKNOWN_METHOD) {
            let reason = format!("{} does not know {}", self.path.display(), ask.method);
            return Err(Failure::new(ErrorCode::UnsupportedByHardware, reason));
        }
        let output = output.succeeded(program, ask.effect)?;
        match serde_json::from_slice(&output.stdout) {
            Ok(Answer { result: Some(result), error: None }) => Ok(result),
            Ok(Answer { result: None, error: Some(error) }) => {
                Err(error.data.failure(&error.message))
            }
            Ok(_) => Err(self.unreadable(ask, &"want one of result and error")),
            Err(error) => Err(self.unreadable(ask, &error)),
        }
    }

    /// An answer that cannot be read says nothing about what has happened.
    pub(super) fn unreadable(&self, ask: &Ask<'_>, error: &dyn Display) -> Failure {
        let (name, method) = (self.path.display(), ask.method);
        let reason = format!("{name} answered {method} unreadably: {error}");
        ask.effect.failure(ErrorCode::DeviceFault, reason)
    }
}
