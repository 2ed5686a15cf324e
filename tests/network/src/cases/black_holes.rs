//! Nothing arrives, and nobody is told.

use std::time::Duration;

use anyhow::Result;

use super::{Case, Work};
use crate::{
    figures::Figures,
    namespaces::{self, Way},
    pace::{KEEPALIVE, Pace, USER_TIMEOUT},
    proxy::Mode,
    stage::Stage,
    story::{Ends, Fault, When, befall},
};

pub(super) const CASES: [Case; 9] = [
    Case::kernel("black hole, idle", |pace| kernel(pace, When::Idle, both_ways)),
    Case::kernel("black hole, an operation runs", |pace| kernel(pace, When::Running, both_ways)),
    Case::kernel("black hole, a report waits", |pace| kernel(pace, When::Reporting, both_ways)),
    Case::kernel("black hole towards the cloud only, an operation runs", |pace| {
        kernel(pace, When::Running, to_cloud)
    }),
    Case::kernel("black hole towards the terminal only, an operation runs", |pace| {
        kernel(pace, When::Running, to_agent)
    }),
    Case::kernel("black hole, idle, heartbeat of an hour: keepalive alone", |pace| {
        Box::pin(without_heartbeats(pace, When::Idle, KEEPALIVE))
    })
    .long(),
    Case::kernel(
        "black hole, a report is written, heartbeat of an hour: TCP_USER_TIMEOUT",
        |pace| {
            Box::pin(without_heartbeats(pace, When::Running, USER_TIMEOUT + Duration::from_secs(2)))
        },
    )
    .long(),
    Case::loopback("everything is read and thrown away, idle", |pace| proxy(pace, When::Idle)),
    Case::loopback("everything is read and thrown away, an operation runs", |pace| {
        proxy(pace, When::Running)
    }),
];

/// Silence is noticed by this end, by a cloud that hears nothing either, or by the kernel where
/// something had been written; whoever is first.
const SILENT: &[&str] = &["the peer is silent", "nothing came for", "Connection timed out"];

fn fault(pace: Pace, when: When, begin: fn(&Stage) -> Result<()>) -> Fault {
    let end = |stage: &Stage| stage.network()?.mend();
    Fault { when, limit: pace.silence(), words: SILENT, begin, end, ends: Ends::AfterFailures }
}

fn kernel(pace: Pace, when: When, begin: fn(&Stage) -> Result<()>) -> Work {
    Box::pin(
        async move { befall(Stage::in_namespaces(pace).await?, fault(pace, when, begin)).await },
    )
}

fn both_ways(stage: &Stage) -> Result<()> {
    stage.network()?.fault(namespaces::Fault::BlackHole)
}

fn to_cloud(stage: &Stage) -> Result<()> {
    stage.network()?.fault(namespaces::Fault::OneWay(Way::ToCloud))
}

fn to_agent(stage: &Stage) -> Result<()> {
    stage.network()?.fault(namespaces::Fault::OneWay(Way::ToAgent))
}

/// Nothing but the kernel can notice.
async fn without_heartbeats(pace: Pace, when: When, limit: Duration) -> Result<Figures> {
    let stage = Stage::in_namespaces(Pace { heartbeat_s: 3_600, ..pace }).await?;
    let words = &["Connection timed out"];
    befall(stage, Fault { limit, words, ..fault(pace, when, both_ways) }).await
}

fn proxy(pace: Pace, when: When) -> Work {
    Box::pin(async move {
        let begin = |stage: &Stage| {
            stage.proxy()?.set(Mode::BlackHole);
            Ok(())
        };
        let end = |stage: &Stage| {
            stage.proxy()?.set(Mode::Pass);
            Ok(())
        };
        let stage = Stage::behind_proxy(pace).await?;
        befall(stage, Fault { begin, end, ..fault(pace, when, begin) }).await
    })
}
