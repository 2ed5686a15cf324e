//! Real links: the link code and the engine of the agent, over TLS, against the simulated cloud.
//!
//! The cloud is a process of its own, so that it can be killed and its costs be told from those
//! of the fleet. All terminals share this process; each has its engine, its store in memory and
//! hardware that answers at once. Nothing here decides when a terminal connects.

mod cloud;
mod observer;
mod report;
mod serve;
mod site;
mod terminal;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use terminal_core::engine::BackoffSettings;
use tokio::{sync::watch, task::JoinSet, time::Instant};

use cloud::CloudProcess;
use observer::Observer;
pub use report::Report;
pub use serve::serve;
use site::Site;
use terminal::Terminal;

/// The simulated cloud holds no more connections than 4,096.
pub const LINKS_MAX: u32 = 4_000;
/// Files beside the two ends of the links: each process holds one end.
const FILES_BESIDE: u64 = 200;
/// Nothing that works takes this long beyond the waits that were asked for.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is done to whom.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Terminals.
    pub links: u32,
    /// How the cloud goes.
    pub restart: Restart,
    /// Least time without a cloud; longer when creating the operations takes longer.
    pub outage: Duration,
    /// Whether the cloud refuses links at first when it is back.
    pub unavailable: Option<Unavailable>,
    /// Settings of every terminal.
    pub backoff: BackoffSettings,
    /// Of the terminals' randomness.
    pub seed: u64,
    /// The program `terminal-storm`, which is also the cloud.
    pub program: PathBuf,
}

/// How the cloud goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// By SIGKILL.
    Crash,
    /// It sends `reconnect`, waits until all links are closed, and stops.
    Planned {
        /// Least wait.
        after_s: u32,
        /// Random addition.
        spread_s: u32,
    },
}

/// 503 to everybody, for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// For so long after the return.
    pub lasts: Duration,
    /// What it says.
    pub retry_after_s: u32,
}

/// Runs a storm to its end.
///
/// # Errors
/// When a terminal does not come back, or an operation is not carried out exactly once; never
/// because it is slow.
pub async fn run(plan: &Plan) -> Result<Report> {
    let links = plan.links;
    ensure!((1..=LINKS_MAX).contains(&links), "got {links} links, want 1 to {LINKS_MAX}");
    raise_file_limit(u64::from(links) + FILES_BESIDE)?;
    let site = Site::create(links)?;
    let mut cloud = CloudProcess::start(&plan.program, &site).await?;
    let (world, mut observer) = Observer::new(links);
    let (stop, stopped) = watch::channel(false);
    let mut fleet = JoinSet::new();
    for number in 0..links {
        let terminal = Terminal::new(plan, &site, number, world.clone())?;
        fleet.spawn(terminal.run(stopped.clone()));
    }
    observer.until("the fleet to be up", PATIENCE, Observer::all_linked).await?;

    let first_link_ms = observer.last_welcome_ms();
    let loss = Instant::now();
    let loss_ms = world.now_ms();
    match plan.restart {
        Restart::Crash => cloud.kill().await?,
        Restart::Planned { after_s, spread_s } => {
            cloud.order(&format!("reconnect {after_s} {spread_s}")).await?;
            observer.until("all links to be closed", PATIENCE, Observer::none_linked).await?;
            cloud.stop().await?;
        }
    }
    let operations = site.create_operations().await?;
    tokio::time::sleep_until(loss + plan.outage).await;
    let mut cloud = CloudProcess::start(&plan.program, &site).await?;
    let return_ms = world.now_ms();
    if let Some(Unavailable { lasts, retry_after_s }) = plan.unavailable {
        cloud.order(&format!("unavailable {retry_after_s}")).await?;
        tokio::time::sleep(lasts).await;
        cloud.order("clear").await?;
    }
    let longest_wait = longest_wait(plan);
    observer.until("everything to settle", longest_wait + PATIENCE, Observer::all_settled).await?;
    let cost = cloud.cost()?;
    stop.send_replace(true);
    let mut runs = Vec::new();
    while let Some(ended) = fleet.join_next().await {
        runs.push(ended.context("a terminal has died")??);
    }
    cloud.stop().await?;
    site.check(&operations, &runs).await?;
    let times = report::Times { first_link_ms, loss_ms, return_ms };
    Ok(Report::new(plan, times, observer.into_notes(), cost))
}

/// A terminal that has just failed when the cloud is ready waits no longer than this.
fn longest_wait(plan: &Plan) -> Duration {
    let asked = match plan.restart {
        Restart::Crash => 0,
        Restart::Planned { after_s, spread_s } => after_s + spread_s,
    };
    let refused = plan.unavailable.map_or(0, |unavailable| unavailable.retry_after_s * 3 / 2);
    Duration::from_secs(u64::from(asked + refused)) + Duration::from_millis(plan.backoff.cap_ms)
}

fn raise_file_limit(wanted: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(wanted <= hard, "want {wanted} open files, the hard limit is {hard}");
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}
