//! `kill -9` in the middle of an operation: each kind is decided as it must be.

use anyhow::Result;
use serde_json::{Value, json};
use terminal_harness::{Agent, Site, SiteOptions};

use crate::support::{
    attempt, error, has_one_verdict, no_batch_was_closed_twice, open, result, seen, slow, status,
    unsent,
};

/// The process dies once in a method, before or after its effect.
fn crash(method: &str, at: &str) -> Value {
    json!({ "methods": { method: { "crash": { "at": at, "times": 1 } } } })
}

/// Runs an operation whose call kills the process once; gives what it became.
async fn crashed(
    site: &Site,
    agent: &Agent,
    kind: &str,
    script: Value,
    parameters: Value,
) -> Result<terminal_cloud::Operation> {
    let starts = agent.starts();
    site.script(&script)?;
    let operation = site.run(kind, parameters).await?;
    assert!(agent.starts() > starts, "{kind} did not crash");
    has_one_verdict(site, operation.id).await?;
    unsent(site, agent, 0).await?;
    Ok(operation)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_day_that_is_cut_off_is_asked_about_and_closes_its_batch_once() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    for (n, at) in ["before_effect", "after_effect"].into_iter().enumerate() {
        let mut script = crash("close_batch", at);
        script["payments"] = json!([{ "id": at, "sale": 4_200 + n }]);
        let operation = crashed(&site, &agent, "end_of_day", script, json!({})).await?;
        let closed = result(&operation)?;
        // Had it been run again blindly, the batch would be an empty one.
        assert_eq!(closed["outcome"], "closed", "{at}: {closed}");
        assert!(closed["purchases_count"].as_u64() >= Some(1));
        assert_eq!(site.effects_of(operation.id)?, 1, "{at}");
        assert_eq!(attempt(&site, operation.id).await?, 2, "{at}");
    }
    no_batch_was_closed_twice(&site)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_day_whose_outcome_nobody_knows_is_never_run_again() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    let mut script = crash("close_batch", "before_effect");
    script["query_close_says"] = json!("unknown");
    let failed = error(&crashed(&site, &agent, "end_of_day", script, json!({})).await?)?;
    assert_eq!(failed["code"], "OUTCOME_UNKNOWN");
    assert_eq!((&failed["side_effects"], &failed["retryable"]), (&"unknown".into(), &false.into()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_menu_that_is_cut_off_is_reported_as_interrupted_and_not_shown_again() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    for (at, effects) in [("before_effect", 0), ("after_effect", 1)] {
        let script = crash("open_menu", at);
        let operation = crashed(&site, &agent, "open_menu", script, json!({})).await?;
        let failed = error(&operation)?;
        assert_eq!(
            (&failed["code"], &failed["side_effects"]),
            (&"INTERRUPTED".into(), &"unknown".into())
        );
        assert_eq!(site.effects_of(operation.id)?, effects, "{at}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_is_cut_off_goes_on_and_installs_once() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    for (at, version) in [("before_effect", "3.15.0"), ("after_effect", "3.16.0")] {
        let mut script = crash("install_update", at);
        script["updates"] = json!([{ "version": version }]);
        let parameters = json!({ "apply": "now" });
        let operation = crashed(&site, &agent, "update", script, parameters).await?;
        let updated = result(&operation)?;
        assert_eq!((&updated["to"], &updated["installed"]), (&version.into(), &true.into()));
        let installations = &site.mock_state()?["firmware"]["installations"];
        let of_it =
            installations.as_array().unwrap().iter().filter(|one| one["id"] == json!(operation.id));
        assert_eq!(of_it.count(), 1, "{at}: {installations}");
        // One installation and one restart.
        assert_eq!(site.effects_of(operation.id)?, 2, "{at}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn lock_and_logs_that_are_cut_off_are_run_again() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    for (at, kind, locked) in [("before_effect", "lock", true), ("after_effect", "unlock", false)] {
        let script = crash("set_locked", at);
        let operation = crashed(&site, &agent, kind, script, json!({})).await?;
        assert_eq!(result(&operation)?["locked"], locked, "{kind} {at}");
        assert_eq!(site.effects_of(operation.id)?, 1, "{kind} {at}");
        assert_eq!(site.mock_state()?["lock"].is_object(), locked);
    }
    for at in ["before_effect", "after_effect"] {
        let script = crash("collect_logs", at);
        let operation = crashed(&site, &agent, "send_logs", script, json!({})).await?;
        let bytes = site.cloud()?.log(site.terminal_id(), operation.id).await?;
        assert_eq!(result(&operation)?["bytes_compressed"], bytes.len());
        assert_eq!(attempt(&site, operation.id).await?, 2, "{at}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_kills_the_agent_every_time_is_given_up_after_three_attempts()
-> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    for (kind, method, others) in [
        ("end_of_day", "close_batch", 0),
        ("send_logs", "collect_logs", 0),
        ("lock", "set_locked", 0),
    ] {
        let starts = agent.starts();
        site.script(&json!({ "methods": { method: { "crash": {} } } }))?;
        let operation = site.run(kind, json!({})).await?;
        let failed = error(&operation)?;
        assert_eq!(failed["code"], "INTERRUPTED", "{kind}: {failed}");
        assert_eq!(attempt(&site, operation.id).await?, 3, "{kind}");
        assert_eq!(site.effects_of(operation.id)?, others, "{kind}");
        has_one_verdict(&site, operation.id).await?;
        assert_eq!(agent.starts() - starts, 3, "{kind}");
        unsent(&site, &agent, 0).await?;
    }
    // It is not the agent that is broken.
    let starts = agent.starts();
    site.script(&json!({}))?;
    result(&site.run("end_of_day", json!({})).await?)?;
    assert_eq!(agent.starts(), starts);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_kills_the_agent_whenever_it_is_locked_does_not_keep_it_down() -> Result<()>
{
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&json!({ "methods": { "set_locked": { "crash": {} } } }))?;
    assert_eq!(error(&site.run("lock", json!({})).await?)?["code"], "INTERRUPTED");
    // It stands, and is to be set at every start.
    let starts = agent.starts();
    agent.kill_9()?;
    site.until("a start after three in vain", async |_| Ok(agent.starts() - starts == 4)).await?;
    let unconfirmed = |status: &Value| {
        let codes = status["needs_attention"].as_array();
        codes.is_some_and(|codes| codes.contains(&json!("LOCK_UNCONFIRMED")))
    };
    status(&site, &agent, "an agent that is up and says what is wrong", unconfirmed).await?;
    result(&site.run("check_update", json!({})).await?)?;
    site.script(&json!({}))?;
    result(&site.run("unlock", json!({})).await?)?;
    status(&site, &agent, "nothing that is wrong", |status| !unconfirmed(status)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_behind_a_crash_keeps_its_place_and_runs() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&slow("close_batch", 600))?;
    let mut ids = Vec::new();
    for kind in ["end_of_day", "check_update", "open_menu"] {
        ids.push(crate::support::create(&site, kind, json!({})).await?);
    }
    for id in &ids {
        seen(&site, *id, "accepted", 1).await?;
    }
    agent.kill_9()?;
    for id in &ids {
        result(&site.verdict(*id).await?)?;
        has_one_verdict(&site, *id).await?;
    }
    let reports = site.cloud()?.reports(site.terminal_id()).await?;
    let order: Vec<_> = reports.iter().filter_map(|report| report.operation_id).collect();
    assert_eq!(order, ids);
    assert_eq!(site.effects_of(ids[0])?, 1);
    assert_eq!(site.effects_of(ids[2])?, 1);
    Ok(())
}
