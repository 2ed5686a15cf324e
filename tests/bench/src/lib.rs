//! Figures of the agent: latency, rate, writes, memory, size, each beside a floor that is
//! measured in the same run, because this machine may be busy and the next one is another.
//!
//! A release build of the agent runs as a process of its own against the module `cloud`, which does
//! nothing but speak the protocol, so that what is measured is the agent. No time is ever
//! asserted; what is counted may be.

mod cloud;
mod figures;
mod floor;
mod options;
mod plan;
mod process;
mod records;
mod runs;
mod terminal;

use anyhow::Result;

pub use options::Options;

/// Runs the benchmark, or the process that measures a floor for it.
///
/// # Errors
/// When something does not run at all; never because it is slow.
pub fn main(arguments: impl Iterator<Item = String>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match Options::parse(arguments)? {
        Options::Measure(plan) => runtime.block_on(runs::all(&plan)),
        Options::FloorClient { port, ca_file, file } => {
            runtime.block_on(floor::client(port, &ca_file, &file))
        }
    }
}
