//! What is made of answers: errors in the words of the catalogue, results within their limits.

use super::*;
use crate::{
    ErrorCode, Failure, SideEffects,
    api::{Firmware, Health, LockRequest, Logs, Payments, Power},
    operation::{
        CheckUpdateParameters, EndOfDayParameters, EndOfDayResult, UnlockParameters,
        UpdateParameters, reboot::BootReason, update::Apply,
    },
    status::PowerSource,
};

/// Plays one question and its answer, a whole message without version and id.
async fn answered<T>(
    work: impl AsyncFnOnce(Vendor) -> Result<T, Failure>,
    mut message: Value,
) -> Result<T, Failure> {
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    let play = async {
        loop {
            let line = conversation.lines.next().await.unwrap().unwrap();
            let request: Value = serde_json::from_slice(&line).unwrap();
            message["jsonrpc"] = json!("2.0");
            message["id"] = request["id"].clone();
            conversation.say(&message.to_string()).await;
            // Whoever doubts the answer learns nothing more.
            message = json!({ "result": { "state": "unknown" } });
        }
    };
    tokio::select! {
        result = work(bridge) => result,
        never = play => never,
    }
}

async fn close(bridge: Vendor) -> Result<EndOfDayResult, Failure> {
    let (call, _handle) = call(1);
    bridge.close_batch(&call, &EndOfDayParameters::default()).await
}

#[tokio::test]
async fn what_an_application_says_of_a_card_is_masked_before_anybody_reads_it() {
    const NUMBER: &str = "4111111111111111";
    let message = format!("host declined {NUMBER}");
    let failed = |data: Value| json!({ "code": -32000, "message": message, "data": data });
    for answer in [
        json!({ "error": failed(json!({ "code": "HOST_REJECTED", "side_effects": "none" })) }),
        json!({ "error": failed(json!({ "code": NUMBER })) }),
        json!({ "error": { "code": -32602, "message": message } }),
        json!({ "error": { "code": -1, "message": message } }),
        // Not to be read: the reason quotes what is there.
        json!({ "result": { "outcome": NUMBER } }),
        json!({ "result": NUMBER }),
    ] {
        let failure = answered(close, answer.clone()).await.unwrap_err();
        let reason = &failure.failure_reason;
        assert!(!reason.contains("4111") && reason.contains("****1111"), "{answer}: {reason}");
    }
}

#[tokio::test]
async fn every_error_becomes_a_failure_that_a_person_understands() {
    use ErrorCode::{BusyPayment, DeviceFault, InvalidParameters, UnsupportedByHardware};
    let failed = |data: Value| json!({ "code": -32000, "message": "because", "data": data });
    for (error, code, effects, says) in [
        (
            failed(json!({ "code": "BUSY_PAYMENT", "side_effects": "none" })),
            BusyPayment,
            SideEffects::None,
            "because",
        ),
        (
            failed(json!({ "code": "BUSY_PAYMENT", "side_effects": "partial" })),
            BusyPayment,
            SideEffects::Partial,
            "because",
        ),
        (failed(json!({ "code": "BUSY_PAYMENT" })), BusyPayment, SideEffects::Unknown, "because"),
        (
            failed(json!({ "code": "OUT_OF_COFFEE", "side_effects": "none" })),
            DeviceFault,
            SideEffects::None,
            "OUT_OF_COFFEE: because",
        ),
        (failed(json!("text")), DeviceFault, SideEffects::Unknown, "-32000"),
        (
            json!({ "code": -32601, "message": "?" }),
            UnsupportedByHardware,
            SideEffects::None,
            "payments.close",
        ),
        (
            json!({ "code": -32602, "message": "batch_id: no" }),
            InvalidParameters,
            SideEffects::None,
            "batch_id: no",
        ),
        (json!({ "code": -32603 }), DeviceFault, SideEffects::Unknown, "-32603"),
        (
            json!({ "code": 7, "message": "own", "data": { "x": 1 } }),
            DeviceFault,
            SideEffects::Unknown,
            "own",
        ),
    ] {
        let failure = answered(close, json!({ "error": error })).await.unwrap_err();
        assert_eq!((failure.code, failure.side_effects), (code, effects), "{error}");
        assert!(failure.failure_reason.contains(says), "{failure}");
    }
}

#[tokio::test]
async fn a_failure_is_cut_to_its_limits() {
    let data = json!({
        "code": "OUTSIDE_WINDOW", "side_effects": "none", "retryable": false,
        "retry_after_s": 4_000_000_000_u32,
    });
    let error = json!({ "code": -32000, "message": "x\n".repeat(5_000), "data": data });
    let failure = answered(close, json!({ "error": error })).await.unwrap_err();
    assert_eq!(failure.failure_reason.chars().count(), 256);
    assert_eq!((failure.retryable, failure.retry_after_s), (false, Some(86_400)));
}

#[tokio::test]
async fn totals_that_cannot_be_read_may_have_closed_the_batch() {
    for (field, value) in [
        ("purchases_amount", json!(110.5)),
        ("purchases_amount", json!("110")),
        ("purchases_count", json!(-1)),
        ("outcome", json!("exploded")),
        ("start_of_day_at", json!("yesterday")),
        ("offline", json!(null)),
    ] {
        let mut result = totals("closed");
        result[field] = value;
        let failure = answered(close, json!({ "result": result })).await.unwrap_err();
        assert_eq!(failure.code, ErrorCode::DeviceFault, "{field}");
        assert_eq!(failure.side_effects, SideEffects::Unknown, "{field}");
        assert!(failure.failure_reason.contains("payments.close"), "{failure}");
    }
}

#[tokio::test]
async fn totals_are_bounded_and_rows_of_an_unknown_sort_left_out_with_a_warning() {
    let mut result = totals("closed");
    let row = |kind: &str| json!({ "scheme": "s".repeat(99), "currency": "NOKKK", "type": kind, "count": 1, "amount": 1 });
    result["totals"] = json!([row("purchase"), row("donation")]);
    result["batch_id"] = json!("b".repeat(99));
    result["tip_amount"] = json!(11);
    let day = answered(close, json!({ "result": result })).await.unwrap();
    assert_eq!((day.totals.len(), day.batch_id.len()), (1, 64));
    assert_eq!((day.totals[0].scheme.len(), day.totals[0].currency.len()), (32, 3));
    assert_eq!(day.warnings, ["TOTALS_TRUNCATED", "TOTALS_INCONSISTENT"]);
}

#[tokio::test]
async fn a_lock_that_did_not_happen_is_a_fault() {
    let work = async |bridge: Vendor| {
        let (call, _handle) = call(1);
        let request = LockRequest::Unlock(UnlockParameters::default());
        bridge.set_locked(&call, &request).await
    };
    let result = json!({ "locked": true, "changed": false, "pending_offline": 0 });
    let failure = answered(work, json!({ "result": result })).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DeviceFault);
    assert_eq!(failure.side_effects, SideEffects::Unknown);
}

#[tokio::test]
async fn health_that_the_agent_does_not_know_is_unknown_health() {
    let work = async |bridge: Vendor| bridge.health().await;
    let result = json!({
        "battery_level": 250, "power": "mains", "printer": "levitating",
        "network": { "type": "pigeon" }, "batch": 7, "locked": true, "mood": "good",
    });
    let health = answered(work, json!({ "result": result })).await.unwrap();
    assert_eq!((health.battery_level, health.power), (Some(100), Some(PowerSource::Mains)));
    assert_eq!((health.printer, health.network, health.batch), (None, None, None));
    assert!(health.locked && !health.tampered);
}

#[tokio::test]
async fn updates_and_causes_of_an_unknown_sort_are_left_out() {
    let check = async |bridge: Vendor| {
        let (call, _handle) = call(1);
        bridge.check(&call, &CheckUpdateParameters::default()).await
    };
    let result = json!({
        "available": true, "current": [{ "component": "toaster", "version": "1" }],
        "updates": [{ "component": "toaster", "version": "2" }],
        "checked_at": "2026-06-29T06:00:00Z", "blocked_by": ["LOW_BATTERY", "FULL_MOON"],
    });
    let found = answered(check, json!({ "result": result })).await.unwrap();
    assert!(!found.available && found.updates.is_empty() && found.current.is_empty());
    assert_eq!(found.blocked_by, [ErrorCode::LowBattery]);
    let boot = async |bridge: Vendor| bridge.reset_cause().await;
    let result = json!({ "boot_id": id(5), "reset_cause": "lightning" });
    assert_eq!(answered(boot, json!({ "result": result })).await.unwrap(), BootReason::Unknown);
}

#[tokio::test]
async fn a_window_that_the_application_calls_closed_puts_an_installation_off() {
    let answer = json!({ "result": {
        "available": false, "current": [], "updates": [],
        "checked_at": "2026-06-29T06:00:00Z", "blocked_by": ["OUTSIDE_WINDOW"],
    }});
    let ready = |apply| {
        async move |bridge: Vendor| {
            let (call, _handle) = call(1);
            let parameters = UpdateParameters { apply, ..UpdateParameters::default() };
            bridge.check_ready(&call, &parameters).await
        }
    };
    let failure = answered(ready(Apply::Window), answer.clone()).await.unwrap_err();
    assert_eq!((failure.code, failure.retry_after_s), (ErrorCode::OutsideWindow, Some(900)));
    assert_eq!(answered(ready(Apply::Now), answer).await, Ok(None));
    let away = json!({ "error": {
        "code": -32000, "message": "no host", "data": { "code": "NETWORK_UNAVAILABLE" },
    }});
    let failure = answered(ready(Apply::Now), away).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::NetworkUnavailable);
}

#[tokio::test]
async fn a_page_of_logs_without_an_end_is_a_fault() {
    let range = crate::api::LogRange {
        from: crate::Timestamp::from_unix_ms(0),
        to: crate::Timestamp::from_unix_ms(10_000),
        components: Vec::new(),
        min_level: crate::operation::send_logs::LogLevel::Trace,
    };
    let peer = Peer::new();
    let bridge = peer.bridge();
    let mut conversation = peer.greeted("i").await;
    let (call, _handle) = call(1);
    let line = json!({ "time": "1970-01-01T00:00:01Z", "level": "info", "component": "c",
        "message": "m".repeat(9_000) });
    let read = async {
        let mut stream = bridge.collect(&call, &range).await?;
        let mut lines = Vec::new();
        while let Some(line) = stream.recv().await {
            lines.push(line?);
        }
        Ok::<_, Failure>(lines)
    };
    let (read, ()) = tokio::join!(read, async {
        for _ in 0..2 {
            let (request, _) = conversation.expect(method::READ_LOGS).await;
            conversation.answer(request, json!({ "lines": [line, 7], "cursor": "same" })).await;
        }
    });
    let failure = read.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DeviceFault);
    assert!(failure.failure_reason.contains("does not move"), "{failure}");
}
