//! Connections that die because something about the path or its ends has changed.

use std::time::Duration;

use anyhow::Result;

use super::{Case, Work};
use crate::{
    figures::Figures,
    namespaces,
    pace::Pace,
    proxy::Mode,
    stage::Stage,
    story::{Ends, Fault, Instead, When, answer, befall},
};

pub(super) const CASES: [Case; 9] = [
    Case::kernel("packets above 600 bytes vanish, an operation runs", |pace| {
        mended(pace, When::Running, SILENT, |stage| {
            fault(stage, namespaces::Fault::LargerThan(600))
        })
    }),
    Case::kernel("packets above 600 bytes vanish, a dispatch", |pace| {
        mended(pace, When::Dispatch, SILENT, |stage| {
            fault(stage, namespaces::Fault::LargerThan(600))
        })
    }),
    Case::kernel("a NAT forgets the connection, idle", |pace| {
        passing(pace, When::Idle, SILENT, forget)
    }),
    Case::kernel("a NAT forgets the connection, an operation runs", |pace| {
        passing(pace, When::Running, SILENT, forget)
    }),
    Case::kernel("a NAT gives the connection another port, an operation runs", |pace| {
        passing(pace, When::Running, RESET, |stage| fault(stage, namespaces::Fault::Rebind))
    }),
    Case::kernel("another address, an operation runs", |pace| {
        passing(pace, When::Running, SILENT, |stage| stage.network()?.readdress())
    }),
    Case::kernel("interface down and up, an operation runs", |pace| Box::pin(down_and_up(pace))),
    Case::kernel("connections are refused by the network, an operation runs", |pace| {
        mended(pace, When::Running, RESET, |stage| fault(stage, namespaces::Fault::Refuse))
    }),
    Case::loopback("nobody listens, an operation runs", |pace| Box::pin(nobody(pace))),
];

const SILENT: &[&str] = &["the peer is silent", "nothing came for", "Connection timed out"];
const RESET: &[&str] = &["Connection reset"];

fn fault(stage: &Stage, fault: namespaces::Fault) -> Result<()> {
    stage.network()?.fault(fault)
}

fn forget(stage: &Stage) -> Result<()> {
    fault(stage, namespaces::Fault::ForgetFlows)
}

fn mend(stage: &Stage) -> Result<()> {
    stage.network()?.mend()
}

/// A fault that stays until somebody mends it.
fn mended(
    pace: Pace,
    when: When,
    words: &'static [&'static str],
    begin: fn(&Stage) -> Result<()>,
) -> Work {
    let fault =
        Fault { when, limit: pace.silence(), words, begin, end: mend, ends: Ends::AfterFailures };
    Box::pin(async move { befall(Stage::in_namespaces(pace).await?, fault).await })
}

/// A fault of which only connections of before suffer.
fn passing(
    pace: Pace,
    when: When,
    words: &'static [&'static str],
    begin: fn(&Stage) -> Result<()>,
) -> Work {
    let (limit, end) = (pace.silence(), |_: &Stage| Ok(()));
    let fault = Fault { when, limit, words, begin, end, ends: Ends::AtOnce };
    Box::pin(async move { befall(Stage::in_namespaces(pace).await?, fault).await })
}

/// The interface comes up in the middle of a long wait, which is not waited out.
async fn down_and_up(pace: Pace) -> Result<Figures> {
    let pace = Pace { reconnect_base_ms: 1_000, reconnect_cap_s: 300, ..pace };
    let fault = Fault {
        when: When::Running,
        limit: pace.silence(),
        words: SILENT,
        begin: |stage| stage.network()?.link_down(),
        end: |stage| stage.network()?.link_up(),
        ends: Ends::InAWait(8_000),
    };
    befall(Stage::in_namespaces(pace).await?, fault).await
}

async fn nobody(pace: Pace) -> Result<Figures> {
    let instead = Instead {
        mode: |_| Ok(Mode::Refuse),
        limit: Duration::ZERO,
        words: "cannot connect to",
        refused: false,
    };
    answer(Stage::behind_proxy(pace).await?, instead).await
}
