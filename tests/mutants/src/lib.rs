//! Changes the engine for the worse, one place at a time, and sees that the simulation notices.
//!
//! A test that cannot fail proves nothing. Each mutant in `mutants.toml` takes one promise out of
//! the code; the simulation must fail with every one of them.

mod list;
mod run;
mod tree;

pub use list::{Mutant, mutants};
pub use run::{Fate, Runner};
pub use tree::{Tree, workspace};
