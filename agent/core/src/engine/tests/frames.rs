//! What the terminal answers to frames that it does not like.

use terminal_hal::OperationKind;

use super::{samples::id, world::World};
use crate::engine::{Effect, Event};
use crate::protocol::{CloudFrame, ErrorFrame, LogAck, TEXT_FRAME_BYTES_MAX, encode};

#[test]
fn an_unknown_type_is_answered_and_the_link_stays() {
    let mut w = World::connected();
    let effects = w.receive_text(r#"{"type":"dance","id":"x"}"#);
    assert_eq!(effects.error_codes(), ["UNSUPPORTED_MESSAGE"]);
    assert!(effects.close_codes().is_empty());
}

#[test]
fn what_is_not_a_frame_closes_the_link_with_its_code() {
    let too_big = " ".repeat(TEXT_FRAME_BYTES_MAX + 1);
    for (text, code) in [("{", 1007), ("[]", 1007), ("", 1007), (too_big.as_str(), 1009)] {
        let mut w = World::connected();
        assert_eq!(w.receive_text(text).close_codes(), [code]);
        let after = w.dispatch(1, OperationKind::EndOfDay);
        assert!(after.is_empty(), "nothing that comes after it counts");
    }
}

#[test]
fn a_known_type_with_a_wrong_field_is_answered_with_its_id_and_stores_nothing() {
    let mut w = World::connected();
    let effects = w.receive_text(r#"{"type":"operation","id":"x1","operation":7}"#);
    assert_eq!(effects.error_codes(), ["INVALID_MESSAGE"]);
    assert_eq!(effects.errors()[0].reference.as_deref(), Some("x1"));
    assert_eq!(effects.appends(), 0);
}

#[test]
fn nothing_but_welcome_comes_first_and_it_comes_once() {
    let mut w = World::new();
    w.open_link();
    let effects = w.dispatch(1, OperationKind::EndOfDay);
    assert_eq!((effects.error_codes(), effects.appends()), (vec!["NOT_WELCOMED"], 0));
    let welcome = w.welcome();
    w.receive(&CloudFrame::Welcome(welcome));
    let epoch = w.epoch();
    let welcome = crate::protocol::Welcome { ack_seq: crate::protocol::Seq(9), ..w.welcome() };
    assert_eq!(w.receive(&CloudFrame::Welcome(welcome)).error_codes(), ["INVALID_MESSAGE"]);
    assert_eq!(w.epoch(), epoch);
}

#[test]
fn frames_without_a_link_are_ignored() {
    let mut w = World::connected();
    w.lose_link();
    for text in ["{", r#"{"type":"dance"}"#] {
        assert!(w.receive_text(text).is_empty());
    }
    let welcome = w.welcome();
    assert!(w.receive(&CloudFrame::Welcome(welcome)).is_empty());
    assert!(w.dispatch(1, OperationKind::EndOfDay).is_empty());
}

#[test]
fn answers_about_log_data_reach_the_upload() {
    let mut w = World::connected();
    let ack = LogAck { id: id(1), attempt: 1, offset: 5, complete: false };
    assert_eq!(w.receive(&CloudFrame::LogAck(ack)).all, [Effect::UploadAcked(ack)]);
    for (reference, refused) in [(None, 0), (Some("7".to_owned()), 0), (Some(id(1).to_string()), 1)]
    {
        let code = "DIGEST_MISMATCH".to_owned();
        let error = ErrorFrame { code: code.clone(), message: "x".into(), reference };
        let effects = w.receive(&CloudFrame::Error(error));
        assert_eq!(effects.all, vec![Effect::UploadRefused { id: id(1), code }; refused]);
    }
    w.lose_link();
    assert!(w.connect().has(&Effect::AllowUploads));
}

#[test]
fn any_bytes_at_all_leave_the_engine_in_a_state_that_goes_on() {
    let good = encode(&CloudFrame::Operation(Box::new(
        World::new().operation(1, OperationKind::EndOfDay),
    )));
    for cut in 0..good.len() {
        let mut w = World::new();
        w.compares_memory = false;
        w.connect();
        w.step(&Event::FrameReceived(good.as_bytes()[..cut].to_vec()));
        assert!(w.engine.operations.is_empty());
        w.lose_link();
        w.connect();
    }
}
