//! What must hold once a network is well again, whatever happened to it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use terminal_cloud::OperationStatus;
use terminal_hal::OperationId;

use crate::stage::Scene;

/// The last acks may take this long.
const ACKS: Duration = Duration::from_secs(20);

/// Waits for the verdicts of these operations, and then checks that nothing was lost and nothing
/// happened twice.
pub(crate) async fn settled(scene: &Scene, ids: &[OperationId], within: Duration) -> Result<()> {
    verdicts(scene, ids, within).await?;
    for id in ids {
        once(scene, *id).await.with_context(|| format!("operation {id}"))?;
    }
    scene.unsent(0, ACKS).await?;
    let site = &scene.stage.site;
    let gaps = site.cloud()?.gaps(site.terminal_id()).await?;
    ensure!(gaps.is_empty(), "reports are missing: {gaps:?}");
    same_process(scene)
}

/// Waits until every operation has been completed.
pub(crate) async fn verdicts(scene: &Scene, ids: &[OperationId], within: Duration) -> Result<()> {
    for id in ids {
        let cloud = scene.stage.site.cloud()?;
        let ended =
            |operation: &terminal_cloud::Operation| operation.status != OperationStatus::Pending;
        let operation = cloud.wait_operation(*id, within, ended).await?;
        ensure!(operation.status == OperationStatus::Completed, "{operation:?}");
    }
    Ok(())
}

/// The agent is the process that was started.
pub(crate) fn same_process(scene: &Scene) -> Result<()> {
    ensure!(scene.agent.starts() == 1, "the agent was started {} times", scene.agent.starts());
    Ok(())
}

/// One effect, one verdict, one report of it in the database.
async fn once(scene: &Scene, id: OperationId) -> Result<()> {
    let site = &scene.stage.site;
    let effects = site.effects_of(id)?;
    ensure!(effects == 1, "it took effect {effects} times");
    let timeline = site.cloud()?.timeline(id).await?;
    let count = |step: &str| timeline.iter().filter(|entry| entry.event == step).count();
    let reports = site.cloud()?.reports(site.terminal_id()).await?;
    let stored = reports.iter().filter(|report| report.operation_id == Some(id)).count();
    let verdicts = (stored, count("report"), count("second_verdict"));
    ensure!(verdicts == (1, 1, 0), "{verdicts:?} reports: {timeline:?}");
    ensure!(count("started") <= 1, "it was started more than once: {timeline:?}");
    Ok(())
}
