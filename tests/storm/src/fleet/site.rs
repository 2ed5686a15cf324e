//! A folder with everything that a fleet and its cloud need, and the cloud's books.
//!
//! The books can be opened while no cloud serves the terminals: on another port, which they do
//! not know. So operations are dispatched during the outage, and checked after the end.

use std::{
    collections::BTreeMap,
    fs,
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tempfile::TempDir;
use terminal_agent::link::{LinkConfig, LinkUrl, Timeouts, Trust};
use terminal_cloud::{Cloud, CloudConfig, NewOperation, OperationStatus, Pki, Registry, Transport};
use terminal_hal::OperationId;

const ACCOUNT: &str = "P11223351";
/// A kind that the hardware can do at once, without holding payments.
pub(super) const OPERATION: &str = "check_update";
/// Lowest port that a cloud may get.
const PORT_MIN: u16 = 10_000;

/// How often each operation has run on one terminal.
pub(super) type Runs = BTreeMap<OperationId, u32>;

pub(super) struct Site {
    directory: TempDir,
    pub(super) port: u16,
    _reserved: UdpSocket,
    /// By number of the terminal.
    pub(super) terminal_ids: Vec<String>,
}

impl Site {
    /// Makes certificates, and registers so many terminals.
    pub(super) fn create(links: u32) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path();
        let pki = Pki::create()?;
        let (certificate, key) = pki.server(&["localhost", "127.0.0.1"])?;
        fs::write(path.join("ca.pem"), pki.ca_pem())?;
        fs::write(path.join("server.pem"), certificate)?;
        fs::write(path.join("server.key"), key)?;
        let registry = Registry::open(&path.join("data"))?;
        let mut terminal_ids = Vec::new();
        for number in 0..links {
            let terminal =
                registry.create_terminal(ACCOUNT, &serial_number(number), "S1", "storm")??;
            fs::write(path.join(format!("token-{number}")), terminal.token)?;
            terminal_ids.push(terminal.terminal_id);
        }
        let (port, reserved) = free_port()?;
        Ok(Self { directory, port, _reserved: reserved, terminal_ids })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// How a terminal reaches the cloud. By address: resolving a name thousands of times would
    /// measure the threads that do it.
    pub(super) fn link_config(&self, number: u32) -> Result<LinkConfig> {
        let file = |name: &str| -> PathBuf { self.path().join(name) };
        Ok(LinkConfig {
            url: LinkUrl::parse(&format!("wss://127.0.0.1:{}/v1/terminal/ws", self.port), false)?,
            trust: Some(Trust { ca_file: file("ca.pem"), crl_file: None }),
            identity: None,
            token_file: Some(file(&format!("token-{number}"))),
            proxy: None,
            timeouts: Timeouts::default(),
        })
    }

    /// One operation for each terminal; those of a cloud that is away.
    pub(super) async fn create_operations(&self) -> Result<Vec<OperationId>> {
        let cloud = self.books().await?;
        let new = self.terminal_ids.iter().map(|id| NewOperation::new(id, OPERATION));
        let operations = try_join_all(new.map(|new| cloud.create_operation(new))).await;
        cloud.stop().await;
        Ok(operations?)
    }

    /// Every operation has run once, on its terminal, and has one verdict.
    pub(super) async fn check(
        &self,
        operations: &[OperationId],
        runs: &[(u32, Runs)],
    ) -> Result<()> {
        ensure!(runs.len() == operations.len(), "{} terminals have ended", runs.len());
        let cloud = self.books().await?;
        for (number, runs) in runs {
            let index = *number as usize;
            let (id, terminal_id) = (operations[index], &self.terminal_ids[index]);
            ensure!(*runs == Runs::from([(id, 1)]), "{terminal_id} ran {runs:?}, want {id} once");
            let status = cloud.operation(id).await?.status;
            ensure!(status == OperationStatus::Completed, "{terminal_id}: {id} is {status:?}");
            let reports = cloud.reports(terminal_id).await?;
            let verdicts = reports.iter().filter(|report| report.operation_id == Some(id)).count();
            ensure!(verdicts == 1, "{terminal_id}: {verdicts} verdicts of {id}");
        }
        cloud.stop().await;
        Ok(())
    }

    async fn books(&self) -> Result<Cloud> {
        let config = CloudConfig::new(self.path().join("data"), Transport::PlainHttp);
        Cloud::start(config).await.context("opening the books")
    }
}

pub(super) fn serial_number(number: u32) -> String {
    format!("{number:012}")
}

/// A free port that no outgoing connection can have: while nobody listens on it, a terminal that
/// tries to connect might otherwise be given it for its own end, and reach itself. The datagram
/// socket keeps other fleets from it meanwhile, and is in nobody's way.
fn free_port() -> Result<(u16, UdpSocket)> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")?;
    let outgoing: u16 = range.split_whitespace().next().context("no port range")?.parse()?;
    let free = |port: u16| {
        let reserved = UdpSocket::bind(("127.0.0.1", port)).ok()?;
        TcpListener::bind(("127.0.0.1", port)).is_ok().then_some((port, reserved))
    };
    (PORT_MIN..outgoing).find_map(free).context("no port is free")
}
