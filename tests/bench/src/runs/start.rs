//! From the start of the process to `hello`.

use anyhow::Result;
use tokio::time::Instant;

use super::{Bench, HEARTBEAT_NEVER_S, QUIET, percentile};
use crate::{figures::Figure, terminal::Terminal};

/// Starts on the store that the other runs have filled, and on none.
pub(super) async fn measure(bench: &mut Bench<'_>, terminal: &Terminal) -> Result<()> {
    let mut filled = Vec::new();
    let mut empty = Vec::new();
    for n in 0..bench.plan.starts {
        filled.push(start(bench, terminal).await?);
        let new = bench.terminal(&format!("new-{n}"))?;
        empty.push(start(bench, &new).await?);
    }
    let name = format!("start → hello, new store, median of {}", bench.plan.starts);
    bench.add(Figure::ms(name, percentile(&mut empty, 50)));
    bench.add(Figure::ms("– store after all runs above", percentile(&mut filled, 50)));
    Ok(())
}

async fn start(bench: &Bench<'_>, terminal: &Terminal) -> Result<std::time::Duration> {
    let begin = Instant::now();
    let agent = terminal.start()?;
    let (mut link, _, at) = bench.cloud.welcome(HEARTBEAT_NEVER_S).await?;
    link.drain(QUIET).await?;
    agent.stop()?;
    Ok(at - begin)
}
