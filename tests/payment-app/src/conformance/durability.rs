//! What must outlive the application: closes, locks, settings. Holds must not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use terminal_hal::vendor::wire::method;
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    messages::settled,
    peer::{Peer, Target, hold, now, order},
    table::{Need, Outcome, Table},
};

pub(crate) async fn check(table: &mut Table, at: &Target) {
    const INSTANCE: &str = "restart: another instance says hello";
    const CLOSE: &str = "restart: a close that has finished is remembered";
    const CUT_OFF: &str = "restart: a close that is cut off closes once";
    const LOCK: &str = "restart: a lock stays";
    const SETTINGS: &str = "restart: settings stay";
    const HOLD: &str = "restart: a hold ends";
    if !at.can_restart() {
        for name in [INSTANCE, CLOSE, CUT_OFF, LOCK, SETTINGS, HOLD] {
            let why = "needs --restart-command".to_owned();
            table.add(name, Need::Required, Outcome::Skipped(why));
        }
        return;
    }
    table.scenario(INSTANCE, another_instance(at)).await;
    table.scenario(CLOSE, close_is_remembered(at)).await;
    table.scenario(CUT_OFF, close_is_cut_off(at)).await;
    table.scenario(LOCK, lock_stays(at)).await;
    table.scenario(SETTINGS, settings_stay(at)).await;
    table.scenario(HOLD, hold_ends(at)).await;
}

async fn another_instance(at: &Target) -> Result<()> {
    let before = Peer::new(at).await?.hello.instance;
    let after = at.restart().await?.hello.instance;
    ensure!(before != after, "instance {before:?} before and after");
    Ok(())
}

async fn close_is_remembered(at: &Target) -> Result<()> {
    let id = Uuid::new_v4();
    let mut peer = Peer::new(at).await?;
    let before = peer.result(method::CLOSE, order(id, json!({}))).await?;
    let mut peer = at.restart().await?;
    let state = settled(&mut peer, id).await?;
    ensure!(state["state"] == "finished", "{state}");
    ensure!(state["result"] == before, "{before} before, {} after", state["result"]);
    let again = peer.result(method::CLOSE, order(id, json!({}))).await?;
    ensure!(again == before, "{before} before, {again} when it was sent again");
    Ok(())
}

/// At several moments: nobody knows how long a close takes here.
async fn close_is_cut_off(at: &Target) -> Result<()> {
    for after_ms in [0, 5, 50, 500] {
        let id = Uuid::new_v4();
        let mut peer = Peer::new(at).await?;
        peer.send(method::CLOSE, order(id, json!({}))).await?;
        sleep(Duration::from_millis(after_ms)).await;
        let mut peer = at.restart().await?;
        let mut state = settled(&mut peer, id).await?;
        if state["state"] == "not_started" {
            peer.result(method::CLOSE, order(id, json!({}))).await?;
            state = settled(&mut peer, id).await?;
        }
        ensure!(state["state"] == "finished", "cut off after {after_ms} ms: {state}");
        let again = peer.result(method::CLOSE, order(id, json!({}))).await?;
        ensure!(again == state["result"], "{} asked, {again} sent again", state["result"]);
    }
    Ok(())
}

async fn lock_stays(at: &Target) -> Result<()> {
    let lock = |locked: bool| order(Uuid::new_v4(), json!({ "locked": locked }));
    let mut peer = Peer::new(at).await?;
    let before = peer.result(method::SET_LOCKED, lock(true)).await?;
    let mut peer = at.restart().await?;
    let after = peer.result(method::SET_LOCKED, lock(true)).await?;
    peer.result(method::SET_LOCKED, lock(false)).await.context("unlocking")?;
    ensure!(after["changed"] == false, "it was not locked any more: {after}");
    ensure!(after["locked_at"] == before["locked_at"], "locked at {before}, then {after}");
    Ok(())
}

async fn settings_stay(at: &Target) -> Result<()> {
    let revision = now().unix_ms() / 1000;
    let empty =
        |revision: u64| order(Uuid::new_v4(), json!({ "revision": revision, "config": {} }));
    let mut peer = Peer::new(at).await?;
    peer.result(method::APPLY_SETTINGS, empty(revision)).await?;
    let mut peer = at.restart().await?;
    peer.refused(method::APPLY_SETTINGS, empty(revision - 1), &["REVISION_STALE"]).await
}

async fn hold_ends(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    peer.result(method::HOLD, hold(Uuid::new_v4(), "reject", 0)).await?;
    let mut peer = at.restart().await?;
    let other = Uuid::new_v4();
    peer.result(method::HOLD, hold(other, "reject", 0)).await?;
    peer.result(method::RELEASE, crate::peer::about(other)).await?;
    Ok(())
}
