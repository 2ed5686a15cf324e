//! Networks that lose much, carry little or take long: everything works, and takes its time.

use std::time::Duration;

use anyhow::Result;

use super::{Case, Work};
use crate::{
    namespaces::Fault,
    pace::Pace,
    proxy::Mode,
    stage::Stage,
    story::{Burden, endure},
};

pub(super) const CASES: [Case; 4] = [
    // A link may break under such a loss; with the heartbeat of a shipped terminal it seldom does.
    Case::kernel("30 % of the packets are lost, both ways", |pace| {
        let begin = |stage: &Stage| stage.network()?.fault(Fault::Loss(30));
        kernel(as_shipped(pace), Burden { begin, end: mend, stays: None })
    }),
    Case::kernel("9.6 kbit/s", |pace| {
        let begin = |stage: &Stage| stage.network()?.fault(Fault::Slow(9_600));
        kernel(pace, Burden { begin, end: mend, stays: Some(pace.silence()) })
    }),
    Case::loopback("2 s of latency each way", |pace| {
        let begin = |stage: &Stage| set(stage, Mode::Late(Duration::from_secs(2)));
        proxy(pace, Burden { begin, end: pass, stays: Some(pace.silence()) })
    }),
    Case::loopback("byte by byte, 2 ms apart, both ways", |pace| {
        let begin = |stage: &Stage| set(stage, Mode::Trickle(Duration::from_millis(2)));
        proxy(as_shipped(pace), Burden { begin, end: pass, stays: Some(pace.silence()) })
    }),
];

/// The heartbeat and the connect timeout of a shipped terminal, which leave room for slowness.
fn as_shipped(pace: Pace) -> Pace {
    let Pace { heartbeat_s, connect_timeout_s, .. } = Pace::long();
    Pace { heartbeat_s, connect_timeout_s, ..pace }
}

fn kernel(pace: Pace, burden: Burden) -> Work {
    Box::pin(async move { endure(Stage::in_namespaces(pace).await?, burden).await })
}

fn mend(stage: &Stage) -> Result<()> {
    stage.network()?.mend()
}

fn proxy(pace: Pace, burden: Burden) -> Work {
    Box::pin(async move { endure(Stage::behind_proxy(pace).await?, burden).await })
}

fn set(stage: &Stage, mode: Mode) -> Result<()> {
    stage.proxy()?.set(mode);
    Ok(())
}

fn pass(stage: &Stage) -> Result<()> {
    set(stage, Mode::Pass)
}
