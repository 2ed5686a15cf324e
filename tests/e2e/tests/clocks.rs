//! Wrong clocks: a terminal that wakes up in 1970 reaches its cloud and works, and a clock that
//! jumps loses no operation.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use terminal_harness::{Agent, Site, SiteOptions};

use crate::{
    cli,
    fake_clock::{FakeClock, now},
    support::{
        PATIENCE, create, error, has_one_verdict, order, restart_with, result, seen, slow, status,
    },
};

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// What a clock says whose battery is empty.
const FIRST_OF_1970: Duration = Duration::from_secs(17);

/// The time of the sources of the agent, which no certificate that it meets was expired at.
fn build_time() -> Result<Duration> {
    let output = cli::run(&["version", "--json"], None)?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let time = said["sources_of"].as_str().and_then(terminal_hal::Timestamp::parse);
    Ok(Duration::from_millis(time.context("no time of the sources")?.unix_ms()))
}

/// A site whose cloud has a certificate of that validity, and an agent with clocks of its own.
async fn open(
    valid: (Duration, Duration),
    prepare: impl FnOnce(&FakeClock) -> Result<()>,
) -> Result<(Site, FakeClock, Agent)> {
    let mut site = Site::start(SiteOptions::default()).await?;
    let (certificate, key) = site.pki().server_valid(&["localhost"], valid.0, valid.1)?;
    restart_with(&mut site, certificate, key).await?;
    let clock = FakeClock::new(&site)?;
    prepare(&clock)?;
    let agent = Agent::launch(clock.launch(&site)?)?;
    Ok((site, clock, agent))
}

/// Issued after the agent was built: the time of its sources alone finds it too young.
fn young() -> Result<(Duration, Duration)> {
    Ok(((build_time()? + now()?) / 2, now()? + DAY))
}

/// What the log says of a certificate that is not good by the agent's clock, and was believed.
const BELIEVED: &str = "only good at another time";

/// The report with the verdict of an operation.
async fn report(site: &Site, id: terminal_hal::OperationId) -> Result<Value> {
    let reports = site.cloud()?.reports(site.terminal_id()).await?;
    let of_it = reports.into_iter().find(|report| report.operation_id == Some(id));
    Ok(of_it.context("no report")?.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_wakes_up_in_1970_works_and_marks_its_times() -> Result<()> {
    let valid = (build_time()? - DAY, now()? + DAY);
    let (site, clock, agent) = open(valid, |clock| clock.set_wall(FIRST_OF_1970)).await?;
    site.online().await?;
    let operation = site.run("end_of_day", json!({})).await?;
    result(&operation)?;
    let report = report(&site, operation.id).await?;
    assert_eq!(report["clock_trusted"], false, "{report}");
    assert!(report["finished_at"].as_str().is_some_and(|at| at.starts_with("1970")), "{report}");
    // Its time to live is counted without the wall clock.
    site.script(&slow("close_batch", 1_500))?;
    let day = create(&site, "end_of_day", json!({})).await?;
    seen(&site, day, "started", 1).await?;
    let mut short = order(&site, "open_menu", json!({}));
    (short.ttl_s, short.deadline_s) = (1, 60);
    let short = site.cloud()?.create_operation(short).await?;
    assert_eq!(error(&site.verdict(short).await?)?["code"], "EXPIRED");
    assert_eq!(site.effects_of(short)?, 0);
    result(&site.verdict(day).await?)?;
    // What the cloud says of the time is not what a certificate may be checked by.
    assert!(!site.path("agent/store/last-good-time").exists());
    let shown = agent.show("status")?;
    assert!(shown.contains("1970-01-01") && shown.contains("not synchronised"), "{shown}");
    // A kill before the time is known: what waits is kept until the cloud has named the time.
    site.script(&slow("close_batch", 400))?;
    let cut_off = create(&site, "end_of_day", json!({})).await?;
    let waits = create(&site, "open_menu", json!({})).await?;
    seen(&site, waits, "accepted", 1).await?;
    agent.kill_9()?;
    for id in [cut_off, waits] {
        result(&site.verdict(id).await?)?;
        has_one_verdict(&site, id).await?;
    }
    // Once somebody has set it right and vouches for it, that shows.
    clock.mend_wall()?;
    clock.set_synchronised(true)?;
    let operation = site.run("check_update", json!({})).await?;
    assert_eq!(crate::clocks::report(&site, operation.id).await?["clock_trusted"], true);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_time_outlives_a_power_cut_and_a_lost_clock() -> Result<()> {
    let (site, clock, agent) = open(young()?, |clock| clock.set_synchronised(true)).await?;
    site.online().await?;
    assert!(site.path("agent/store/last-good-time").exists());
    drop(agent);
    clock.set_wall(FIRST_OF_1970)?;
    clock.set_synchronised(false)?;
    let _agent = Agent::launch(clock.launch(&site)?)?;
    result(&site.run("check_update", json!({})).await?)?;
    assert!(!site.agent_log()?.contains(BELIEVED));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_was_made_while_the_terminal_was_in_a_drawer_is_believed_and_said_so()
-> Result<()> {
    let (site, _clock, _agent) = open(young()?, |clock| clock.set_wall(FIRST_OF_1970)).await?;
    let operation = site.run("check_update", json!({})).await?;
    result(&operation)?;
    assert_eq!(report(&site, operation.id).await?["clock_trusted"], false);
    let log = site.agent_log()?;
    assert!(log.lines().any(|line| line.contains("WARN") && line.contains(BELIEVED)), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_a_year_and_back_expires_nothing() -> Result<()> {
    let valid = (build_time()? - DAY, now()? + DAY);
    let (site, clock, agent) = open(valid, |_| Ok(())).await?;
    site.online().await?;
    for (jump, synchronised) in [(now()? + YEAR, false), (now()? - YEAR, true)] {
        site.script(&slow("close_batch", 700))?;
        let mut ids = vec![create(&site, "end_of_day", json!({})).await?];
        ids.push(create(&site, "open_menu", json!({})).await?);
        for id in &ids {
            seen(&site, *id, "accepted", 1).await?;
        }
        clock.set_wall(jump)?;
        clock.set_synchronised(synchronised)?;
        // Two more come while the clock is wrong, one of them on a link that is new.
        ids.push(create(&site, "check_update", json!({})).await?);
        crate::support::drop_link(&site).await?;
        ids.push(create(&site, "lock", json!({})).await?);
        for id in &ids {
            result(&site.verdict(*id).await?)?;
            has_one_verdict(&site, *id).await?;
        }
        clock.mend_wall()?;
        clock.set_synchronised(false)?;
        result(&site.run("unlock", json!({})).await?)?;
        site.cloud()?.wait_online(site.terminal_id(), true, PATIENCE).await?;
    }
    assert_eq!(agent.starts(), 1);
    let right = |status: &Value| status["clock"]["cloud_offset_ms"].as_i64().is_some_and(near);
    status(&site, &agent, "the right time", right).await?;
    Ok(())
}

/// Both clocks are this machine's; a second more than a slow machine needs.
fn near(ms: i64) -> bool {
    ms.abs() < 10_000
}
