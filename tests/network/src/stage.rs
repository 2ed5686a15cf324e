//! Cloud, agent and what lies between them, and what an agent says about its link.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use terminal_cloud::{NewOperation, Transport};
use terminal_hal::OperationId;
use terminal_harness::{Agent, Site, SiteOptions};

use crate::{namespaces::Network, pace::Pace, proxy::Proxy};

/// How often the agent's log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often questions are asked that cost a process.
const ASK_EVERY: Duration = Duration::from_millis(300);
/// Name of the cloud that only a `CONNECT` proxy can resolve.
const FAR_NAME: &str = "cloud.example";

/// What lies between agent and cloud.
enum Road {
    Proxy(Proxy),
    Network(Network),
}

/// A cloud and the road to it; no agent runs yet.
pub struct Stage {
    road: Road,
    /// Cloud and files.
    pub site: Site,
    /// Settings and bounds.
    pub pace: Pace,
}

/// The same with a running agent, which is ended first.
pub struct Scene {
    /// The agent.
    pub agent: Agent,
    /// All the rest.
    pub stage: Stage,
}

/// The end of a link in the agent's own words.
#[derive(Debug)]
pub struct NoLink {
    /// When that was read.
    pub at: Instant,
    /// Why.
    pub why: String,
    /// Wait before the next attempt.
    pub wait_ms: u64,
    /// Where the log goes on.
    pub mark: usize,
}

impl Stage {
    /// Behind an impairing proxy.
    pub async fn behind_proxy(pace: Pace) -> Result<Self> {
        let site = site(pace).await?;
        let proxy = Proxy::listen(site.cloud()?.addr(), false).await?;
        point_at(&site, "localhost", proxy.port())?;
        Ok(Self { road: Road::Proxy(proxy), site, pace })
    }

    /// Behind an HTTP proxy that understands `CONNECT`, and that can be impaired as well.
    pub async fn behind_connect(pace: Pace) -> Result<Self> {
        let mut site = site(pace).await?;
        let address = site.cloud()?.addr();
        move_cloud(&mut site, address, FAR_NAME).await?;
        let proxy = Proxy::listen(address, true).await?;
        point_at(&site, FAR_NAME, 443)?;
        let table = format!("proxy = {{ host = \"127.0.0.1\", port = {} }}\n", proxy.port());
        add_to_cloud_table(&site, &table)?;
        Ok(Self { road: Road::Proxy(proxy), site, pace })
    }

    /// In namespaces of its own.
    pub async fn in_namespaces(pace: Pace) -> Result<Self> {
        let mut site = site(pace).await?;
        let network = Network::create()?;
        let address = network.cloud_address();
        let name = address.to_string();
        let port = site.cloud()?.addr().port();
        move_cloud(&mut site, SocketAddr::from((address, port)), &name).await?;
        point_at(&site, &name, port)?;
        Ok(Self { road: Road::Network(network), site, pace })
    }

    /// The namespaces.
    pub fn network(&self) -> Result<&Network> {
        match &self.road {
            Road::Network(network) => Ok(network),
            Road::Proxy(_) => bail!("there are no namespaces here"),
        }
    }

    /// The proxy.
    pub fn proxy(&self) -> Result<&Proxy> {
        match &self.road {
            Road::Proxy(proxy) => Ok(proxy),
            Road::Network(_) => bail!("there is no proxy here"),
        }
    }

    /// Connections that the agent has tried so far, as the road has seen them.
    pub fn attempts(&self) -> Result<usize> {
        match &self.road {
            Road::Proxy(proxy) => Ok(proxy.attempts().len()),
            Road::Network(network) => network.attempts(),
        }
    }

    /// Starts the agent.
    pub fn start(self) -> Result<Scene> {
        let mut launch = self.site.launch();
        if let Road::Network(network) = &self.road {
            launch.wrapper = network.wrapper();
        }
        Ok(Scene { agent: Agent::launch(launch)?, stage: self })
    }

    /// Starts the agent and waits for its link.
    pub async fn open(self) -> Result<Scene> {
        let scene = self.start()?;
        scene.stage.says("connected", 0, Duration::from_secs(60)).await?;
        Ok(scene)
    }

    /// An operation for the terminal.
    pub async fn order(&self, kind: &str) -> Result<OperationId> {
        let new = NewOperation::new(self.site.terminal_id(), kind);
        Ok(self.site.cloud()?.create_operation(new).await?)
    }

    /// How long the agent's log is.
    pub fn mark(&self) -> Result<usize> {
        Ok(self.site.agent_log()?.len())
    }

    /// Waits for a line of the log, beyond a mark, that holds these words.
    pub async fn says(&self, words: &str, mark: usize, within: Duration) -> Result<Instant> {
        self.read(words, mark, within).await.map(|(at, ..)| at)
    }

    /// Waits for the next end of a link beyond a mark.
    pub async fn no_link(&self, mark: usize, within: Duration) -> Result<NoLink> {
        let (at, line, mark) = self.read("no link why=", mark, within).await?;
        let (why, wait_ms) = end_of_link(&line).with_context(|| line.clone())?;
        Ok(NoLink { at, why, wait_ms, mark })
    }

    /// Why links have ended beyond a mark.
    pub fn reasons(&self, mark: usize) -> Result<Vec<String>> {
        let log = self.site.agent_log()?;
        let lines = log.get(mark..).unwrap_or_default().lines();
        Ok(lines.filter_map(end_of_link).map(|(why, _)| why).collect())
    }

    async fn read(
        &self,
        words: &str,
        mark: usize,
        within: Duration,
    ) -> Result<(Instant, String, usize)> {
        let until = Instant::now() + within;
        loop {
            let log = self.site.agent_log()?;
            let mut at = mark;
            for line in log.get(mark..).unwrap_or_default().split_inclusive('\n') {
                at += line.len();
                // The last line may not be whole yet.
                if line.contains(words) && line.ends_with('\n') {
                    return Ok((Instant::now(), line.to_owned(), at));
                }
            }
            ensure!(Instant::now() < until, "not said within {within:?}: {words:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Scene {
    /// Waits until the agent says that so many reports wait to be acked.
    pub async fn unsent(&self, reports: u64, within: Duration) -> Result<()> {
        let until = Instant::now() + within;
        loop {
            let status = self.agent.ask("status")?;
            if status["unsent_reports"] == reports {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{reports} unsent reports expected: {status}");
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

async fn site(pace: Pace) -> Result<Site> {
    let site = Site::start(SiteOptions {
        heartbeat_s: pace.heartbeat_s,
        reconnect_base_ms: pace.reconnect_base_ms,
        reconnect_cap_s: pace.reconnect_cap_s,
        ..SiteOptions::default()
    })
    .await?;
    add_to_cloud_table(&site, &format!("connect-timeout-s = {}\n", pace.connect_timeout_s))?;
    Ok(site)
}

fn add_to_cloud_table(site: &Site, lines: &str) -> Result<()> {
    site.edit_config(|text| text.replacen("[cloud]\n", &format!("[cloud]\n{lines}"), 1))
}

/// Reason and wait of a line about the end of a link.
fn end_of_link(line: &str) -> Option<(String, u64)> {
    let (_, rest) = line.split_once("no link why=")?;
    let (why, rest) = rest.split_once(" was_up_ms=")?;
    let (_, wait) = rest.split_once(" wait_ms=")?;
    Some((why.to_owned(), wait.trim().parse().ok()?))
}

/// Lets the agent look for the cloud elsewhere.
fn point_at(site: &Site, host: &str, port: u16) -> Result<()> {
    let old = format!("//localhost:{}/", site.cloud()?.addr().port());
    let new = format!("//{host}:{port}/");
    site.edit_config(|text| text.replace(&old, &new))
}

/// Starts the cloud again at another address, with a certificate of this name.
async fn move_cloud(site: &mut Site, address: SocketAddr, name: &str) -> Result<()> {
    let (chain, key) = site.pki().server(&[name])?;
    site.kill_cloud().await?;
    site.edit_cloud(|config| {
        config.listen = address;
        if let Transport::Tls(tls) = &mut config.transport {
            (tls.cert_chain_pem, tls.key_pem) = (chain.into_bytes(), key.into_bytes());
        }
    })?;
    site.restart_cloud().await
}
