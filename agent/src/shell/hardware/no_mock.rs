//! In place of the simulated terminal, in a program that was built without it.

use std::sync::Arc;

use terminal_hal::api::Hal;
use tokio::{sync::Notify, task::LocalSet};

use super::{HardwareNews, RunError};
use crate::config::Config;

/// Nothing: a configuration that names it was refused.
#[expect(clippy::unnecessary_wraps, reason = "that of the simulated terminal can fail")]
pub(super) fn open(
    _: &Config,
    _: &Arc<Notify>,
    _: &LocalSet,
    _: HardwareNews,
) -> Result<Hal, RunError> {
    Ok(Hal::default())
}
