//! The main job: command in, hardware run, verdict out, nothing lost offline.

use anyhow::Result;
use serde_json::json;
use terminal_cloud::OperationStatus;
use terminal_harness::{Site, SiteOptions};

#[tokio::test(flavor = "multi_thread")]
async fn end_of_day_runs_on_the_terminal_and_its_totals_come_back() -> Result<()> {
    let site = Site::start(SiteOptions::default()).await?;
    let agent = site.start_agent()?;
    site.online().await?;
    let operation = site.run("end_of_day", json!({ "operator_id": "7" })).await?;
    assert_eq!(operation.status, OperationStatus::Completed, "{operation:?}");
    let result = operation.result.unwrap();
    for field in [
        "batch_id",
        "start_of_day_at",
        "purchases_count",
        "purchases_amount",
        "reversals_count",
        "reversals_amount",
        "sale_amount",
        "tip_amount",
        "currency",
        "outcome",
        "totals",
    ] {
        assert!(!result[field].is_null(), "{field} in {result}");
    }
    assert_eq!(site.effects_of(operation.id)?, 1);
    assert_eq!(agent.stop()?, Some(0));
    Ok(())
}
