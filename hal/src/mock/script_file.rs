//! The script in force: set by the program, or read from a file whenever that has changed.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    MockError,
    script::{SCRIPT_BYTES_MAX, Script},
};

/// The script in force and where it comes from.
#[derive(Debug)]
pub(super) struct ScriptFile {
    path: Option<PathBuf>,
    /// The content that was read last, usable or not: it is complained about once. `None` for a
    /// missing file.
    seen: Option<Vec<u8>>,
    current: Arc<Script>,
}

impl ScriptFile {
    /// Reads the script for the first time.
    pub(super) fn open(path: Option<PathBuf>) -> Result<Self, MockError> {
        let mut file = Self { path, seen: None, current: Arc::default() };
        file.reload()?;
        Ok(file)
    }

    pub(super) fn current(&self) -> Arc<Script> {
        Arc::clone(&self.current)
    }

    /// Whether a file can change the script at any time.
    pub(super) fn is_watched(&self) -> bool {
        self.path.is_some()
    }

    pub(super) fn set(&mut self, script: Script) {
        self.current = Arc::new(script);
    }

    /// Takes what the file says now; on an error the script before stays in force.
    pub(super) fn reload(&mut self) -> Result<(), MockError> {
        let Some(path) = &self.path else { return Ok(()) };
        let content = match read_bounded(path) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(MockError::ReadScript { path: path.clone(), source }),
        };
        if content == self.seen {
            return Ok(());
        }
        let script = match &content {
            Some(content) => Script::parse(&String::from_utf8_lossy(content)),
            None => Ok(Script::default()),
        };
        self.seen = content;
        let path = path.clone();
        self.current = Arc::new(
            script.map_err(|error| MockError::ScriptSyntax { path, problem: error.to_string() })?,
        );
        Ok(())
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let length = fs::metadata(path)?.len();
    if length > SCRIPT_BYTES_MAX {
        let problem = format!("has {length} bytes, want at most {SCRIPT_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
    }
    let mut content = Vec::new();
    File::open(path)?.take(SCRIPT_BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}
