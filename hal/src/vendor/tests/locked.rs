//! A lock that is in force comes first on every connection.

use tokio::sync::watch;

use super::*;
use crate::{api::Payments, operation::LockParameters, vendor::StandingLock};

fn standing() -> StandingLock {
    let unconfirmed = watch::Sender::new(true);
    let parameters = LockParameters { message: Some("Call us".to_owned()), ..Default::default() };
    StandingLock { operation_id: id(9), parameters, unconfirmed }
}

fn locked_bridge(peer: &Peer) -> (Vendor, watch::Sender<Option<StandingLock>>) {
    let (sender, standing_lock) = watch::channel(Some(standing()));
    (Vendor::open(VendorConfig { standing_lock, ..peer.config() }), sender)
}

fn is_unconfirmed(sender: &watch::Sender<Option<StandingLock>>) -> bool {
    sender.borrow().as_ref().is_some_and(|lock| *lock.unconfirmed.borrow())
}

fn locked(changed: bool) -> Value {
    json!({ "locked": true, "changed": changed, "pending_offline": 0 })
}

async fn tell_activity(conversation: &mut Conversation) {
    let (request, _) = conversation.expect(method::ACTIVITY).await;
    conversation.answer(request, json!({ "activity": "idle" })).await;
}

#[tokio::test(start_paused = true)]
async fn an_application_that_comes_back_is_locked_before_it_is_asked_anything_else() {
    let peer = Peer::new();
    let (bridge, sender) = locked_bridge(&peer);
    for instance in ["i", "j"] {
        // Waits for a connection since before there is one.
        let (activity, ()) = tokio::join!(bridge.activity(), async {
            let mut conversation = peer.greeted(instance).await;
            let (request, params) = conversation.expect(method::SET_LOCKED).await;
            assert_eq!(params["operation_id"], id(9).to_string());
            assert_eq!(params["parameters"]["locked"], true);
            assert_eq!(params["parameters"]["message"], "Call us");
            conversation.answer(request, locked(instance == "j")).await;
            tell_activity(&mut conversation).await;
        });
        activity.unwrap();
        let is_down = |link: &super::super::Link| matches!(link, super::super::Link::Down(_));
        timeout(PATIENCE, bridge.link.clone().wait_for(is_down)).await.unwrap().unwrap();
    }
    assert!(!is_unconfirmed(&sender), "the application has said that it is locked");
    // Once it is unlocked nothing stands any more.
    sender.send_replace(None);
    let (activity, ()) = tokio::join!(bridge.activity(), async {
        tell_activity(&mut peer.greeted("k").await).await;
    });
    activity.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_application_that_does_not_take_the_lock_is_not_worked_with() {
    let peer = Peer::new();
    let (bridge, sender) = locked_bridge(&peer);
    let fault = json!({ "code": -32603, "message": "no screen to lock" });
    for (answer, why) in [
        (json!({ "error": fault }), "no screen to lock"),
        (
            json!({ "result": { "locked": false, "changed": false, "pending_offline": 0 } }),
            "says that it is not locked",
        ),
        (json!({ "result": {} }), "missing field"),
        (Value::Null, "no answer in time"),
    ] {
        let mut conversation = peer.greeted("i").await;
        let (request, _) = conversation.expect(method::SET_LOCKED).await;
        if let Some(fields) = answer.as_object() {
            let mut message = fields.clone();
            message.insert("jsonrpc".to_owned(), json!("2.0"));
            message.insert("id".to_owned(), json!(request));
            conversation.say(&Value::Object(message).to_string()).await;
        }
        assert!(conversation.is_closed().await, "{why}");
        let said = |link: &super::super::Link| format!("{link:?}").contains(why);
        timeout(PATIENCE, bridge.link.clone().wait_for(said)).await.expect(why).unwrap();
        assert!(is_unconfirmed(&sender), "{why}");
    }
}
