//! What goes wrong with a program, in the words of the catalogue.

use super::{ChildError, Output, Program};
use crate::{ErrorCode, Failure, error::Effect, text::free};

/// Characters of standard error that get into a failure's reason.
const COMPLAINT_CHARS_MAX: usize = 120;

impl ChildError {
    /// For a call that may have had this effect before it went wrong.
    pub fn failure(&self, effect: Effect) -> Failure {
        let reason = self.to_string();
        match self {
            Self::Start { .. } => Failure::new(ErrorCode::DeviceFault, reason),
            Self::Talk { .. } | Self::TooMuchOutput { .. } => {
                effect.failure(ErrorCode::DeviceFault, reason)
            }
            Self::Overdue { .. } => effect.failure(ErrorCode::HalUnavailable, reason),
            Self::Canceled { .. } => effect.failure(ErrorCode::Canceled, reason),
        }
    }
}

impl Output {
    /// Itself, unless the program says by its exit code that it has failed.
    ///
    /// # Errors
    /// `DEVICE_FAULT` with the first line of standard error.
    pub fn succeeded(self, program: &Program, effect: Effect) -> Result<Self, Failure> {
        if self.status.success() {
            return Ok(self);
        }
        let (name, complaint) = (program.path().display(), complaint(&self.stderr));
        let reason = format!("{name} ended with {}: {complaint}", self.status);
        Err(effect.failure(ErrorCode::DeviceFault, reason))
    }
}

/// What of standard error gets into a reason: the start of its first line.
pub(crate) fn complaint(stderr: &str) -> String {
    free(stderr.lines().next().unwrap_or_default(), COMPLAINT_CHARS_MAX)
}
