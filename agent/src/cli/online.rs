//! `status --wait-online`: whether the terminal comes online, for whoever installs it.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Failed, exit, human, question};
use crate::shell::ControlRequest;

/// How often the agent is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Returns the status once the terminal is online. An agent that does not answer may be coming up.
///
/// # Errors
/// After `limit`, with the reason; at once when nobody may ask.
pub(super) fn wait(config: &Path, limit: Duration) -> Result<Value, Failed> {
    let until = Instant::now() + limit;
    loop {
        let failed = match question(config, &ControlRequest::Status) {
            Ok(status) => match human::offline(&status) {
                None => return Ok(status),
                Some(why) => {
                    let after = limit.as_secs();
                    Failed(exit::OFFLINE, format!("not online after {after} s: {why}"))
                }
            },
            Err(failed @ Failed(exit::UNAVAILABLE, _)) => failed,
            Err(failed) => return Err(failed),
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(failed);
        }
        thread::sleep(left.min(ASK_EVERY));
    }
}
