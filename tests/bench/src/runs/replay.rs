//! Reports that have waited for a link.

use std::time::Duration;

use anyhow::{Result, ensure};
use terminal_agent::store::{Store, StoreLimits};
use terminal_core::protocol::{AgentFrame, Seq, encode};
use terminal_hal::OperationId;

use super::{Bench, HEARTBEAT_NEVER_S, percentile};
use crate::{
    figures::{Figure, Target},
    floor::Floor,
    process,
    records::Ledger,
    terminal::Terminal,
};

/// Operations per commit while the store is filled.
const FILL: u64 = 250;
/// What 10,000 reports may take.
const TARGET_MS: f64 = 2_000.0;

/// Time from `welcome` to the last ack, and what the same frames take without an agent.
pub(super) async fn measure(bench: &mut Bench<'_>) -> Result<()> {
    let file = bench.folder.path().join("floor");
    let mut floor = Floor::start(&bench.cloud, &bench.ca_file(), &file).await?;
    let reports = bench.plan.replay;
    let bytes = {
        let report = Ledger::new().report(OperationId(uuid::Uuid::nil()));
        encode(&AgentFrame::Report(Box::new(report))).len()
    };
    let (mut times, mut floods, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..bench.plan.replays {
        let terminal = bench.terminal(&format!("replay-{n}"))?;
        fill(&terminal, reports)?;
        let (time, used) = replay(bench, &terminal, reports).await?;
        times.push(time);
        cpu.push(used);
        floods.push(floor.flood(reports, bytes).await?);
    }
    let target = TARGET_MS * super::number(reports) / 10_000.0;
    let time = percentile(&mut times, 50);
    bench.add(
        Figure::ms(format!("replay of {reports} reports of {bytes} bytes"), time)
            .floor_ms(percentile(&mut floods, 50))
            .target(Target::AtMost(target)),
    );
    bench.add(Figure::ms("– processor time of the agent", percentile(&mut cpu, 50)));
    Ok(())
}

fn fill(terminal: &Terminal, reports: u64) -> Result<()> {
    let mut store = Store::open(&terminal.store(), StoreLimits::default())?.store;
    let mut ledger = Ledger::new();
    for _ in 0..reports / FILL {
        let mut writes = vec![ledger.meta(Seq(0))];
        for _ in 0..FILL {
            let [_, verdict] = ledger.next();
            writes.extend(verdict);
        }
        store.append(&writes)?;
    }
    Ok(())
}

async fn replay(bench: &Bench<'_>, terminal: &Terminal, want: u64) -> Result<(Duration, Duration)> {
    let agent = terminal.start()?;
    let (mut link, hello, begin) = bench.cloud.welcome(HEARTBEAT_NEVER_S).await?;
    let pid = agent.pid().unwrap_or_default();
    let cpu = process::cpu(pid)?;
    ensure!(hello.outbox.last_seq.0 >= want, "{:?} waits, want {want}", hello.outbox);
    let mut expected = hello.outbox.first_seq;
    while expected <= hello.outbox.last_seq {
        for report in link.reports().await? {
            ensure!(report.seq == expected, "got report {}, want {expected}", report.seq);
            expected = expected.next();
        }
        link.ack(hello.store_epoch, Seq(expected.0 - 1)).await?;
    }
    let times = (begin.elapsed(), process::cpu(pid)? - cpu);
    agent.stop()?;
    Ok(times)
}
