//! In place of the simulated terminal, in a program that was built without it.

use std::sync::Arc;

use terminal_hal::api::Hal;
use tokio::{sync::Notify, task::LocalSet};

use super::{HardwareNews, RunError};
use crate::config::Config;

/// Nothing: a configuration that names it was refused.
pub(super) fn open(
    _: &Config,
    _: &Arc<Notify>,
    _: &LocalSet,
    _: HardwareNews,
) -> Result<Hal, RunError> {
    Ok(Hal::default())
}
