//! How the cases go: a fault, what the agent makes of it, and the end of the fault.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use terminal_cloud::FaultSwitches;
use terminal_hal::OperationId;

use crate::{
    figures::Figures,
    pace::SLACK,
    proxy::Mode,
    settled::{same_process, settled, verdicts},
    stage::{NoLink, Scene, Stage},
};

/// How long the hardware needs for the operation that a fault meets.
const WORK_MS: u64 = 1_500;
/// What must come soon comes within this.
const SOON: Duration = Duration::from_secs(60);
/// Longest time until a network that is well again has brought every verdict.
const BACK_MAX: Duration = Duration::from_secs(120);
/// Least wait after a refusal.
const REFUSED_MS: u64 = 60_000;

/// What a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A link on which nothing is to be done.
    Idle,
    /// An operation that runs, and ends while the fault lasts.
    Running,
    /// A report that has been sent and is not acked.
    Reporting,
    /// The frame that brings an operation.
    Dispatch,
}

/// A fault that befalls a link.
pub struct Fault {
    /// What it meets.
    pub when: When,
    /// How soon it must be noticed, by the documented deadlines.
    pub limit: Duration,
    /// One of these must be in the reason that the agent gives.
    pub words: &'static [&'static str],
    /// Makes it.
    pub begin: fn(&Stage) -> Result<()>,
    /// Ends it.
    pub end: fn(&Stage) -> Result<()>,
    /// When it ends.
    pub ends: Ends,
}

/// When a fault ends, once it has been noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// It has befallen the link of before, and nothing else.
    AtOnce,
    /// After as many failed attempts as the pace wants.
    AfterFailures,
    /// In the middle of a wait of at least so many milliseconds, which must not be waited out.
    InAWait(u64),
}

/// A fault befalls a link: it is noticed in time, and everything comes through afterwards.
pub async fn befall(stage: Stage, fault: Fault) -> Result<Figures> {
    let scene = stage.open().await?;
    befallen(&scene, fault).await.with_context(|| log_of(&scene))
}

async fn befallen(scene: &Scene, fault: Fault) -> Result<Figures> {
    let (mut ids, mark) = (meet(scene, fault.when).await?, scene.stage.mark()?);
    let (attempts, begun) = (scene.stage.attempts()?, Instant::now());
    (fault.begin)(&scene.stage)?;
    if fault.when == When::Dispatch {
        ids.push(scene.stage.order("end_of_day").await?);
    }
    let lost = scene.stage.no_link(mark, fault.limit + SLACK).await?;
    let noticed = lost.at - begun;
    named(scene, &lost, fault.words)?;
    withhold_acks(scene, false).await?;
    ids.push(scene.stage.order("lock").await?);
    let back_max = match fault.ends {
        Ends::AtOnce => BACK_MAX,
        Ends::AfterFailures => {
            fail_again(scene, lost.mark).await?;
            BACK_MAX
        }
        Ends::InAWait(ms) => long_wait(scene, lost.mark, ms).await?,
    };
    let ended = Instant::now();
    (fault.end)(&scene.stage)?;
    verdicts(scene, &ids, back_max).await?;
    let back = ended.elapsed();
    let attempts = calm(scene, mark, attempts, begun)?;
    settled(scene, &ids, SOON).await?;
    Ok(Figures {
        noticed: Some(noticed),
        limit: Some(fault.limit),
        reason: lost.why,
        back: Some(back),
        attempts,
        ..Figures::default()
    })
}

/// A fault that lasts from the beginning.
pub struct Burden {
    /// Makes it.
    pub begin: fn(&Stage) -> Result<()>,
    /// Ends it.
    pub end: fn(&Stage) -> Result<()>,
    /// How long the link must stay once the operations are done; none where it may break at any
    /// time.
    pub stays: Option<Duration>,
}

/// A link is made in spite of everything, operations are done, and the link stays.
pub async fn endure(stage: Stage, burden: Burden) -> Result<Figures> {
    (burden.begin)(&stage)?;
    let scene = stage.start()?;
    endured(&scene, burden).await.with_context(|| log_of(&scene))
}

async fn endured(scene: &Scene, burden: Burden) -> Result<Figures> {
    let begun = Instant::now();
    let mut ids = Vec::new();
    for kind in ["end_of_day", "lock", "unlock"] {
        ids.push(scene.stage.order(kind).await?);
        verdicts(scene, &ids, BACK_MAX).await?;
    }
    let under = begun.elapsed();
    if let Some(stays) = burden.stays {
        tokio::time::sleep(stays).await;
        let broken = scene.stage.reasons(0)?;
        ensure!(broken.is_empty(), "the link broke: {broken:?}");
    }
    (burden.end)(&scene.stage)?;
    let attempts = calm(scene, 0, 0, begun)?;
    settled(scene, &ids, BACK_MAX).await?;
    Ok(Figures { under: Some(under), attempts, ..Figures::default() })
}

/// Whoever answers instead of the cloud, or nobody.
pub struct Instead {
    /// Makes it.
    pub mode: fn(&Stage) -> Result<Mode>,
    /// How soon it must be given up, by the documented deadlines.
    pub limit: Duration,
    /// What must be in the reason that the agent gives.
    pub words: &'static str,
    /// Whether trying again soon is of no use, by the protocol.
    pub refused: bool,
}

/// A link breaks while an operation runs, and then somebody else answers.
pub async fn answer(stage: Stage, instead: Instead) -> Result<Figures> {
    let mode = (instead.mode)(&stage)?;
    let scene = stage.open().await?;
    answered(&scene, instead, mode).await.with_context(|| log_of(&scene))
}

async fn answered(scene: &Scene, instead: Instead, mode: Mode) -> Result<Figures> {
    let mut ids = meet(scene, When::Running).await?;
    let (stage, mark) = (&scene.stage, scene.stage.mark()?);
    let (attempts, begun) = (stage.attempts()?, Instant::now());
    stage.proxy()?.set(mode);
    stage.proxy()?.cut();
    let cut = stage.no_link(mark, SOON).await?;
    let lost = stage.no_link(cut.mark, instead.limit + stage.pace.window(1) + SLACK).await?;
    // Where nobody listens nobody has seen it.
    let seen = stage.proxy()?.attempts().get(attempts).copied();
    let tried = seen.unwrap_or(cut.at + Duration::from_millis(cut.wait_ms));
    let given_up = lost.at.saturating_duration_since(tried);
    named(scene, &lost, &[instead.words])?;
    let mut figures = Figures {
        noticed: Some(given_up),
        limit: Some(instead.limit),
        reason: lost.why.clone(),
        ..Figures::default()
    };
    ensure!(given_up <= instead.limit + SLACK, "given up after {given_up:?}");
    ensure!(!instead.refused || lost.wait_ms >= REFUSED_MS, "tries again soon: {lost:?}");
    if instead.refused && !stage.pace.patient {
        rests(scene, &ids).await?;
        figures.attempts = calm(scene, mark, attempts, begun)?;
        return Ok(figures);
    }
    ids.push(stage.order("lock").await?);
    if !instead.refused {
        fail_again(scene, lost.mark).await?;
    }
    let ended = Instant::now();
    stage.proxy()?.set(Mode::Pass);
    verdicts(scene, &ids, BACK_MAX + Duration::from_millis(lost.wait_ms)).await?;
    figures.back = Some(ended.elapsed());
    figures.attempts = calm(scene, mark, attempts, begun)?;
    settled(scene, &ids, SOON).await?;
    Ok(figures)
}

/// Brings about what a fault is to meet.
async fn meet(scene: &Scene, when: When) -> Result<Vec<OperationId>> {
    let (site, stage) = (&scene.stage.site, &scene.stage);
    match when {
        When::Idle | When::Dispatch => Ok(Vec::new()),
        When::Running => {
            site.script(&json!({ "methods": { "close_batch": { "latency_ms": WORK_MS } } }))?;
            let id = stage.order("end_of_day").await?;
            site.cloud()?.wait_timeline(id, "started", 1, SOON).await?;
            Ok(vec![id])
        }
        When::Reporting => {
            withhold_acks(scene, true).await?;
            let id = stage.order("end_of_day").await?;
            site.cloud()?.wait_timeline(id, "report", 1, SOON).await?;
            scene.unsent(1, SOON).await?;
            Ok(vec![id])
        }
    }
}

/// For whoever has to find out why a case failed.
pub(crate) fn log_of(scene: &Scene) -> String {
    format!("the agent logged:\n{}", scene.stage.site.agent_log().unwrap_or_default())
}

async fn withhold_acks(scene: &Scene, withhold_acks: bool) -> Result<()> {
    let withhold_acks = Some(withhold_acks);
    scene.stage.site.faults(FaultSwitches { withhold_acks, ..Default::default() }).await
}

/// The reason has the right words, and `status` tells people what the log tells.
fn named(scene: &Scene, lost: &NoLink, words: &[&str]) -> Result<()> {
    let right = words.iter().any(|word| lost.why.contains(word));
    ensure!(right, "{:?} does not name one of {words:?}", lost.why);
    let (status, shown) = (scene.agent.ask("status")?, scene.agent.show("status")?);
    // The next failure may have come meanwhile, or the next link.
    let mut ends = vec![lost.why.clone()];
    ends.extend(scene.stage.reasons(lost.mark)?);
    let told = status["last_link_end"].as_str().unwrap_or_default();
    ensure!(ends.iter().any(|end| end == told), "{told:?} is not among {ends:?}");
    let named = ends.iter().any(|end| shown.contains(end)) || shown.contains("up for");
    ensure!(named, "{shown}");
    Ok(())
}

/// Waits for as many more failures as the pace wants.
async fn fail_again(scene: &Scene, mut mark: usize) -> Result<()> {
    for _ in 0..scene.stage.pace.more_failures {
        mark = scene.stage.no_link(mark, SOON).await?.mark;
    }
    Ok(())
}

/// Waits until the agent has begun to wait for at least so many milliseconds.
async fn long_wait(scene: &Scene, mut mark: usize, ms: u64) -> Result<Duration> {
    let until = Instant::now() + BACK_MAX;
    loop {
        let lost = scene.stage.no_link(mark, SOON).await?;
        if lost.wait_ms >= ms {
            return Ok(Duration::from_millis(lost.wait_ms));
        }
        ensure!(Instant::now() < until, "no wait of {ms} ms, the last was of {}", lost.wait_ms);
        mark = lost.mark;
    }
}

/// After a refusal: the operation has ended, its report waits, and nobody tries again.
async fn rests(scene: &Scene, ids: &[OperationId]) -> Result<()> {
    scene.unsent(ids.len() as u64, SOON).await?;
    for id in ids {
        let effects = scene.stage.site.effects_of(*id)?;
        ensure!(effects == 1, "operation {id} took effect {effects} times");
    }
    let status = scene.agent.ask("status")?;
    ensure!(status["link"]["state"] == "waiting", "{status}");
    same_process(scene)
}

/// How often a link was tried since the fault began: no more often than the backoff explains.
fn calm(scene: &Scene, mark: usize, before: usize, begun: Instant) -> Result<usize> {
    let stage = &scene.stage;
    // Where connections are refused there is nothing for the road to count.
    let attempts = (stage.attempts()? - before).max(stage.reasons(mark)?.len());
    let most = stage.pace.attempts_max(begun.elapsed());
    ensure!(attempts <= most, "{attempts} attempts within {:?}", begun.elapsed());
    Ok(attempts)
}
