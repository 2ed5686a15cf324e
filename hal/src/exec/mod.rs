//! Single capabilities that are served by programs: the screen, and the state of the terminal.
//!
//! One start of the program is one question or order: JSON on its standard input, JSON on its
//! standard output, as `EXEC.md` describes it. No shell is involved, the program must belong to
//! root, and nothing of it outlives its answer.

use std::{path::PathBuf, sync::Arc};

mod ask;
mod capabilities;
#[cfg(test)]
mod tests;

pub use ask::{ANSWER_BYTES_MAX, EXEC_VERSION, UNKNOWN_METHOD};

use crate::{api::Hal, child::Runner};

/// Which programs.
#[derive(Clone, Debug)]
pub struct ExecConfig {
    /// Opens menus and shows messages.
    pub screen: Option<PathBuf>,
    /// Tells the state of the terminal.
    pub health: Option<PathBuf>,
    /// The user that they and the folders around them must belong to, beside root: root. Another
    /// one serves tests.
    pub owner: u32,
}

/// The capabilities that the configuration names a program for.
pub fn hal(config: ExecConfig, runner: &Runner) -> Hal {
    let owner = config.owner;
    let program = |path| Arc::new(ask::ExecProgram { path, owner, runner: runner.clone() });
    Hal {
        screen: config.screen.map(|path| program(path) as _),
        health: config.health.map(|path| program(path) as _),
        ..Hal::default()
    }
}
