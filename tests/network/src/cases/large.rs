//! Large things on slow lines: what takes long to arrive is not silence, and holds nothing up.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use terminal_cloud::{NewOperation, OperationStatus, TimelineEntry};
use terminal_hal::{OperationId, Timestamp};

use super::Case;
use crate::{
    figures::Figures,
    namespaces::{Fault, QUEUE_TIME},
    pace::{Pace, SLACK},
    settled::{settled, verdicts},
    stage::{Scene, Stage},
    story::log_of,
};

pub(super) const CASES: [Case; 2] = [
    Case::kernel("a frame that takes longer than the silence of a peer, 9.6 kbit/s", |pace| {
        Box::pin(slow_frame(pace))
    })
    .long(),
    Case::kernel("a lock during an upload, 64 kbit/s", |pace| Box::pin(lock_during_upload(pace)))
        .long(),
];

/// What must come at all comes within this.
const PATIENCE: Duration = Duration::from_secs(150);
/// Bytes per second of 9.6 kbit/s.
const SLOW: u64 = 1_200;
/// Bytes per second of 64 kbit/s.
const MODERATE: u64 = 8_000;
/// One piece of log data.
const CHUNK: u64 = 32 << 10;
/// Time range of the logs: more than the pieces that may be on their way.
const LOGS_MS: u64 = 7 * 86_400_000;

/// A configuration that is as large as it must be to need longer than a silent peer is given.
async fn slow_frame(pace: Pace) -> Result<Figures> {
    let scene = Stage::in_namespaces(pace).await?.open().await?;
    frame(&scene).await.with_context(|| log_of(&scene))
}

async fn frame(scene: &Scene) -> Result<Figures> {
    let (stage, site) = (&scene.stage, &scene.stage.site);
    let bytes = (stage.pace.silence() + SLACK).as_secs() * SLOW;
    stage.network()?.fault(Fault::Slow(9_600))?;
    let begun = Instant::now();
    let padding = "x".repeat(usize::try_from(bytes)?);
    let configuration = Map::from_iter([("padding".to_owned(), Value::from(padding))]);
    site.cloud()?.set_configuration(site.terminal_id(), configuration).await?;
    site.cloud()?.wait_reports(site.terminal_id(), 1, PATIENCE).await?;
    let under = begun.elapsed();
    let broken = stage.reasons(0)?;
    ensure!(broken.is_empty(), "the link broke: {broken:?}");
    stage.network()?.mend()?;
    settled(scene, &[], PATIENCE).await?;
    Ok(Figures { under: Some(under), attempts: stage.attempts()?, ..Figures::default() })
}

/// Waits until log data flows.
async fn uploading(scene: &Scene, id: OperationId) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let timeline = scene.stage.site.cloud()?.timeline(id).await?;
        let of_upload = |entry: &&TimelineEntry| entry.detail["phase"] == "uploading";
        let told = timeline.iter().rfind(of_upload);
        if told.is_some_and(|entry| entry.detail["percent"].as_u64() > Some(0)) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "no log data: {timeline:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Frames wait for the piece of log data that is being sent, and for no other.
async fn lock_during_upload(pace: Pace) -> Result<Figures> {
    let Pace { heartbeat_s, .. } = Pace::long();
    let stage = Stage::in_namespaces(Pace { heartbeat_s, ..pace }).await?;
    let scene = stage.open().await?;
    lock(&scene).await.with_context(|| log_of(&scene))
}

async fn lock(scene: &Scene) -> Result<Figures> {
    let (stage, site) = (&scene.stage, &scene.stage.site);
    stage.network()?.fault(Fault::Slow(64_000))?;
    let mut logs = NewOperation::new(site.terminal_id(), "send_logs");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let to = Timestamp::from_unix_ms(u64::try_from(now.as_millis())?);
    let from = Timestamp::from_unix_ms(to.unix_ms() - LOGS_MS);
    logs.parameters = json!({ "from": from, "to": to }).as_object().cloned().unwrap_or_default();
    let logs = site.cloud()?.create_operation(logs).await?;
    uploading(scene, logs).await?;
    let begun = Instant::now();
    let id = stage.order("lock").await?;
    verdicts(scene, &[id], PATIENCE).await?;
    let under = begun.elapsed();
    let pending = site.cloud()?.operation(logs).await?.status == OperationStatus::Pending;
    ensure!(pending, "the upload was over before the lock");
    // The piece that is being sent, one more in the kernel, and a full queue of the network.
    let limit = Duration::from_secs(2 * CHUNK / MODERATE) + QUEUE_TIME;
    ensure!(under <= limit + SLACK, "the lock took {under:?}");
    stage.network()?.mend()?;
    settled(scene, &[id], PATIENCE).await?;
    verdicts(scene, &[logs], PATIENCE).await?;
    Ok(Figures {
        limit: Some(limit),
        under: Some(under),
        attempts: stage.attempts()?,
        ..Figures::default()
    })
}
