//! The simulated device: a real agent beside a simulated payment application, each a process.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock, Weak},
};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use terminal_harness::{Agent, Site};
use terminal_payment_app::{AppLaunch, PaymentApp, payment_app_binary, through_bridge};

const SERIAL_NUMBER: &str = "123456789012";

/// The file that shows its screen.
pub(crate) fn screen(site: &Site) -> PathBuf {
    site.path("screen.txt")
}

/// What runs on it.
pub(crate) struct Device {
    pub(crate) app: PaymentApp,
    pub(crate) agent: Arc<Agent>,
}

impl Device {
    /// Switches it on.
    pub(crate) fn start(site: &Site) -> Result<Self> {
        let launch = AppLaunch {
            program: vec![payment_app_binary()?],
            socket: site.path("agent/payment-app.sock"),
            state: site.path("agent/mock-state.json"),
            script: site.path("agent/mock-script.json"),
            screen: screen(site),
            serial_number: SERIAL_NUMBER.to_owned(),
            log: site.path("payment-app.log"),
        };
        site.edit_config(|text| through_bridge(text, &launch.socket))?;
        let running: Arc<OnceLock<Weak<Agent>>> = Arc::default();
        let of_app = Arc::clone(&running);
        // A device that restarts takes its agent with it.
        let on_reboot = move || {
            if let Some(agent) = of_app.get().and_then(Weak::upgrade) {
                let _ = agent.signal(Signal::SIGTERM);
            }
        };
        let app = PaymentApp::start(launch, Box::new(on_reboot))?;
        let agent = Arc::new(site.start_agent()?);
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
