//! Fake systems: trees as real devices have them, and programs that answer as the real ones do.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    logs::{JournalConfig, LogsConfig},
    *,
};

mod boot;
mod health;
mod journal;
mod log_files;
mod power;

const BOOT_1: &str = "5b1f6f0e-6f0a-4a53-9d7c-0f4f6a1f7c11";
const BOOT_2: &str = "c9f3a5d2-0f2a-4f7a-8f55-6e7b2c1d9a22";
const BOOT_3: &str = "17d0b8f4-51ce-4b6d-a0c9-3f8e9d7c6b33";

struct System {
    folder: tempfile::TempDir,
    config: LinuxConfig,
}

impl System {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let config = LinuxConfig {
            root: folder.path().to_owned(),
            systemctl: path("systemctl"),
            application_unit: None,
            boot: BootConfig { cause_file: None, daily_mark: None, memory: path("memory") },
            disk: folder.path().to_owned(),
            interfaces: BTreeMap::new(),
            logs: LogsConfig {
                journal: JournalConfig {
                    journalctl: path("journalctl"),
                    directory: None,
                    components: BTreeMap::new(),
                },
                files: Vec::new(),
            },
        };
        let system = Self { folder, config };
        system.boots_as(BOOT_1);
        system
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes files of the tree, with the line feed that the kernel puts behind them.
    fn with(self, files: &[(&str, &str)]) -> Self {
        for (name, text) in files {
            self.write(name, &format!("{text}\n"));
        }
        self
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn boots_as(&self, boot_id: &str) {
        self.write("proc/sys/kernel/random/boot_id", &format!("{boot_id}\n"));
    }

    fn hal(&self) -> Hal {
        let runner = Runner::open(self.path("children")).unwrap();
        hal(self.config.clone(), &runner)
    }

    /// By another process: one that this one has open for writing cannot be started.
    fn program(&self, name: &str, script: &str) {
        let script = format!("#!/bin/sh\n{script}\n");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "printf '%s' \"$1\" >\"$2\" && chmod 755 \"$2\"", "sh", &script]);
        assert!(shell.arg(self.path(name)).stdin(Stdio::null()).status().unwrap().success());
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
