//! A device: the application, an agent and a cloud.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use terminal_cloud::{Operation, OperationStatus};
use terminal_harness::{Agent, Site, SiteOptions};
use terminal_payment_app::{AppLaunch, PaymentApp, through_bridge};

/// A cloud, the application and an agent, on one simulated device.
pub struct Device {
    pub site: Site,
    pub agent: Arc<Agent>,
    pub app: Option<PaymentApp>,
    launch: AppLaunch,
    on_reboot: Arc<OnceLock<Arc<Agent>>>,
}

impl Device {
    /// Starts everything, with the simulated application.
    pub async fn start(script: &Value, sources: Option<&str>) -> Result<Self> {
        Self::with_app(vec![super::BINARY.into()], script, sources).await
    }

    /// Starts everything, with the application that `program` is.
    pub async fn with_app(
        program: Vec<PathBuf>,
        script: &Value,
        sources: Option<&str>,
    ) -> Result<Self> {
        let site = Site::start(SiteOptions::default()).await?;
        site.script(script)?;
        let mut launch = AppLaunch { program, ..super::launch(&site.path("agent")) };
        launch.script = site.path("agent/mock-script.json");
        launch.state = site.path("agent/mock-state.json");
        site.edit_config(|text| {
            let text = through_bridge(text, &launch.socket);
            match sources {
                Some(sources) => text.replace("backend = \"vendor\"", sources),
                None => text,
            }
        })?;
        let on_reboot: Arc<OnceLock<Arc<Agent>>> = Arc::default();
        let app = start(&launch, &on_reboot)?;
        let agent = Arc::new(site.start_agent()?);
        let _ = on_reboot.set(Arc::clone(&agent));
        Ok(Self { site, agent, app: Some(app), launch, on_reboot })
    }

    /// The running application.
    pub fn app(&self) -> Result<&PaymentApp> {
        self.app.as_ref().context("the application has been stopped")
    }

    /// Starts an application that has been stopped.
    pub fn start_app(&mut self) -> Result<()> {
        self.app = Some(start(&self.launch, &self.on_reboot)?);
        Ok(())
    }

    /// Stops the application and takes its memory.
    pub fn wipe_app(&mut self) -> Result<()> {
        self.app = None;
        Ok(std::fs::remove_file(&self.launch.state)?)
    }
}

/// A device that restarts takes its agent with it.
fn start(launch: &AppLaunch, agent: &Arc<OnceLock<Arc<Agent>>>) -> Result<PaymentApp> {
    let agent = Arc::clone(agent);
    PaymentApp::start(
        launch.clone(),
        Box::new(move || {
            if let Some(agent) = agent.get() {
                let _ = agent.signal(Signal::SIGTERM);
            }
        }),
    )
}

/// The result of an operation that has completed.
pub fn result(operation: &Operation) -> Result<Value> {
    ensure!(operation.status == OperationStatus::Completed, "{operation:?}");
    operation.result.clone().context("no result")
}
