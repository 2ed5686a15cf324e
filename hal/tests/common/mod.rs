//! What the tests of programs share.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use terminal_hal::{
    api::Hal,
    child::Runner,
    exec::{self, ExecConfig},
};

/// Writes a program, by another process: one that this one has open cannot be started, and a
/// process that another thread is starting has open what this one has.
pub(crate) fn write_program(path: &Path, script: &str) {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "printf '%s' \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", script]).arg(path);
    assert!(shell.stdin(Stdio::null()).status().unwrap().success());
}

/// A folder with a program that serves screen and state, and the backend over it.
pub(crate) struct Served {
    pub(crate) hal: Hal,
    _folder: tempfile::TempDir,
}

impl Served {
    pub(crate) fn by(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        write_program(&program, script);
        let owner = fs::metadata(&program).unwrap().uid();
        let config = ExecConfig { screen: Some(program.clone()), health: Some(program), owner };
        let runner = Runner::open(folder.path().join("children")).unwrap();
        Self { hal: exec::hal(config, &runner), _folder: folder }
    }
}
