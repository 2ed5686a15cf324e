//! What comes together or comes again: the order of requests, one close twice, one lock twice.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_hal::vendor::wire::{method, rpc};
use uuid::Uuid;

use crate::{
    messages::settled,
    peer::{PROMPT, Peer, Target, about, error_of, hold, order, request},
    table::Table,
};

pub(crate) async fn check(table: &mut Table, at: &Target) {
    table.scenario("requests begin in the order in which they come", in_order(at)).await;
    table.scenario("a close that comes twice at once closes once", close_twice(at)).await;
    table.scenario("a lock that comes again locks again", lock_again(at)).await;
}

/// A hold, its release and another one, without waiting for any of them.
async fn in_order(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    for round in 0..10_u64 {
        let (one, other) = (Uuid::new_v4(), Uuid::new_v4());
        let first = 100 + 4 * round;
        let lines = [
            request(first, method::HOLD, &hold(one, "reject", 0)),
            request(first + 1, method::RELEASE, &about(one)),
            request(first + 2, method::HOLD, &hold(other, "reject", 0)),
            request(first + 3, method::RELEASE, &about(other)),
        ];
        for answer in answers(&mut peer, &lines).await? {
            ensure!(answer.get("result").is_some(), "{answer}");
        }
        // Nothing is left behind.
        let third = Uuid::new_v4();
        peer.result(method::HOLD, hold(third, "reject", 0)).await.context("afterwards")?;
        peer.result(method::RELEASE, about(third)).await?;
    }
    Ok(())
}

async fn close_twice(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    let id = Uuid::new_v4();
    let close = order(id, json!({}));
    let lines = [request(100, method::CLOSE, &close), request(101, method::CLOSE, &close)];
    let both = answers(&mut peer, &lines).await?;
    let state = settled(&mut peer, id).await?;
    ensure!(state["state"] == "finished", "{state}");
    for answer in both {
        match answer.get("result") {
            Some(result) => ensure!(result == &state["result"], "{result}, asked {state}"),
            None => {
                let error = error_of(&answer, rpc::OPERATION_FAILED)?;
                let effects = &error["data"]["side_effects"];
                ensure!(effects != "none", "it says that nothing happened, and it closed: {error}");
            }
        }
    }
    Ok(())
}

async fn lock_again(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    let set = |locked: bool| json!({ "locked": locked });
    let locking = order(Uuid::new_v4(), set(true));
    peer.result(method::SET_LOCKED, locking.clone()).await?;
    peer.result(method::SET_LOCKED, order(Uuid::new_v4(), set(false))).await?;
    peer.result(method::SET_LOCKED, locking).await.context("the second time")?;
    // A remembered answer would not have locked anything.
    let another = peer.result(method::SET_LOCKED, order(Uuid::new_v4(), set(true))).await;
    peer.result(method::SET_LOCKED, order(Uuid::new_v4(), set(false))).await?;
    let another = another?;
    ensure!(another["changed"] == false, "the second time it was not locked: {another}");
    Ok(())
}

/// Sends everything at once and gives the answers as they come.
async fn answers(peer: &mut Peer, lines: &[Vec<u8>]) -> Result<Vec<Value>> {
    peer.write(&lines.concat()).await?;
    let mut answers = Vec::new();
    for _ in lines {
        answers.push(peer.next(PROMPT * 4).await?.context("the connection was closed")?);
    }
    Ok(answers)
}
