//! A cloud, a terminal that it knows, and a folder in which an agent can run.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use terminal_cloud::{
    Cloud, CloudConfig, FaultSwitches, NewToken, Operation, OperationStatus, Pki, StartError,
    Transport,
};
use terminal_hal::OperationId;

use crate::{Agent, Launch, Relay, Rest};

/// Where operations are created and read.
const OPERATIONS: &str = "/v1/admin/terminals/operations";
const ACCOUNT: &str = "P11223351";
const SERIAL_NUMBER: &str = "123456789012";
/// What a test waits for must come within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a site differs from the usual one.
#[derive(Clone, Debug)]
pub struct SiteOptions {
    /// `welcome.heartbeat_s`.
    pub heartbeat_s: u32,
    /// Range of the agent's first reconnect wait, in milliseconds.
    pub reconnect_base_ms: u64,
    /// Range that it never grows beyond, in seconds.
    pub reconnect_cap_s: u64,
    /// Severity that the agent logs.
    pub log_level: &'static str,
    /// Whether the agent shows a client certificate instead of a token.
    pub client_certificate: bool,
    /// Lines added to the agent's configuration file.
    pub more_config: String,
    /// Whether the agent comes to its credentials by enrolment, and how the cloud enrols.
    pub enrolment: Option<EnrolmentOptions>,
    /// Wait before the cloud dispatches an operation again that the terminal had no room for.
    pub redispatch_delay_ms: u64,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self {
            heartbeat_s: 30,
            reconnect_base_ms: 50,
            reconnect_cap_s: 1,
            log_level: "info",
            client_certificate: false,
            more_config: String::new(),
            enrolment: None,
            redispatch_delay_ms: 5_000,
        }
    }
}

/// How the cloud enrols terminals.
#[derive(Clone, Copy, Debug)]
pub struct EnrolmentOptions {
    /// How long an activation code can be typed in.
    pub code_ttl: Duration,
    /// How long a certificate is good, from when it is given.
    pub certificate_life: Duration,
}

impl Default for EnrolmentOptions {
    fn default() -> Self {
        Self {
            code_ttl: Duration::from_secs(3600),
            certificate_life: Duration::from_secs(90 * 86_400),
        }
    }
}

/// A cloud, a terminal that it knows, and a folder in which an agent can run.
pub struct Site {
    directory: TempDir,
    options: SiteOptions,
    pki: Pki,
    cloud: Option<Cloud>,
    stopped: Option<CloudConfig>,
    terminal_id: String,
    api_token: String,
}

impl Site {
    /// Starts the cloud and writes the agent's files; no agent runs yet.
    pub async fn start(options: SiteOptions) -> Result<Self> {
        let directory = TempDir::new()?;
        let pki = Pki::create()?;
        let mut config =
            CloudConfig::new(directory.path().join("cloud"), Transport::Tls(pki.tls()?));
        config.heartbeat_s = options.heartbeat_s;
        config.redispatch_delay = Duration::from_millis(options.redispatch_delay_ms);
        config.test_switches = true;
        if let Some(EnrolmentOptions { code_ttl, certificate_life }) = options.enrolment {
            (config.activation_code_ttl, config.certificate_life) = (code_ttl, certificate_life);
        }
        let cloud = Cloud::start(config).await?;
        let terminal = cloud.create_terminal(ACCOUNT, SERIAL_NUMBER).await?;
        let api_token = cloud
            .create_token(NewToken {
                account_id: ACCOUNT.to_owned(),
                subject: "user@example.com".to_owned(),
                scopes: vec!["admin:checkout".to_owned()],
            })
            .await?;
        let site = Self {
            directory,
            options,
            pki,
            cloud: Some(cloud),
            stopped: None,
            terminal_id: terminal.terminal_id,
            api_token,
        };
        site.write_files(&terminal.token)?;
        Ok(site)
    }

    fn write_files(&self, terminal_token: &str) -> Result<()> {
        fs::create_dir_all(self.path("agent"))?;
        fs::write(self.path("agent/ca.pem"), self.pki.ca_pem())?;
        fs::write(self.path("agent/token"), terminal_token)?;
        let (certificate, key) = self.pki.client(&self.terminal_id)?;
        fs::write(self.path("agent/client.pem"), certificate)?;
        fs::write(self.path("agent/client.key"), key)?;
        fs::write(self.path("agent/agent.toml"), self.agent_toml()?)?;
        Ok(())
    }

    fn agent_toml(&self) -> Result<String> {
        let agent = self.path("agent");
        let agent = agent.display();
        Ok(format!(
            r#"[terminal]
{id}
serial-number = "{SERIAL_NUMBER}"
model = "nexgo_n92"
software-version = "3.14.2"

{access}

[store]
directory = "{agent}/store"

[control]
socket = "{agent}/control.sock"

[hal]
backend = "mock"

[hal.mock]
state-file = "{agent}/mock-state.json"
script-file = "{agent}/mock-script.json"

[log]
level = "{level}"
target = "stderr"
{more}"#,
            id = match self.options.enrolment {
                None => format!("id = \"{}\"", self.terminal_id),
                Some(_) => String::new(),
            },
            access = self.access_toml()?,
            level = self.options.log_level,
            more = self.options.more_config,
        ))
    }

    /// The sections about the way to the cloud.
    fn access_toml(&self) -> Result<String> {
        let agent = self.path("agent");
        let agent = agent.display();
        let SiteOptions { reconnect_base_ms: base_ms, reconnect_cap_s: cap_s, .. } = self.options;
        let waits = format!("reconnect-base-ms = {base_ms}\nreconnect-cap-s = {cap_s}");
        let url = self.cloud()?.link_url();
        if self.options.enrolment.is_some() {
            let url = url.replace("/v1/terminal/ws", "/v1/terminal/enrol");
            return Ok(format!(
                "[cloud]\n{waits}\n\n[enrolment]\nurl = \"{url}\"\nca-file = \"{agent}/ca.pem\"\n\
                 identity-directory = \"{agent}/identity\""
            ));
        }
        let credentials = if self.options.client_certificate {
            format!(
                "client-certificate-file = \"{agent}/client.pem\"\n\
                 client-key-file = \"{agent}/client.key\""
            )
        } else {
            format!("token-file = \"{agent}/token\"")
        };
        let ca = format!("ca-file = \"{agent}/ca.pem\"");
        Ok(format!("[cloud]\nurl = \"{url}\"\n{ca}\n{credentials}\n{waits}"))
    }

    /// A path in the site's folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// The running cloud.
    pub fn cloud(&self) -> Result<&Cloud> {
        self.cloud.as_ref().context("the cloud has been stopped")
    }

    /// The terminal's id.
    pub fn terminal_id(&self) -> &str {
        &self.terminal_id
    }

    /// The bearer token of the REST API, all scopes.
    pub fn api_token(&self) -> &str {
        &self.api_token
    }

    /// The root that signed the cloud's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.path("agent/ca.pem")
    }

    /// The agent's configuration file.
    pub fn agent_config(&self) -> PathBuf {
        self.path("agent/agent.toml")
    }

    /// Rewrites the agent's configuration file; the next start of an agent reads it.
    pub fn edit_config(&self, edit: impl FnOnce(&str) -> String) -> Result<()> {
        let path = self.agent_config();
        Ok(fs::write(&path, edit(&fs::read_to_string(&path)?))?)
    }

    /// Lets agents that start from now on connect through a relay that counts their attempts.
    pub async fn through_relay(&self) -> Result<Relay> {
        let address = self.cloud()?.addr();
        let relay = Relay::listen(Ipv4Addr::LOCALHOST, address).await?;
        let (old, new) = (format!(":{}/", address.port()), format!(":{}/", relay.port()));
        self.edit_config(|text| text.replace(&old, &new))?;
        Ok(relay)
    }

    /// Everything that agents have logged.
    pub fn agent_log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.path("agent.log"))?)
    }

    /// Starts an agent.
    pub fn start_agent(&self) -> Result<Agent> {
        Agent::launch(self.launch())
    }

    /// How an agent of this site is started.
    pub fn launch(&self) -> Launch {
        Launch::new(&self.agent_config(), &self.path("agent.log"))
    }

    /// The authority that vouches for the cloud and its terminals.
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// A REST client.
    pub fn rest(&self) -> Result<Rest> {
        Rest::new(&self.cloud()?.base_url(), self.pki.ca_pem(), &self.api_token)
    }

    /// Tells the simulated terminal how to behave; it reads the script before every call.
    pub fn script(&self, script: &Value) -> Result<()> {
        let path = self.path("agent/mock-script.json");
        let new = path.with_extension("new");
        fs::write(&new, script.to_string())?;
        Ok(fs::rename(new, path)?)
    }

    /// What the simulated terminal remembers.
    pub fn mock_state(&self) -> Result<Value> {
        let text = fs::read_to_string(self.path("agent/mock-state.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// How often an operation took effect on the simulated terminal.
    pub fn effects_of(&self, id: OperationId) -> Result<u64> {
        let state = self.mock_state()?;
        Ok(state["effects"][id.to_string()]["count"].as_u64().unwrap_or(0))
    }

    /// Creates an operation over REST and gives its id.
    pub async fn create(&self, operation: &str, parameters: Value) -> Result<OperationId> {
        let body = json!({
            "terminal_id": self.terminal_id, "operation": operation, "parameters": parameters,
        });
        let answer = self.rest()?.post(OPERATIONS, &body).await?;
        ensure!(answer.status == 201, "{}: {}", answer.status, answer.body);
        let id = answer.body["id"].as_str().context("no id")?;
        Ok(OperationId(uuid::Uuid::parse_str(id)?))
    }

    /// Waits until an operation is no longer PENDING.
    pub async fn verdict(&self, id: OperationId) -> Result<Operation> {
        let ended = |operation: &Operation| operation.status != OperationStatus::Pending;
        Ok(self.cloud()?.wait_operation(id, PATIENCE, ended).await?)
    }

    /// Creates an operation and waits for its end.
    pub async fn run(&self, operation: &str, parameters: Value) -> Result<Operation> {
        let id = self.create(operation, parameters).await?;
        self.verdict(id).await
    }

    /// Waits until the terminal has a link.
    pub async fn online(&self) -> Result<()> {
        self.cloud()?.wait_online(&self.terminal_id, true, PATIENCE).await?;
        Ok(())
    }

    /// Waits until something holds, looking again and again.
    pub async fn until(
        &self,
        what: &str,
        mut holds: impl AsyncFnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let until = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < until {
            if holds(self).await? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("not within {PATIENCE:?}: {what}; the agent logged:\n{}", self.agent_log()?)
    }

    /// Turns fault switches of the cloud.
    pub async fn faults(&self, switches: FaultSwitches) -> Result<()> {
        Ok(self.cloud()?.fault(switches).await?)
    }

    /// Kills the cloud as by SIGKILL.
    pub async fn kill_cloud(&mut self) -> Result<()> {
        let cloud = self.cloud.take().context("the cloud has been stopped")?;
        self.stopped = Some(cloud.kill().await);
        Ok(())
    }

    /// Changes how a killed cloud will be started again.
    pub fn edit_cloud(&mut self, edit: impl FnOnce(&mut CloudConfig)) -> Result<()> {
        edit(self.stopped.as_mut().context("the cloud runs")?);
        Ok(())
    }

    /// Starts the cloud again on its data and its port. Meanwhile somebody else's connection may
    /// have been given that port: it is waited for.
    pub async fn restart_cloud(&mut self) -> Result<()> {
        let config = self.stopped.take().context("the cloud runs")?;
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            match Cloud::start(config.clone()).await {
                Err(StartError::Listen(..)) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                started => {
                    self.cloud = Some(started?);
                    return Ok(());
                }
            }
        }
    }

    /// The site's folder, kept until the site is dropped.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }
}
