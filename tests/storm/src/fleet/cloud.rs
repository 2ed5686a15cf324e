//! The cloud's process, as the fleet's sees it: started, ordered about, killed.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use super::{
    PATIENCE,
    serve::{DONE, SUBCOMMAND},
    site::Site,
};

/// Unit of times in `/proc/PID/stat`: the same on all Linux ports.
const TICK: Duration = Duration::from_millis(10);

/// A running cloud; dropping it kills it.
pub(super) struct CloudProcess {
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Processor time, user and system.
    pub cpu: Duration,
    /// Most resident memory.
    pub memory_kb: u64,
}

impl CloudProcess {
    /// Returns once it listens.
    pub(super) async fn start(program: &Path, site: &Site) -> Result<Self> {
        let mut child = Command::new(program)
            .arg(SUBCOMMAND)
            .arg(site.path())
            .arg(site.port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let orders = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let mut cloud = Self { child, orders, answers };
        cloud.done().await.context("starting the cloud")?;
        Ok(cloud)
    }

    /// Has an order carried out.
    pub(super) async fn order(&mut self, order: &str) -> Result<()> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await?;
        self.done().await.with_context(|| format!("order {order:?} to the cloud"))
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        self.order("stop").await?;
        let status = timeout(PATIENCE, self.child.wait()).await.context("it does not stop")??;
        ensure!(status.success(), "the cloud has ended with {status}");
        Ok(())
    }

    pub(super) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// What it has used so far.
    pub(super) fn cost(&self) -> Result<Cost> {
        cost(&self.child.id().context("the cloud has ended")?.to_string())
    }

    async fn done(&mut self) -> Result<()> {
        let answer = timeout(PATIENCE, self.answers.next_line()).await.context("no answer")??;
        match answer.as_deref() {
            Some(DONE) => Ok(()),
            Some(problem) => bail!("{problem}"),
            None => bail!("it has ended"),
        }
    }
}

/// What a process has used; `pid` as `/proc` names it.
pub(super) fn cost(pid: &str) -> Result<Cost> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may hold anything, but no field behind it holds a parenthesis.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let memory = memory.and_then(|value| value.trim().strip_suffix(" kB"));
    let memory_kb = memory.context("no VmHWM")?.trim().parse()?;
    Ok(Cost { cpu: TICK * ticks.sum::<Result<u32, _>>()?, memory_kb })
}
