//! A burst: what comes together is committed together.

use std::time::Duration;

use anyhow::{Result, ensure};
use terminal_core::protocol::ReportBody;
use tokio::time::Instant;

use super::{Bench, Idle, number, percentile};
use crate::{
    figures::{Figure, Target},
    process,
    records::{self, FEW_KEPT_MS},
};

/// Time, commits and bytes of a burst.
pub(super) async fn measure(bench: &mut Bench<'_>, idle: &mut Idle) -> Result<()> {
    let plan = bench.plan;
    let before = [idle.store_counter("commits")?, idle.store_counter("syncs")?];
    let written = process::written(idle.pid()?)?;
    let mut times = Vec::new();
    for _ in 0..plan.bursts {
        times.push(burst(idle, plan.burst).await?);
        idle.link.idle(Duration::from_millis(200)).await?;
    }
    let operations = number((plan.burst * plan.bursts).try_into()?);
    let per_operation = |after: u64, before: u64| number(after - before) / operations;
    let commits = per_operation(idle.store_counter("commits")?, before[0]);
    let syncs = per_operation(idle.store_counter("syncs")?, before[1]);
    let bytes = per_operation(process::written(idle.pid()?)?, written) / 1e3;
    let name = format!("{} operations at once, median", plan.burst);
    bench.add(Figure::ms(name, percentile(&mut times, 50)));
    bench.add(Figure::new("– commits per operation", commits, ""));
    bench.add(Figure::new("– flushes per operation", syncs, "").target(Target::AtMost(2.0)));
    bench.add(Figure::new("– written per operation", bytes, "kB"));
    Ok(())
}

async fn burst(idle: &mut Idle, count: usize) -> Result<Duration> {
    let frames: Vec<_> = (0..count).map(|_| records::operation(FEW_KEPT_MS)).collect();
    let begin = Instant::now();
    idle.link.send_all(&frames).await?;
    let mut verdicts = 0;
    while verdicts < count {
        let reports = idle.link.reports().await?;
        verdicts += reports.iter().filter(|r| matches!(r.body, ReportBody::Operation(_))).count();
        if let Some(last) = reports.last() {
            idle.link.ack(last.store_epoch, last.seq).await?;
        }
    }
    let time = begin.elapsed();
    ensure!(verdicts == count, "got {verdicts} verdicts, want {count}");
    Ok(time)
}
