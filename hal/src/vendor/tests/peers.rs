//! Who the peer is and how it behaves on the wire.

use super::*;
use crate::{
    ErrorCode, SideEffects,
    api::{Payments, Screen},
    operation::OpenMenuParameters,
    vendor::wire::{FRAME_BYTES_MAX, REQUESTS_MAX},
};

#[tokio::test]
async fn a_peer_that_runs_as_somebody_else_is_told_nothing() {
    let peer = Peer::new();
    let allowed_uids = vec![peer.own_uid() + 1];
    let bridge = Vendor::open(VendorConfig { allowed_uids, ..peer.config() });
    let mut stranger = peer.accept().await;
    assert!(stranger.is_closed().await, "it was greeted");
    tokio::time::pause();
    let failure = bridge.activity().await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::HalUnavailable);
    assert!(failure.failure_reason.contains("runs as user"), "{failure}");
    assert_eq!(bridge.is_alive().await, Ok(true), "it may be in the middle of a payment");
}

#[tokio::test]
async fn another_version_a_refusal_and_a_nameless_instance_are_no_application() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    for (answer, why) in [
        (
            json!({ "result": { "protocol": 2, "application": "x", "application_version": "1",
            "instance": "i", "capabilities": [] } }),
            "version 2",
        ),
        (json!({ "error": { "code": -32000, "message": "not you" } }), "not you"),
        (json!({ "result": hello("") }), "names no instance"),
        (json!({ "result": {} }), "missing field"),
    ] {
        let mut conversation = peer.accept().await;
        let (id, _) = conversation.expect(method::HELLO).await;
        let mut message = answer;
        message["jsonrpc"] = json!("2.0");
        message["id"] = json!(id);
        conversation.say(&message.to_string()).await;
        assert!(conversation.is_closed().await, "{why}");
        let mut link = bridge.link.clone();
        let said = |link: &super::super::Link| format!("{link:?}").contains(why);
        timeout(PATIENCE, link.wait_for(said)).await.expect(why).unwrap();
        assert_eq!(bridge.is_alive().await, Ok(true), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn any_answer_is_a_sign_of_life_also_that_it_cannot_be_used() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let unavailable = json!({ "code": -32000, "message": "starting",
        "data": { "code": "HAL_UNAVAILABLE", "failure_reason": "starting" } });
    for answer in [
        json!({ "jsonrpc": "2.0", "result": { "activity": "committed" } }),
        json!({ "jsonrpc": "2.0", "error": unavailable }),
        json!({ "jsonrpc": "2.0", "result": {}, "error": {} }),
    ] {
        let mut conversation = peer.greeted("i").await;
        let (is_alive, ()) = tokio::join!(bridge.is_alive(), async {
            let (id, _) = conversation.expect(method::ACTIVITY).await;
            let mut message = answer.clone();
            message["id"] = json!(id);
            conversation.say(&message.to_string()).await;
        });
        assert_eq!(is_alive, Ok(true), "{answer}");
        drop(conversation);
        let is_down = |link: &super::super::Link| matches!(link, super::super::Link::Down(_));
        timeout(PATIENCE, bridge.link.clone().wait_for(is_down)).await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_and_nothing_are_no_sign_of_life() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut greeted = peer.greeted("i").await;
    let (is_alive, ()) = tokio::join!(bridge.is_alive(), async {
        greeted.expect(method::ACTIVITY).await;
    });
    assert_eq!(is_alive, Ok(false), "it says hello and then nothing");
    drop(greeted);
    let mut silent = peer.accept().await;
    silent.expect(method::HELLO).await;
    assert_eq!(bridge.is_alive().await, Ok(false), "it does not even say hello");
    let config = VendorConfig { socket: peer.directory.join("none.sock"), ..peer.config() };
    assert_eq!(Vendor::open(config).is_alive().await, Ok(false), "nobody listens");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_say_hello_is_left_and_tried_again() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut silent = peer.accept().await;
    silent.expect(method::HELLO).await;
    let mut conversation = peer.greeted("i").await;
    let (activity, ()) = tokio::join!(bridge.activity(), async {
        let (id, _) = conversation.expect(method::ACTIVITY).await;
        conversation.answer(id, json!({ "activity": "idle" })).await;
    });
    activity.unwrap();
    assert!(silent.is_closed().await);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_ends_the_connection_and_a_question_is_asked_again() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let long = format!("{{\"jsonrpc\":\"2.0\",\"x\":\"{}\"}}", "x".repeat(FRAME_BYTES_MAX));
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for nonsense in [
        "hello there",
        "[]",
        r#"{"jsonrpc":"2.0","id":"2","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":{},"error":{"code":1,"message":""}}"#,
        r#"{"jsonrpc":"2.0","id":2}"#,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"what?"}}"#,
        &long,
        &deep,
    ] {
        let mut conversation = peer.greeted("i").await;
        let (activity, ()) = tokio::join!(bridge.activity(), async {
            conversation.expect(method::ACTIVITY).await;
            conversation.say(nonsense).await;
            assert!(conversation.is_closed().await, "{:.60}", nonsense);
            let mut next = peer.greeted("i").await;
            let (id, _) = next.expect(method::ACTIVITY).await;
            next.answer(id, json!({ "activity": "committed" })).await;
        });
        activity.unwrap();
    }
}

#[tokio::test]
async fn what_a_newer_application_says_is_passed_over() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    let (activity, ()) = tokio::join!(bridge.activity(), async {
        let (id, _) = conversation.expect(method::ACTIVITY).await;
        for line in [
            r#"{"jsonrpc":"2.0","method":"weather","params":{"rain":true}}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":9,"method":"agent.reboot","params":{}}"#.to_owned(),
            r#"{"jsonrpc":"2.0","id":4711,"result":{"of":"nobody"}}"#.to_owned(),
            r#"{"jsonrpc":"2.0","method":"progress","params":{"request":4711,"phase":"x"}}"#
                .to_owned(),
            r#"{"jsonrpc":"2.0","method":"progress","params":[]}"#.to_owned(),
            r#"{"jsonrpc":"2.0","method":"event","params":{"event":"eclipse"}}"#.to_owned(),
            json!({ "jsonrpc": "2.0", "id": id, "result": { "activity": "idle", "mood": 7 } })
                .to_string(),
        ] {
            conversation.say(&line).await;
        }
    });
    activity.unwrap();
    assert_eq!(bridge.news().borrow().changes, 0);
}

#[tokio::test]
async fn events_and_connections_are_counted() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut news = bridge.news();
    let mut conversation = peer.greeted("i").await;
    for event in ["health_changed", "payment_changed"] {
        let message = json!({ "jsonrpc": "2.0", "method": "event", "params": { "event": event } });
        conversation.say(&message.to_string()).await;
    }
    news.wait_for(|news| news.connections == 1 && news.changes == 2).await.unwrap();
    drop(conversation);
    let _next = peer.greeted("j").await;
    news.wait_for(|news| news.connections == 2).await.unwrap();
    assert_eq!(bridge.instance().await.unwrap(), "j");
}

#[tokio::test]
async fn what_somebody_chooses_in_the_application_is_passed_on_and_what_says_nothing_is_not() {
    let peer = Peer::new();
    let (requests, mut chosen) = tokio::sync::mpsc::channel(1);
    let _bridge = Vendor::open(VendorConfig { requests, ..peer.config() });
    let mut conversation = peer.greeted("i").await;
    for params in [
        json!({ "operation": "end_of_day" }),
        json!({ "key": "a", "operation": "end_of_day", "parameters": { "mode": "report" } }),
        json!({ "key": "more than there is room for", "operation": "reboot" }),
    ] {
        let method = method::OPERATION_REQUEST;
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        conversation.say(&message.to_string()).await;
    }
    let request = chosen.recv().await.unwrap();
    assert_eq!((request.key.as_str(), request.operation.as_str()), ("a", "end_of_day"));
    assert_eq!(request.parameters["mode"], "report");
}

#[tokio::test]
async fn no_more_requests_are_open_than_there_may_be() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    let mut open = tokio::task::JoinSet::new();
    for _ in 0..REQUESTS_MAX {
        let bridge = bridge.clone();
        open.spawn(async move { bridge.activity().await });
    }
    let mut ids = Vec::new();
    for _ in 0..REQUESTS_MAX {
        ids.push(conversation.expect(method::ACTIVITY).await.0);
    }
    let failure = bridge.activity().await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::HalUnavailable);
    assert!(failure.failure_reason.contains("too many"), "{failure}");
    for id in ids {
        conversation.answer(id, json!({ "activity": "idle" })).await;
    }
    while let Some(answer) = open.join_next().await {
        answer.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_is_cancelled_and_its_late_answer_ignored() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    // More often than requests may be open: none is left behind.
    for number in 0..2 * REQUESTS_MAX as u128 {
        let request = drop_a_call(&bridge, &mut conversation, number).await;
        conversation.answer(request, json!({})).await;
    }
    let (activity, ()) = tokio::join!(bridge.activity(), async {
        let (id, _) = conversation.expect(method::ACTIVITY).await;
        conversation.answer(id, json!({ "activity": "idle" })).await;
    });
    activity.unwrap();
}

/// Drops a call whose request has arrived; gives the request.
async fn drop_a_call(bridge: &Vendor, conversation: &mut Conversation, number: u128) -> u64 {
    let (call, _handle) = call(number);
    let parameters = OpenMenuParameters::default();
    let opening = bridge.open_menu(&call, &parameters);
    let request = tokio::select! {
        opened = opening => panic!("nobody has answered: {opened:?}"),
        (request, _) = conversation.expect(method::OPEN_MENU) => request,
    };
    let (_, params) = conversation.expect(method::CANCEL).await;
    assert_eq!(params["request"], request);
    request
}

#[tokio::test]
async fn an_application_that_answers_nothing_any_more_is_connected_to_anew() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    for number in 0..REQUESTS_MAX as u128 {
        drop_a_call(&bridge, &mut conversation, number).await;
    }
    // What is abandoned still counts: the application never sees more than it must take.
    assert_eq!(bridge.activity().await.unwrap_err().code, ErrorCode::HalUnavailable);
    assert!(conversation.is_closed().await);
    let (activity, ()) = tokio::join!(bridge.activity(), async {
        let mut next = peer.greeted("i").await;
        let (id, _) = next.expect(method::ACTIVITY).await;
        next.answer(id, json!({ "activity": "idle" })).await;
    });
    activity.unwrap();
}

#[tokio::test]
async fn progress_reaches_the_call_bounded_and_a_flood_of_it_is_dropped() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    let (call, mut handle) = call(1);
    let parameters = OpenMenuParameters::default();
    let (opened, ()) = tokio::join!(bridge.open_menu(&call, &parameters), async {
        let (id, _) = conversation.expect(method::OPEN_MENU).await;
        for _ in 0..1_000 {
            let params = json!({ "request": id, "phase": "x".repeat(500), "percent": 255 });
            let message = json!({ "jsonrpc": "2.0", "method": "progress", "params": params });
            conversation.say(&message.to_string()).await;
        }
        let opened = json!({ "opened_at": "2026-06-29T06:00:00Z", "shown": true });
        conversation.answer(id, opened).await;
    });
    opened.unwrap();
    let progress = handle.progress.try_recv().unwrap();
    assert_eq!((progress.phase.len(), progress.percent), (32, Some(100)));
    assert!(handle.progress.len() < 10);
}

#[tokio::test]
async fn a_menu_is_never_asked_for_twice() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    let (call, _handle) = call(1);
    let parameters = OpenMenuParameters::default();
    let (opened, ()) = tokio::join!(bridge.open_menu(&call, &parameters), async {
        conversation.expect(method::OPEN_MENU).await;
        drop(conversation);
    });
    let failure = opened.unwrap_err();
    assert_eq!(failure.code, ErrorCode::HalUnavailable);
    assert_eq!(failure.side_effects, SideEffects::Unknown);
}
