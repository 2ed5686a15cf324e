//! The messages: framing, errors, order, connections.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_hal::vendor::wire::{FRAME_BYTES_MAX, REQUESTS_MAX, method, rpc};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    peer::{PROMPT, Peer, Target, about, check_failure, error_of, hold, order, request},
    table::Table,
};

pub(crate) async fn check(table: &mut Table, at: &Target) {
    table.scenario("hello names protocol, instance and capabilities", hello(at)).await;
    table.scenario("a request before hello is refused", before_hello(at)).await;
    table.scenario("another protocol version is refused", another_version(at)).await;
    table.scenario("a line that is no JSON is answered", no_json(at)).await;
    table.scenario("JSON that is no request is answered", no_request(at)).await;
    table.scenario("a method that nobody knows is answered", unknown_method(at)).await;
    table.scenario("a parameter that is missing is named", missing_parameter(at)).await;
    table.scenario("a parameter out of range is refused", out_of_range(at)).await;
    table.scenario("unknown fields are ignored, unknown parameters are not", unknown(at)).await;
    table.scenario("unknown notifications and late cancels are ignored", notifications(at)).await;
    table.scenario("a message may come in pieces, and two at once", pieces(at)).await;
    table.scenario("the longest message is read", longest(at)).await;
    table.scenario("a longer message ends its connection only", too_long(at)).await;
    table.scenario("as many requests as allowed are answered once each", many(at)).await;
    table.scenario("a request that waits holds up no other", waiting(at)).await;
    table.scenario("the newest connection replaces the one before", replaced(at)).await;
    table.scenario("a hold outlives its connection", hold_outlives(at)).await;
    table.scenario("a hold that waits ends with its connection", wait_ends(at)).await;
    table.scenario("a close goes on when its connection ends", close_goes_on(at)).await;
}

async fn hello(at: &Target) -> Result<()> {
    let hello = Peer::new(at).await?.hello;
    ensure!(hello.protocol == 1, "protocol {}", hello.protocol);
    for name in [&hello.application, &hello.application_version, &hello.instance] {
        ensure!((1..=64).contains(&name.chars().count()), "{name:?} has no 1 to 64 characters");
    }
    let has_payments = hello.capabilities.iter().any(|name| name == "payments");
    ensure!(has_payments, "payments is not among {:?}", hello.capabilities);
    let again = Peer::new(at).await?.hello;
    ensure!(again.instance == hello.instance, "another instance without a restart");
    Ok(())
}

async fn before_hello(at: &Target) -> Result<()> {
    let mut peer = Peer::silent(at).await?;
    peer.error(method::ACTIVITY, json!({}), rpc::HELLO_FIRST).await?;
    Ok(())
}

async fn another_version(at: &Target) -> Result<()> {
    let mut peer = Peer::silent(at).await?;
    let params = json!({ "protocol": 999, "agent_version": "conformance" });
    peer.refused(method::HELLO, params, &["UNSUPPORTED_VERSION"]).await
}

async fn no_json(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    peer.write(b"{\"jsonrpc\": \"2.0\", \"id\": 77, oops\n").await?;
    let answer = peer.next(PROMPT).await?.context("the connection was closed")?;
    ensure!(answer["id"].is_null(), "want id null: {answer}");
    error_of(&answer, rpc::PARSE_ERROR)?;
    peer.is_usable().await
}

async fn no_request(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    for (line, id) in [
        ("[]", json!(null)),
        ("7", json!(null)),
        (r#"{"jsonrpc":"2.0","id":77}"#, json!(77)),
        (r#"{"id":78,"method":"payments.activity","params":{}}"#, json!(78)),
    ] {
        peer.write(format!("{line}\n").as_bytes()).await?;
        let answer = peer.next(PROMPT).await?.context("the connection was closed")?;
        ensure!(answer["id"] == id, "want id {id}: {answer}");
        error_of(&answer, rpc::INVALID_REQUEST)?;
    }
    peer.is_usable().await
}

async fn unknown_method(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    peer.error("payments.refund_everything", json!({}), rpc::METHOD_NOT_FOUND).await?;
    peer.error("coffee.make", json!({}), rpc::METHOD_NOT_FOUND).await?;
    peer.is_usable().await
}

async fn missing_parameter(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    let nothing = order(Uuid::new_v4(), json!({}));
    for (method, params, missing) in [
        (method::RELEASE, json!({}), "operation_id"),
        (method::QUERY_CLOSE, json!({}), "operation_id"),
        (method::CLOSE, json!({ "parameters": {} }), "operation_id"),
        (method::HOLD, nothing.clone(), "lease_ms"),
        (method::SET_LOCKED, nothing, "locked"),
    ] {
        let error = peer.error(method, params, rpc::INVALID_PARAMS).await.context(method)?;
        let message = error["message"].as_str().unwrap_or_default();
        ensure!(message.contains(missing), "{method}: {missing} is not named in {message:?}");
    }
    peer.is_usable().await
}

async fn out_of_range(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    let long = "x".repeat(65);
    for parameters in [
        json!({ "mode": "smash" }),
        json!({ "flush_timeout_s": 301 }),
        json!({ "operator_id": long }),
        json!({ "flush_timeout_s": "60" }),
    ] {
        let id = Uuid::new_v4();
        let params = order(id, parameters.clone());
        let refused = peer.error(method::CLOSE, params, rpc::INVALID_PARAMS).await;
        refused.with_context(|| parameters.to_string())?;
        let state = peer.result(method::QUERY_CLOSE, about(id)).await?;
        ensure!(state["state"] == "not_started", "a refused close: {state}");
    }
    Ok(())
}

async fn unknown(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    let mut params = order(Uuid::new_v4(), json!({ "mode": "report" }));
    params["from_the_future"] = json!({ "x": [1, 2] });
    peer.result(method::CLOSE, params).await.context("an unknown field")?;
    let params = order(Uuid::new_v4(), json!({ "mode": "report", "from_the_future": true }));
    peer.error(method::CLOSE, params, rpc::INVALID_PARAMS).await.context("an unknown parameter")?;
    let message = json!({
        "jsonrpc": "2.0", "id": 500, "method": method::ACTIVITY, "params": {}, "trace": "abc",
    });
    peer.write(format!("{message}\n").as_bytes()).await?;
    let answer = peer.answer_to(500, PROMPT).await.context("an unknown field of the message")?;
    ensure!(answer.get("result").is_some(), "{answer}");
    Ok(())
}

async fn notifications(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    peer.notify("weather", json!({ "rain": true })).await?;
    peer.notify(method::CANCEL, json!({ "request": 4_711 })).await?;
    let id = peer.send(method::ACTIVITY, json!({})).await?;
    peer.answer_to(id, PROMPT).await?;
    peer.notify(method::CANCEL, json!({ "request": id })).await?;
    peer.is_usable().await
}

async fn pieces(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    let line = request(100, method::ACTIVITY, &json!({}));
    for byte in &line {
        peer.write(std::slice::from_ref(byte)).await?;
    }
    peer.answer_to(100, PROMPT).await.context("byte by byte")?;
    let two =
        [request(101, method::ACTIVITY, &json!({})), request(102, method::ACTIVITY, &json!({}))];
    peer.write(&two.concat()).await?;
    let mut ids = BTreeSet::new();
    for _ in 0..2 {
        let answer = peer.next(PROMPT).await?.context("the connection was closed")?;
        ids.insert(answer["id"].as_u64());
    }
    ensure!(ids == BTreeSet::from([Some(101), Some(102)]), "two at once: answered {ids:?}");
    Ok(())
}

/// A request of exactly that many bytes.
fn padded(id: u64, bytes: usize) -> Vec<u8> {
    let empty = request(id, method::ACTIVITY, &json!({ "padding": "" })).len();
    let padding = "x".repeat(bytes.saturating_sub(empty));
    request(id, method::ACTIVITY, &json!({ "padding": padding }))
}

async fn longest(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    peer.write(&padded(100, FRAME_BYTES_MAX)).await?;
    let answer = peer.answer_to(100, PROMPT).await?;
    ensure!(answer.get("result").is_some(), "{answer}");
    Ok(())
}

async fn too_long(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    // It may be closed before everything is written.
    let _ = peer.write(&padded(100, FRAME_BYTES_MAX + 1)).await;
    if let Some(answer) = peer.next(PROMPT).await? {
        ensure!(answer["id"].is_null(), "want id null: {answer}");
        error_of(&answer, rpc::INVALID_REQUEST)?;
        let after = peer.next(PROMPT).await.context("the connection was not closed")?;
        ensure!(after.is_none(), "the connection was not closed: {after:?}");
    }
    Peer::new(at).await?.is_usable().await
}

async fn many(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    let ids: BTreeSet<u64> = (100..).take(REQUESTS_MAX).collect();
    let lines: Vec<Vec<u8>> =
        ids.iter().map(|id| request(*id, method::ACTIVITY, &json!({}))).collect();
    peer.write(&lines.concat()).await?;
    let mut answered = BTreeSet::new();
    for _ in &ids {
        let answer = peer.next(PROMPT).await?.context("the connection was closed")?;
        ensure!(answer.get("result").is_some(), "{answer}");
        answered.extend(answer["id"].as_u64());
    }
    ensure!(answered == ids, "answered {answered:?}");
    peer.is_usable().await
}

async fn waiting(at: &Target) -> Result<()> {
    let mut peer = Peer::new(at).await?;
    let (holder, other) = (Uuid::new_v4(), Uuid::new_v4());
    peer.result(method::HOLD, hold(holder, "reject", 0)).await?;
    let waits = peer.send(method::HOLD, hold(other, "wait", 25_000)).await?;
    let id = peer.send(method::ACTIVITY, json!({})).await?;
    peer.answer_to(id, PROMPT).await.context("while a hold waits")?;
    peer.notify(method::CANCEL, json!({ "request": waits })).await?;
    let answer = peer.answer_to(waits, PROMPT).await.context("a cancelled request")?;
    check_failure(&error_of(&answer, rpc::OPERATION_FAILED)?, &["CANCELED"])?;
    peer.result(method::RELEASE, about(holder)).await?;
    Ok(())
}

async fn replaced(at: &Target) -> Result<()> {
    let mut first = Peer::new(at).await?;
    let mut second = Peer::new(at).await?;
    let after = first.next(PROMPT).await.context("the one before was not closed")?;
    ensure!(after.is_none(), "the one before was not closed: {after:?}");
    second.is_usable().await
}

async fn hold_outlives(at: &Target) -> Result<()> {
    let holder = Uuid::new_v4();
    Peer::new(at).await?.result(method::HOLD, hold(holder, "reject", 0)).await?;
    let mut peer = Peer::new(at).await?;
    let other = hold(Uuid::new_v4(), "reject", 0);
    peer.refused(method::HOLD, other, &["BUSY_PAYMENT"]).await?;
    peer.result(method::RELEASE, about(holder)).await?;
    Ok(())
}

async fn wait_ends(at: &Target) -> Result<()> {
    let (holder, third) = (Uuid::new_v4(), Uuid::new_v4());
    let mut peer = Peer::new(at).await?;
    peer.result(method::HOLD, hold(holder, "reject", 0)).await?;
    peer.send(method::HOLD, hold(Uuid::new_v4(), "wait", 25_000)).await?;
    peer.is_usable_while_it_waits().await?;
    drop(peer);
    let mut peer = Peer::new(at).await?;
    peer.result(method::RELEASE, about(holder)).await?;
    let taken = peer.result(method::HOLD, hold(third, "reject", 0)).await;
    peer.result(method::RELEASE, about(third)).await?;
    taken.context("the hold that waited was taken for nobody")?;
    Ok(())
}

impl Peer {
    /// The hold before has been read when this is answered.
    async fn is_usable_while_it_waits(&mut self) -> Result<()> {
        let id = self.send(method::ACTIVITY, json!({})).await?;
        self.answer_to(id, PROMPT).await?;
        Ok(())
    }
}

async fn close_goes_on(at: &Target) -> Result<()> {
    let id = Uuid::new_v4();
    let mut peer = Peer::new(at).await?;
    peer.send(method::CLOSE, order(id, json!({}))).await?;
    peer.is_usable_while_it_closes().await?;
    drop(peer);
    let mut peer = Peer::new(at).await?;
    let state = settled(&mut peer, id).await?;
    ensure!(state["state"] == "finished", "it was begun and did not finish: {state}");
    Ok(())
}

impl Peer {
    /// The close has been read when this is answered; it may have been answered before.
    async fn is_usable_while_it_closes(&mut self) -> Result<()> {
        let id = self.send(method::ACTIVITY, json!({})).await?;
        loop {
            let answer = self.next(PROMPT).await?.context("the connection was closed")?;
            if answer["id"] == id {
                return Ok(());
            }
        }
    }
}

/// What became of a close, once that is known.
pub(crate) async fn settled(peer: &mut Peer, id: Uuid) -> Result<Value> {
    for _ in 0..300 {
        let state = peer.result(method::QUERY_CLOSE, about(id)).await?;
        if state["state"] != "running" {
            return Ok(state);
        }
        sleep(Duration::from_millis(200)).await;
    }
    anyhow::bail!("it runs for ever")
}
