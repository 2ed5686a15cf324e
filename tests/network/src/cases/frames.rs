//! Links that end, or fall silent, in the middle of a frame.

use std::time::Duration;

use anyhow::Result;

use super::{Case, Work};
use crate::{
    namespaces::Way,
    pace::Pace,
    proxy::Mode,
    stage::Stage,
    story::{Ends, Fault, When, befall},
};

pub(super) const CASES: [Case; 4] = [
    Case::loopback("reset in the middle of a dispatch", |pace| {
        reset(pace, When::Dispatch, |stage| set(stage, Mode::HalfThenReset(Way::ToAgent)))
    }),
    Case::loopback("reset in the middle of a frame of the terminal, an operation runs", |pace| {
        reset(pace, When::Running, |stage| set(stage, Mode::HalfThenReset(Way::ToCloud)))
    }),
    Case::loopback("half a dispatch, and then nothing", |pace| {
        silence(pace, When::Dispatch, |stage| set(stage, Mode::Half(Way::ToAgent)))
    }),
    Case::loopback("half a frame of the terminal, and then nothing, an operation runs", |pace| {
        silence(pace, When::Running, |stage| set(stage, Mode::Half(Way::ToCloud)))
    }),
];

fn set(stage: &Stage, mode: Mode) -> Result<()> {
    stage.proxy()?.set(mode);
    Ok(())
}

/// By half a heartbeat there is a ping, if nothing else.
fn reset(pace: Pace, when: When, begin: fn(&Stage) -> Result<()>) -> Work {
    let limit = Duration::from_millis(u64::from(pace.heartbeat_s) * 500);
    once(pace, Fault { limit, words: &["Connection reset"], ..fault(pace, when, begin) })
}

fn silence(pace: Pace, when: When, begin: fn(&Stage) -> Result<()>) -> Work {
    once(pace, fault(pace, when, begin))
}

fn fault(pace: Pace, when: When, begin: fn(&Stage) -> Result<()>) -> Fault {
    let words = &["the peer is silent", "nothing came for"];
    let end = |_: &Stage| Ok(());
    Fault { when, limit: pace.silence(), words, begin, end, ends: Ends::AtOnce }
}

fn once(pace: Pace, fault: Fault) -> Work {
    Box::pin(async move { befall(Stage::behind_proxy(pace).await?, fault).await })
}
