//! A terminal out of its box: nobody knows it, and its screen shows a code until somebody has typed
//! it into the dashboard. It can be unplugged.

use std::{fs, path::PathBuf};

use anyhow::Result;
use terminal_harness::{Launch, Site};
use terminal_payment_app::through_bridge;

use crate::device::{Device, app_in};

const SERIAL_NUMBER: &str = "123456789013";
/// What the payment application does when it starts after the plug was pulled.
const POWER_IS_BACK: &str = r#"{ "unexpected_boot": { "cause": "power" } }"#;
/// A customer whose card has gone to the acquirer.
const CUSTOMER_PAYS: &str = r#"{ "payment_active": { "state": "committed", "for_ms": 15000 } }"#;

pub(crate) struct Newcomer {
    folder: PathBuf,
    device: Option<Device>,
}

impl Newcomer {
    /// Puts it on the counter and plugs it in.
    pub(crate) fn unpack(site: &Site) -> Result<Self> {
        let folder = site.path("newcomer");
        fs::create_dir_all(&folder)?;
        let url = site.cloud()?.link_url().replace("/v1/terminal/ws", "/v1/terminal/enrol");
        let toml = format!(
            r#"[terminal]
serial-number = "{SERIAL_NUMBER}"
model = "nexgo_n92"
software-version = "3.14.2"

[cloud]
reconnect-base-ms = 200
reconnect-cap-s = 3

[enrolment]
url = "{url}"
ca-file = "{ca}"
identity-directory = "{folder}/identity"

[store]
directory = "{folder}/store"

[control]
socket = "{folder}/control.sock"

[hal]
backend = "mock"

[log]
target = "stderr"
"#,
            ca = site.ca_file().display(),
            folder = folder.display(),
        );
        let app = app_in(&folder, SERIAL_NUMBER)?;
        fs::write(folder.join("agent.toml"), through_bridge(&toml, &app.socket))?;
        let mut newcomer = Self { folder, device: None };
        newcomer.switch_on("{}")?;
        Ok(newcomer)
    }

    /// The power is gone, whatever it was doing.
    pub(crate) fn unplug(&mut self) {
        self.device = None;
    }

    /// The power is back, unless it was never gone.
    pub(crate) fn plug_in(&mut self) -> Result<()> {
        if self.device.is_none() { self.switch_on(POWER_IS_BACK) } else { Ok(()) }
    }

    /// A customer pays for a quarter of a minute.
    pub(crate) fn take_payment(&self) -> Result<()> {
        self.write_script(CUSTOMER_PAYS)
    }

    /// What somebody in front of it sees.
    pub(crate) fn screen(&self) -> String {
        match &self.device {
            None => "(dark: unplugged)\n".to_owned(),
            Some(_) => fs::read_to_string(self.folder.join("screen.txt")).unwrap_or_default(),
        }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    fn switch_on(&mut self, script: &str) -> Result<()> {
        self.write_script(script)?;
        let agent = Launch::new(&self.config(), &self.folder.join("agent.log"));
        self.device = Some(Device::switch_on(app_in(&self.folder, SERIAL_NUMBER)?, agent)?);
        Ok(())
    }

    /// Who reads it sees one script or the next.
    fn write_script(&self, script: &str) -> Result<()> {
        let new = self.folder.join("mock-script.new");
        fs::write(&new, script)?;
        Ok(fs::rename(new, self.folder.join("mock-script.json"))?)
    }
}
