//! The one loop: next event → engine → effects, in order.
//!
//! One task owns the engine and the store. Everything else talks to it through bounded channels.
//! Events that are ready together are stepped together and their appends become one commit, which
//! comes before every other effect of any of them.

mod access;
mod alarm;
mod batch;
mod clock;
mod control;
mod executor;
mod hardware;
mod journal;
mod lock_again;
mod lock_record;
mod requests;
mod run;
mod screen;
mod surroundings;
mod watchdog;

pub use control::{ControlRequest, StartRequest, ask};
pub use journal::init as init_log;
pub use run::{RunError, run};
