//! A lock holds whatever dies: the application with its memory, the agent, both.

mod support;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use support::device::{Device, result};
use terminal_harness::Site;

/// What the application has of the lock; `None` while it has written nothing.
fn lock_of(site: &Site) -> Option<Value> {
    site.mock_state().ok().map(|state| state["lock"].clone())
}

/// What the agent said in the newest hello that is not that one.
async fn hello_after(site: &Site, before: &Value) -> Result<Value> {
    let is_new = async |site: &Site| Ok(&hello(site).await? != before);
    site.until("the agent says hello again", is_new).await?;
    hello(site).await
}

async fn hello(site: &Site) -> Result<Value> {
    site.cloud()?.terminal(site.terminal_id()).await?.hello.context("no hello")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_lost_its_memory_comes_back_locked() -> Result<()> {
    let mut device = Device::start(&json!({}), None).await?;
    device.site.online().await?;
    let lock = json!({ "reason": "stolen", "message": "Please call support" });
    assert_eq!(result(&device.site.run("lock", lock).await?)?["locked"], true);
    device.wipe_app()?;
    device.start_app()?;
    let is_locked = async |site: &Site| Ok(lock_of(site).is_some_and(|lock| !lock.is_null()));
    device.site.until("the application is locked again", is_locked).await?;
    assert_eq!(device.site.mock_state()?["screen"]["lock_message"], "Please call support");
    let told = async |site: &Site| Ok(site.agent_log()?.contains("had lost the lock"));
    device.site.until("the agent says so", told).await?;
    // An unlock is for good.
    assert_eq!(result(&device.site.run("unlock", json!({})).await?)?["locked"], false);
    device.wipe_app()?;
    device.start_app()?;
    result(&device.site.run("end_of_day", json!({})).await?)?;
    assert_eq!(lock_of(&device.site), Some(Value::Null));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_without_its_application_says_that_it_is_locked() -> Result<()> {
    let mut device =
        Device::start(&json!({}), Some("payments = \"vendor\"\nscreen = \"vendor\"")).await?;
    device.site.online().await?;
    let before = hello(&device.site).await?;
    assert_eq!(before["locked"], false);
    result(&device.site.run("lock", json!({})).await?)?;
    device.wipe_app()?;
    device.agent.kill_9()?;
    let after = hello_after(&device.site, &before).await?;
    assert_eq!(after["locked"], true);
    let status = device.agent.ask("status")?;
    assert_eq!((&status["locked"], &status["health"]["locked"]), (&json!(true), &json!(true)));
    device.start_app()?;
    let is_locked = async |site: &Site| Ok(lock_of(site).is_some_and(|lock| !lock.is_null()));
    device.site.until("the application is locked again", is_locked).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_lock_that_says_so_ends_with_the_boot() -> Result<()> {
    let device = Device::start(&json!({}), None).await?;
    let site = &device.site;
    site.online().await?;
    let first = hello(site).await?;
    result(&site.run("lock", json!({ "clear_on_reboot": true })).await?)?;
    // Another process in the same boot.
    device.agent.kill_9()?;
    let second = hello_after(site, &first).await?;
    assert_eq!((&second["locked"], &second["boot_id"]), (&json!(true), &first["boot_id"]));
    result(&site.run("reboot", json!({ "delay_s": 0 })).await?)?;
    let third = hello(site).await?;
    assert_ne!(third["boot_id"], first["boot_id"]);
    assert_eq!((&third["locked"], lock_of(site)), (&json!(false), Some(Value::Null)));
    result(&site.run("lock", json!({})).await?)?;
    result(&site.run("reboot", json!({ "delay_s": 0 })).await?)?;
    assert_eq!(hello(site).await?["locked"], true);
    assert!(lock_of(site).is_some_and(|lock| !lock.is_null()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_outlives_the_store() -> Result<()> {
    let device = Device::start(&json!({}), None).await?;
    let site = &device.site;
    site.online().await?;
    let before = hello(site).await?;
    result(&site.run("lock", json!({})).await?)?;
    std::fs::remove_dir_all(site.path("agent/store/store"))?;
    device.agent.kill_9()?;
    let after = hello_after(site, &before).await?;
    assert_ne!(after["store_epoch"], before["store_epoch"]);
    assert_eq!(after["locked"], true);
    // And the cloud, which remembers, can unlock it.
    result(&site.run("unlock", json!({})).await?)?;
    assert_eq!(lock_of(site), Some(Value::Null));
    Ok(())
}
