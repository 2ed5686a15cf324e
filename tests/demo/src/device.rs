//! The simulated device: a real agent beside a simulated payment application, each a process.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak},
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use serde_json::Value;
use terminal_harness::{Agent, Launch, Site};
use terminal_payment_app::{AppLaunch, PaymentApp, payment_app_binary, through_bridge};

const SERIAL_NUMBER: &str = "123456789012";

/// The file that shows its screen.
pub(crate) fn screen(site: &Site) -> PathBuf {
    site.path("agent/screen.txt")
}

/// What runs on it.
pub(crate) struct Device {
    pub(crate) app: PaymentApp,
    pub(crate) agent: Arc<Agent>,
}

impl Device {
    /// Switches on the one that the site's cloud knows.
    pub(crate) fn start(site: &Site) -> Result<Self> {
        let app = app_in(&site.path("agent"), SERIAL_NUMBER)?;
        site.edit_config(|text| through_bridge(text, &app.socket))?;
        Self::switch_on(app, site.launch())
    }

    /// Switches one on.
    pub(crate) fn switch_on(app: AppLaunch, agent: Launch) -> Result<Self> {
        let running: Arc<OnceLock<Weak<Agent>>> = Arc::default();
        let of_app = Arc::clone(&running);
        let (state, config) = (app.state.clone(), agent.config.clone());
        // A device that restarts takes its agent with it.
        let on_reboot = move || {
            if let Err(error) = name_version(&state, &config) {
                eprintln!("demo: the image does not say its version: {error:#}");
            }
            if let Some(agent) = of_app.get().and_then(Weak::upgrade) {
                let _ = agent.signal(Signal::SIGTERM);
            }
        };
        let app = PaymentApp::start(app, Box::new(on_reboot))?;
        let agent = Arc::new(Agent::launch(agent)?);
        let _ = running.set(Arc::downgrade(&agent));
        Ok(Self { app, agent })
    }

    /// Switches it off.
    pub(crate) fn stop(self) -> Result<()> {
        // Nobody restarts the agent from here on.
        drop(self.app);
        Arc::into_inner(self.agent).context("the agent is in use")?.stop()?;
        Ok(())
    }
}

/// How the payment application of a device is started that keeps its files in a folder.
pub(crate) fn app_in(folder: &Path, serial_number: &str) -> Result<AppLaunch> {
    Ok(AppLaunch {
        program: vec![payment_app_binary()?],
        socket: folder.join("payment-app.sock"),
        state: folder.join("mock-state.json"),
        script: folder.join("mock-script.json"),
        screen: folder.join("screen.txt"),
        serial_number: serial_number.to_owned(),
        log: folder.join("payment-app.log"),
    })
}

/// An image brings the version of its software in the agent's configuration: what was installed
/// last is what starts now.
fn name_version(state: &Path, config: &Path) -> Result<()> {
    let state: Value = serde_json::from_str(&fs::read_to_string(state)?)?;
    let installed = state["firmware"]["installations"].as_array().and_then(|all| all.last());
    let Some(version) = installed.and_then(|last| last["result"]["to"].as_str()) else {
        return Ok(());
    };
    let line = |line: &str| match line.starts_with("software-version") {
        true => format!("software-version = \"{version}\"\n"),
        false => format!("{line}\n"),
    };
    let text: String = fs::read_to_string(config)?.lines().map(line).collect();
    Ok(fs::write(config, text)?)
}
