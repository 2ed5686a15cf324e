//! The state file: replaced as a whole, durable when the write returns.

use std::{fs, io, path::PathBuf};

use super::{MockError, state::State};
use crate::durable;

/// Where the state is kept; `None` keeps it in memory only.
#[derive(Debug)]
pub(super) struct Store {
    path: Option<PathBuf>,
}

impl Store {
    pub(super) fn new(path: Option<PathBuf>) -> Self {
        Self { path }
    }

    /// The stored state, `None` when there is none yet.
    pub(super) fn load(&self) -> Result<Option<State>, MockError> {
        let Some(path) = &self.path else { return Ok(None) };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(MockError::ReadState { path: path.clone(), source }),
        };
        match serde_json::from_slice(&text) {
            Ok(state) => Ok(Some(state)),
            Err(source) => Err(MockError::StateSyntax { path: path.clone(), source }),
        }
    }

    /// Returns once the state is on the medium.
    pub(super) fn save(&self, state: &State) -> Result<(), MockError> {
        let Some(path) = &self.path else { return Ok(()) };
        let written = serde_json::to_vec(state)
            .map_err(io::Error::from)
            .and_then(|text| durable::replace(path, &text));
        written.map_err(|source| MockError::WriteState { path: path.clone(), source })
    }
}
