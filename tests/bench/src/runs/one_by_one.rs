//! One operation at a time: how long each takes, and how many per second.

use std::time::Duration;

use anyhow::Result;
use terminal_agent::store::{Store, StoreLimits};
use terminal_core::protocol::{Report, encode};
use tokio::time::Instant;

use super::{Bench, Idle, mean, percentile};
use crate::{
    cloud::Link,
    figures::{Figure, Target},
    floor::Floor,
    records::{self, FEW_KEPT_MS, Ledger},
};

/// Between two operations whose latency is measured.
const PAUSE: Duration = Duration::from_millis(3);
/// What the two commits of an operation hold, in bytes: the floor appends as much.
const COMMITS: [usize; 2] = [700, 1_200];

#[derive(Default)]
struct Samples {
    echo: Vec<Duration>,
    echo_and_commits: Vec<Duration>,
    store_commits: Vec<Duration>,
    latency: Vec<Duration>,
    sequential: Duration,
    operations: usize,
}

/// Latency and rate, in turns with their floors.
pub(super) async fn measure(bench: &mut Bench<'_>, idle: &mut Idle) -> Result<()> {
    let file = bench.folder.path().join("floor");
    let mut floor = Floor::start(&bench.cloud, &bench.ca_file(), &file).await?;
    let limits = StoreLimits::default();
    let mut store = Store::open(&bench.folder.path().join("floor-store"), limits)?.store;
    let mut ledger = Ledger::new();
    let (asked, answered) = frame_bytes(&mut idle.link).await?;
    let plan = bench.plan;
    let mut samples = Samples::default();
    for _ in 0..plan.rounds {
        for _ in 0..plan.paced {
            samples.echo.push(floor.round_trip(asked, answered, &[]).await?);
            samples.echo_and_commits.push(floor.round_trip(asked, answered, &COMMITS).await?);
            samples.latency.push(one(&mut idle.link, FEW_KEPT_MS).await?.0);
            idle.link.idle(PAUSE).await?;
        }
        for _ in 0..plan.sequential / 2 {
            let begin = Instant::now();
            for commit in ledger.next() {
                store.append(&commit)?;
            }
            samples.store_commits.push(begin.elapsed());
        }
        let begin = Instant::now();
        for _ in 0..plan.sequential {
            one(&mut idle.link, FEW_KEPT_MS).await?;
        }
        samples.sequential += begin.elapsed();
        samples.operations += plan.sequential;
    }
    add_latency(bench, &mut samples);
    add_rate(bench, &samples);
    Ok(())
}

/// Dispatches one, waits for its report, acknowledges that.
pub(super) async fn one(link: &mut Link, kept_ms: u64) -> Result<(Duration, Report)> {
    let operation = records::operation(kept_ms);
    let begin = Instant::now();
    link.send(&operation).await?;
    let report = link.report().await?;
    let latency = begin.elapsed();
    link.ack(report.store_epoch, report.seq).await?;
    Ok((latency, report))
}

/// Bytes of a dispatch and of the report about it.
pub(super) async fn frame_bytes(link: &mut Link) -> Result<(usize, usize)> {
    let (_, report) = one(link, FEW_KEPT_MS).await?;
    let report = terminal_core::protocol::AgentFrame::Report(Box::new(report));
    Ok((encode(&records::operation(FEW_KEPT_MS)).len(), encode(&report).len()))
}

fn add_latency(bench: &mut Bench<'_>, samples: &mut Samples) {
    for percent in [50, 99] {
        let latency = percentile(&mut samples.latency, percent);
        let both = percentile(&mut samples.echo_and_commits, percent);
        let echo = percentile(&mut samples.echo, percent);
        let name = format!("dispatch → report, p{percent}");
        bench.add(Figure::ms(name, latency).floor_ms(both));
        bench.add(Figure::ms(format!("– bare echo over the same TLS, p{percent}"), echo));
    }
}

fn add_rate(bench: &mut Bench<'_>, samples: &Samples) {
    let rate = samples.operations as f64 / samples.sequential.as_secs_f64();
    let (echo, commits) = (mean(&samples.echo), mean(&samples.store_commits));
    let allowed = 1.0 / (echo + commits).as_secs_f64();
    bench.add(
        Figure::new("operations per second, one by one", rate, "/s")
            .floor(allowed)
            .target(Target::PartOfFloor(0.8)),
    );
    bench.add(Figure::ms("– two commits of the agent's store alone, mean", commits));
    let bare = mean(&samples.echo_and_commits).saturating_sub(echo);
    bench.add(Figure::ms("– two preallocated appends + fdatasync, mean", bare));
    bench.add(Figure::ms("– bare echo, mean", echo));
}

/// Dispatches so many, one after the other.
pub(super) async fn many(link: &mut Link, count: usize, kept_ms: u64) -> Result<()> {
    for _ in 0..count {
        one(link, kept_ms).await?;
    }
    Ok(())
}
