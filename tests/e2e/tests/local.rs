//! Operations that the terminal begins itself: at its command line, by its menu, by its schedule.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_hal::{OperationId, Timestamp};
use terminal_harness::{Agent, Site, SiteOptions};

use crate::{
    cli,
    fake_clock::{FakeClock, now},
    support::{has_one_verdict, no_batch_was_closed_twice, open, slow, status, unsent},
};

/// Asks the agent to begin something; gives exit code, answer and what is wrong.
fn start(site: &Site, arguments: &[&str]) -> Result<(Option<i32>, Value, String)> {
    let all = [&["start"], arguments, &["--json", "--config"]].concat();
    let output = cli::run(&all, Some(&site.agent_config()))?;
    let answer = serde_json::from_slice(&output.stdout).unwrap_or_default();
    Ok((output.status.code(), answer, String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn id_in(answer: &Value) -> Result<OperationId> {
    let id = answer["id"].as_str().with_context(|| format!("no id in {answer}"))?;
    id.parse().map(OperationId).context("no UUID")
}

/// What the cloud lists as begun at the terminal.
async fn begun_there(site: &Site) -> Result<Vec<Value>> {
    let answer = site.rest()?.get("/v1/admin/terminals/operations").await?;
    let all = answer.body.as_array().context("no list")?;
    Ok(all.iter().filter(|operation| operation["origin"] == "local").cloned().collect())
}

/// The one operation that the cloud lists as begun at the terminal, with its verdict.
async fn the_one_begun_there(site: &Site) -> Result<(OperationId, Value)> {
    site.until("a local operation at the cloud", async |site| {
        Ok(!begun_there(site).await?.is_empty())
    })
    .await?;
    let begun = begun_there(site).await?;
    ensure!(begun.len() == 1, "{begun:?}");
    let operation = begun.into_iter().next().context("none")?;
    let id = id_in(&operation)?;
    has_one_verdict(site, id).await?;
    Ok((id, operation))
}

fn is_running(status: &Value) -> bool {
    status["operations"][0]["state"] == "running" && status["operations"][0]["origin"] == "local"
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_started_while_the_cloud_is_away_and_cut_off_is_reported_once_as_local()
-> Result<()> {
    let (mut site, agent) = open(SiteOptions::default()).await?;
    site.kill_cloud().await?;
    let mut script = slow("close_batch", 1_500);
    script["payments"] = json!([{ "id": "one", "sale": 4_200 }]);
    site.script(&script)?;
    let arguments =
        ["end_of_day", "--parameters", r#"{"operator_id":"kari"}"#, "--key", "this evening"];
    let (code, answer, error) = start(&site, &arguments)?;
    assert_eq!((code, &answer["duplicate"]), (Some(0), &json!(false)), "{error}");
    let id = id_in(&answer)?;
    status(&site, &agent, "a running end of day", is_running).await?;
    agent.kill_9()?;
    // Whoever is not sure asks again: it is the same operation, before and after its verdict.
    let again = |answer: &Value| answer["duplicate"] == true && answer["id"] == json!(id);
    site.until("the same operation", async |site| Ok(again(&start(site, &arguments)?.1))).await?;
    unsent(&site, &agent, 1).await?;
    assert!(again(&start(&site, &arguments)?.1));
    let shown = agent.show("operations")?;
    assert!(shown.contains("begun here by user") && shown.contains("(not sent yet)"), "{shown}");

    site.restart_cloud().await?;
    let (reported, operation) = the_one_begun_there(&site).await?;
    assert_eq!((reported, &operation["status"]), (id, &json!("COMPLETED")), "{operation}");
    assert_eq!(operation["result"]["outcome"], "closed");
    assert!(operation["created_by"].as_str().is_some_and(|by| by.starts_with("user ")));
    assert_eq!(site.effects_of(id)?, 1);
    no_batch_was_closed_twice(&site)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why_and_runs_nothing() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    for (arguments, why) in [
        (&["unlock"][..], "UNAUTHORIZED: unlock is the cloud's to ask for"),
        (&["configure"], "UNAUTHORIZED: configure is the cloud's to ask for"),
        (&["dance"], "want one of end_of_day"),
        (&["end_of_day", "--parameters", r#"{"mode":"open"}"#], "INVALID_PARAMETERS: "),
        (&["end_of_day", "--key", ""], "key: want 1 to 64 characters"),
    ] {
        let (code, _, error) = start(&site, arguments)?;
        assert_eq!(code, Some(69), "{arguments:?}: {error}");
        assert!(error.contains(why), "{arguments:?}: {error}");
    }
    assert_eq!(agent.show("operations")?, "no operations yet\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_in_the_menu_runs_once_however_often_the_terminal_says_it() -> Result<()> {
    let (site, agent) = open(SiteOptions::default()).await?;
    site.script(&json!({ "chosen": { "key": "1", "operation": "end_of_day" } }))?;
    let (id, operation) = the_one_begun_there(&site).await?;
    assert_eq!(
        (&operation["status"], &operation["created_by"]),
        (&json!("COMPLETED"), &json!("menu"))
    );
    let starts = agent.starts();
    agent.kill_9()?;
    site.until("another process", async |_| Ok(agent.starts() > starts)).await?;
    // The menu says it again to the new process, before what is chosen next.
    site.until("the menu", async |site| Ok(site.agent_log()?.matches("connected").count() > 1))
        .await?;
    site.script(&json!({ "chosen": { "key": "2", "operation": "check_update" } }))?;
    site.until("the next choice", async |site| Ok(begun_there(site).await?.len() == 2)).await?;
    assert_eq!(site.effects_of(id)?, 1);
    has_one_verdict(&site, id).await
}

/// A section for an end of day at the next full minute, in a zone of its own, and that minute.
fn due_soon() -> Result<(String, Duration)> {
    let due = Duration::from_secs((now()?.as_secs() / 60 + 1) * 60);
    // An hour and a half ahead of UTC.
    let local = Timestamp::from_unix_ms(u64::try_from(due.as_millis())? + 5_400_000).to_string();
    let time = local.get(11..16).context("no time")?;
    Ok((format!("\n[schedule]\nend-of-day = \"{time}\"\ntime-zone = \"<+0130>-1:30\"\n"), due))
}

/// A terminal that is switched on two seconds before its time, or so long after it.
async fn scheduled(
    synchronised: bool,
    late: Option<Duration>,
) -> Result<(Site, FakeClock, Agent, Duration)> {
    let (section, due) = due_soon()?;
    let site = Site::start(SiteOptions { more_config: section, ..SiteOptions::default() }).await?;
    let mut script = slow("close_batch", 1_500);
    script["payments"] = json!([{ "id": "one", "sale": 4_200 }]);
    site.script(&script)?;
    let clock = FakeClock::new(&site)?;
    clock.set_wall(late.map_or(due - Duration::from_secs(2), |late| due + late))?;
    clock.set_synchronised(synchronised)?;
    let agent = Agent::launch(clock.launch(&site)?)?;
    Ok((site, clock, agent, due))
}

/// The schedule has had its time: its next one is another day's, and the engine has had a look.
async fn has_passed(site: &Site, agent: &Agent, due: Duration) -> Result<()> {
    let due = Timestamp::from_unix_ms(u64::try_from(due.as_millis())?).to_string();
    let is_next = |status: &Value| status["end_of_day_next"].as_str() == Some(due.as_str());
    status(site, agent, "the time to pass", |status| !status.is_null() && !is_next(status)).await?;
    let looked = site.run("check_update", json!({})).await?;
    has_one_verdict(site, looked.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_close_that_is_cut_off_and_due_again_by_the_clock_closes_once() -> Result<()> {
    let (site, clock, agent, due) = scheduled(true, None).await?;
    status(&site, &agent, "a running end of day", is_running).await?;
    agent.kill_9()?;
    let (id, operation) = the_one_begun_there(&site).await?;
    assert_eq!(
        (&operation["status"], &operation["created_by"]),
        (&json!("COMPLETED"), &json!("schedule"))
    );
    assert_eq!(operation["result"]["outcome"], "closed");
    // The same minute comes again, in a new process.
    clock.set_wall(due - Duration::from_secs(2))?;
    agent.kill_9()?;
    has_passed(&site, &agent, due).await?;
    assert_eq!((begun_there(&site).await?.len(), site.effects_of(id)?), (1, 1));
    no_batch_was_closed_twice(&site)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_nobody_vouches_for_closes_nothing() -> Result<()> {
    let (site, _clock, agent, due) = scheduled(false, None).await?;
    has_passed(&site, &agent, due).await?;
    assert_eq!(begun_there(&site).await?, Vec::<Value>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_is_switched_on_after_the_window_closes_nothing() -> Result<()> {
    let (site, _clock, agent, due) = scheduled(true, Some(Duration::from_secs(31 * 60))).await?;
    has_passed(&site, &agent, due).await?;
    assert_eq!(begun_there(&site).await?, Vec::<Value>::new());
    site.until("a word about it", async |site| {
        Ok(site.agent_log()?.contains("no end of day as scheduled"))
    })
    .await
}
