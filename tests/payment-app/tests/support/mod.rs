//! A shop: the simulated application as a process, and a bridge to it.
#![allow(dead_code, reason = "each test program uses its own part")]

pub mod device;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use terminal_hal::{
    OperationId, Timestamp,
    api::{self, Call, CallHandle},
    vendor::{Vendor, VendorConfig},
};
use terminal_payment_app::{AppLaunch, PaymentApp};
use tokio::time::timeout;
use uuid::Uuid;

/// The program under test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_terminal-payment-app");

/// An application of another maker, in another language.
const PYTHON_APP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/payment_app.py");

/// How the application in Python is started; says so where there is no Python.
pub fn python_app() -> Result<Option<Vec<PathBuf>>> {
    if Command::new("python3").arg("--version").output().is_err() {
        ensure!(std::env::var_os("PYTHON_REQUIRED").is_none(), "there is no python3");
        eprintln!("skipped: there is no python3");
        return Ok(None);
    }
    Ok(Some(vec!["python3".into(), PYTHON_APP.into()]))
}

/// The application as a process, and a bridge to it.
pub struct Shop {
    pub vendor: Vendor,
    pub app: PaymentApp,
    pub directory: TempDir,
}

impl Shop {
    /// Opens the shop with a script.
    pub fn open(script: &Value) -> Result<Self> {
        let (app, directory) = application(script)?;
        let vendor = connect(&directory.path().join("app.sock"));
        Ok(Self { vendor, app, directory })
    }

    /// One more bridge.
    pub fn connect(&self) -> Vendor {
        connect(&self.socket())
    }

    /// Where the application listens.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("app.sock")
    }

    /// Changes how the application behaves.
    pub fn script(&self, script: &Value) -> Result<()> {
        let new = self.directory.path().join("script.new");
        fs::write(&new, script.to_string())?;
        Ok(fs::rename(new, self.directory.path().join("script.json"))?)
    }

    /// Waits until the screen shows that.
    pub async fn shows(&self, text: &str) -> Result<String> {
        let file = self.directory.path().join("screen.txt");
        let look = async || {
            let picture = fs::read_to_string(&file).unwrap_or_default();
            Ok(picture.contains(text).then_some(picture))
        };
        timeout(Duration::from_secs(60), until(look)).await.with_context(|| text.to_owned())?
    }

    /// What it remembers; waits for the first time that it writes.
    pub fn state(&self) -> Result<Value> {
        for _ in 0..2_000 {
            match fs::read(self.directory.path().join("state.json")) {
                Ok(text) => return Ok(serde_json::from_slice(&text)?),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        bail!("the application remembers nothing")
    }
}

/// The application alone: a bridge would take the connection from whoever has it.
pub fn application(script: &Value) -> Result<(PaymentApp, TempDir)> {
    let directory = TempDir::new()?;
    fs::write(directory.path().join("script.json"), script.to_string())?;
    let app = PaymentApp::start(launch(directory.path()), Box::new(|| {}))?;
    Ok((app, directory))
}

/// How the simulated application is started in a folder.
pub fn launch(directory: &Path) -> AppLaunch {
    AppLaunch {
        program: vec![BINARY.into()],
        socket: directory.join("app.sock"),
        state: directory.join("state.json"),
        script: directory.join("script.json"),
        screen: directory.join("screen.txt"),
        serial_number: "123456789012".to_owned(),
        log: directory.join("app.log"),
    }
}

/// A bridge to a socket.
pub fn connect(socket: &Path) -> Vendor {
    Vendor::open(VendorConfig {
        socket: socket.to_owned(),
        allowed_uids: vec![0, nix::unistd::geteuid().as_raw()],
        agent_version: "test".to_owned(),
        standing_lock: tokio::sync::watch::channel(None).1,
        requests: tokio::sync::mpsc::channel(1).0,
    })
}

pub fn id(number: u128) -> OperationId {
    OperationId(Uuid::from_u128(number))
}

pub fn call(number: u128) -> (Call, CallHandle) {
    api::call(id(number), 1, Duration::from_secs(60))
}

pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Asks until there is an answer.
pub async fn until<T>(mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
