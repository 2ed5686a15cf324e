//! The limits of the known settings hold at every terminal, whatever its application thinks of them.

mod support;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use support::device::{Device, result};

#[tokio::test(flavor = "multi_thread")]
async fn settings_beyond_their_limits_never_reach_an_application_that_would_take_them() -> Result<()>
{
    let Some(python) = support::python_app()? else { return Ok(()) };
    // It checks no lengths.
    let device = Device::with_app(python, &json!({}), None).await?;
    let site = &device.site;
    site.online().await?;
    let idle = |chars: usize| json!({ "display": { "idleMessage": "å".repeat(chars) } });

    let config = idle(61).as_object().cloned().unwrap_or_default();
    site.cloud()?.set_configuration(site.terminal_id(), config).await?;
    let answered = |terminal: &terminal_cloud::Terminal| terminal.config_report.is_some();
    let patience = Duration::from_secs(20);
    let report = site.cloud()?.wait_terminal(site.terminal_id(), patience, answered).await?;
    let report = report.config_report.unwrap_or_default();
    assert_eq!(
        (&report["status"], &report["errors"][0]["code"]),
        (&json!("REJECTED"), &json!("TOO_LONG"))
    );

    let fits = json!({ "revision": 2, "config": idle(60) });
    assert_eq!(result(&site.run("configure", fits).await?)?["revision"], 2);
    let too_long = json!({ "revision": 3, "config": idle(61) });
    let refused = site.run("configure", too_long).await?;
    let error = serde_json::to_value(refused.error.context("it was applied")?)?;
    assert_eq!(error["code"], "INVALID_PARAMETERS");
    let reason = error["failure_reason"].as_str().context("no reason")?;
    ensure!(reason == "display.idleMessage: has 61 characters, want 0 to 60", "{reason}");
    let memory: Value =
        serde_json::from_slice(&std::fs::read(site.path("agent/mock-state.json"))?)?;
    assert_eq!(memory["config"], idle(60));
    Ok(())
}
