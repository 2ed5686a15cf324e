//! What is wrong with the configuration of a terminal, before it is sent.

use serde_json::{Map, Value};
use terminal_hal::{operation::SettingProblem, settings};

use crate::rest::error::FieldError;

/// Everything that is wrong with a configuration as a whole.
pub(super) fn problems(config: &Map<String, Value>) -> Vec<FieldError> {
    let mut problems = settings::unknown(config);
    problems.extend(settings::problems(config));
    let field = |SettingProblem { path, message, .. }| FieldError { path, message };
    problems.into_iter().map(field).collect()
}
