//! Behaviour of the simulated terminal, seen through the capability traits.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use uuid::Uuid;

use super::{MockConfig, MockTerminal, script::Script, tokio_clock};
use crate::{
    OperationId, Timestamp,
    api::{self, Call, CallHandle},
};

mod close;
mod day;
mod faults;
mod firmware;
mod hold;
mod lock;
mod logs;
mod power;
mod script;
mod settings;

/// A directory that is removed at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("terminal-mock-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("state.json")
    }

    fn script(&self) -> PathBuf {
        self.0.join("script.json")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A Monday afternoon in the middle of the trade.
fn afternoon() -> Timestamp {
    Timestamp::parse("2026-06-29T14:00:00Z").unwrap()
}

/// A terminal whose time is tokio's and that survives a scripted crash of "the process".
fn config() -> MockConfig {
    MockConfig {
        clock: tokio_clock(afternoon()),
        on_crash: Arc::new(|| {}),
        ..MockConfig::default()
    }
}

fn terminal() -> MockTerminal {
    MockTerminal::open(config()).unwrap()
}

fn scripted(json: &str) -> MockTerminal {
    let terminal = terminal();
    terminal.set_script(Script::parse(json).unwrap());
    terminal
}

fn kept_in(path: &Path) -> MockConfig {
    MockConfig { state_file: Some(path.to_owned()), ..config() }
}

fn id(number: u128) -> OperationId {
    OperationId(Uuid::from_u128(number))
}

fn call(number: u128) -> (Call, CallHandle) {
    api::call(id(number), 1, Duration::from_secs(300))
}

fn object(json: &str) -> serde_json::Map<String, Value> {
    serde_json::from_str(json).unwrap()
}
