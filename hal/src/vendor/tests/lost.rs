//! Answers that never come: what must not happen twice is asked about by id.

use super::*;
use crate::{
    ErrorCode, Failure, SideEffects,
    api::{Firmware, HoldPolicy, IfPaymentActive, InstallOutcome, LockRequest, Payments, Power},
    operation::{
        EndOfDayParameters, EndOfDayResult, UnlockParameters, UpdateParameters,
        end_of_day::CloseOutcome,
    },
};

/// Closes with id 1; the connection breaks when the request has been read.
async fn close_cut_off<F: Future<Output = ()>>(
    peer: &Peer,
    bridge: &Vendor,
    afterwards: impl FnOnce(Conversation) -> F,
) -> Result<EndOfDayResult, Failure> {
    let mut conversation = peer.greeted("i").await;
    let (call, _handle) = call(1);
    let parameters = EndOfDayParameters::default();
    let (result, ()) = tokio::join!(bridge.close_batch(&call, &parameters), async {
        let (_, params) = conversation.expect(method::CLOSE).await;
        assert_eq!(params["operation_id"], id(1).to_string());
        drop(conversation);
        afterwards(peer.greeted("j").await).await;
    });
    result
}

/// Answers the next question about a close.
async fn tell(conversation: &mut Conversation, state: Value) {
    let (request, params) = conversation.expect(method::QUERY_CLOSE).await;
    assert_eq!(params["operation_id"], id(1).to_string());
    conversation.answer(request, state).await;
}

#[tokio::test(start_paused = true)]
async fn a_close_that_has_finished_meanwhile_is_not_sent_again() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let result = close_cut_off(&peer, &bridge, async |mut conversation| {
        // Also when the next connection breaks over the question.
        conversation.expect(method::QUERY_CLOSE).await;
        drop(conversation);
        let mut conversation = peer.greeted("j").await;
        tell(&mut conversation, json!({ "state": "running" })).await;
        let finished = json!({ "state": "finished", "result": totals("closed") });
        tell(&mut conversation, finished).await;
    })
    .await;
    assert_eq!(result.unwrap().outcome, CloseOutcome::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_has_not_started_is_sent_again_with_its_id_and_its_hold() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    let (call, _handle) = call(1);
    let policy = HoldPolicy {
        lease: Duration::from_secs(30),
        if_payment_active: IfPaymentActive::Cancel,
        wait_max: Duration::from_secs(9),
    };
    let parameters = EndOfDayParameters::default();
    let work = async {
        bridge.hold_payments(&call, &policy).await?;
        bridge.close_batch(&call, &parameters).await
    };
    let (result, ()) = tokio::join!(work, async {
        let (request, first) = conversation.expect(method::HOLD).await;
        conversation.answer(request, json!({})).await;
        conversation.expect(method::CLOSE).await;
        drop(conversation);
        let mut conversation = peer.greeted("j").await;
        tell(&mut conversation, json!({ "state": "not_started" })).await;
        // Another instance knows nothing of the hold.
        let (request, again) = conversation.expect(method::HOLD).await;
        assert_eq!(first["parameters"], again["parameters"]);
        conversation.answer(request, json!({})).await;
        let (request, params) = conversation.expect(method::CLOSE).await;
        assert_eq!(params["operation_id"], id(1).to_string());
        conversation.answer(request, totals("empty")).await;
    });
    assert_eq!(result.unwrap().outcome, CloseOutcome::Empty);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_never_starts_is_given_up_without_side_effects() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let result = close_cut_off(&peer, &bridge, async |mut conversation| {
        for _ in 0..2 {
            tell(&mut conversation, json!({ "state": "not_started" })).await;
            conversation.expect(method::CLOSE).await;
            drop(conversation);
            conversation = peer.greeted("k").await;
        }
        tell(&mut conversation, json!({ "state": "not_started" })).await;
    })
    .await;
    let failure = result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Interrupted);
    assert_eq!(failure.side_effects, SideEffects::None);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_has_failed_or_cannot_be_told_says_so() {
    for (state, code, effects) in [
        (
            json!({ "state": "failed", "failure": { "message": "no line",
                "code": "HOST_UNREACHABLE", "side_effects": "none" } }),
            ErrorCode::HostUnreachable,
            SideEffects::None,
        ),
        (json!({ "state": "unknown" }), ErrorCode::OutcomeUnknown, SideEffects::Unknown),
    ] {
        let peer = Peer::new();
        let bridge = peer.bridge();
        let result = close_cut_off(&peer, &bridge, async |mut conversation| {
            tell(&mut conversation, state).await;
        })
        .await;
        let failure = result.unwrap_err();
        assert_eq!((failure.code, failure.side_effects), (code, effects));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_a_close_that_cannot_be_read_is_no_answer() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let result = close_cut_off(&peer, &bridge, async |mut conversation| {
        tell(&mut conversation, json!({ "state": "finished" })).await;
        tell(&mut conversation, json!({ "state": "perhaps" })).await;
        tell(&mut conversation, json!({})).await;
        let finished = json!({ "state": "finished", "result": totals("closed") });
        tell(&mut conversation, finished).await;
    })
    .await;
    assert_eq!(result.unwrap().outcome, CloseOutcome::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_close_that_was_withdrawn_and_had_not_started_is_not_sent_again() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    let (call, handle) = call(1);
    let parameters = EndOfDayParameters::default();
    let (result, ()) = tokio::join!(bridge.close_batch(&call, &parameters), async {
        let (request, _) = conversation.expect(method::CLOSE).await;
        handle.cancel();
        let (_, params) = conversation.expect(method::CANCEL).await;
        assert_eq!(params["request"], request);
        drop(conversation);
        let mut conversation = peer.greeted("j").await;
        tell(&mut conversation, json!({ "state": "not_started" })).await;
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Canceled);
    assert_eq!(failure.side_effects, SideEffects::None);
}

#[tokio::test(start_paused = true)]
async fn an_installation_is_asked_about_in_the_same_way() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    let (call, _handle) = call(1);
    let parameters = UpdateParameters::default();
    let (result, ()) = tokio::join!(bridge.install(&call, &parameters), async {
        conversation.expect(method::INSTALL).await;
        drop(conversation);
        let mut conversation = peer.greeted("j").await;
        let (request, _) = conversation.expect(method::QUERY_UPDATE).await;
        conversation.answer(request, json!({ "state": "restart_required" })).await;
    });
    assert_eq!(result.unwrap(), InstallOutcome::RestartRequired);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_sent_again_and_given_up_after_three_times() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let request = LockRequest::Unlock(UnlockParameters::default());
    let (call, _handle) = call(1);
    let (result, ()) = tokio::join!(bridge.set_locked(&call, &request), async {
        for _ in 0..3 {
            let mut conversation = peer.greeted("i").await;
            conversation.expect(method::SET_LOCKED).await;
        }
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::HalUnavailable);
    assert_eq!(failure.side_effects, SideEffects::Unknown);
}

#[tokio::test(start_paused = true)]
async fn an_application_restart_is_asked_for_again_where_the_same_instance_comes_back() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let (call, _handle) = call(1);
    let (result, _open) = tokio::join!(bridge.restart_application(&call), async {
        for instance in ["i", "i"] {
            let mut conversation = peer.greeted(instance).await;
            conversation.expect(method::RESTART_APPLICATION).await;
        }
        peer.greeted("j").await
    });
    result.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_application_that_does_not_come_back_may_have_restarted_or_not() {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let (call, _handle) = call(1);
    let (result, ()) = tokio::join!(bridge.restart_application(&call), async {
        peer.greeted("i").await.expect(method::RESTART_APPLICATION).await;
    });
    let failure = result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::HalUnavailable);
    assert_eq!(failure.side_effects, SideEffects::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_hold_without_an_answer_has_done_nothing_unless_it_may_have_cancelled_a_payment() {
    for (if_payment_active, effects) in [
        (IfPaymentActive::Wait, SideEffects::None),
        (IfPaymentActive::Cancel, SideEffects::Unknown),
    ] {
        let peer = Peer::new();
        let bridge = peer.bridge();
        let mut conversation = peer.greeted("i").await;
        let (call, _handle) = call(1);
        let wait_max = Duration::from_secs(9);
        let policy = HoldPolicy { lease: Duration::from_secs(30), if_payment_active, wait_max };
        let (held, _) =
            tokio::join!(bridge.hold_payments(&call, &policy), conversation.expect(method::HOLD));
        let failure = held.unwrap_err();
        assert_eq!((failure.code, failure.side_effects), (ErrorCode::HalUnavailable, effects));
    }
}
