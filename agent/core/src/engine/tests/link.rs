//! Rules 15, 16 and 17: when to connect, when a peer is dead, and what the cloud's clock is for.

use terminal_hal::{OperationKind, Timestamp};

use super::{
    samples::{HOUR_MS, MINUTE_MS},
    world::World,
};
use crate::engine::{Effect, Endpoint, Event, LinkEnd, LinkView};
use crate::protocol::{CloudFrame, Reconnect, Welcome};

const LOST: fn() -> LinkEnd = || LinkEnd::Lost { reason: "test".into() };

/// Milliseconds until the engine connects.
fn until_connect(w: &mut World) -> u64 {
    let start = w.monotonic;
    while !w.wait_for_one_deadline().has(&Effect::Connect(Endpoint::Operations)) {}
    w.monotonic - start
}

fn closed(code: u16) -> LinkEnd {
    LinkEnd::Closed { code, reason: String::new() }
}

/// The waits after such an end, with the least and the most jitter.
fn waits_after(end: &LinkEnd) -> (u64, u64) {
    let wait = |jitter| {
        let mut w = World::connected();
        w.jitter = Some(jitter);
        w.step(&Event::LinkClosed(end.clone()));
        until_connect(&mut w)
    };
    (wait(0), wait(u64::MAX))
}

// Rule 16
#[test]
fn the_first_try_is_jittered_too() {
    for (jitter, ms) in [(u64::MAX / 2, 1_000), (u64::MAX, 2_000)] {
        let mut w = World::new();
        w.jitter = Some(jitter);
        w.restart();
        assert_eq!(until_connect(&mut w), ms);
    }
    let mut w = World::new();
    w.jitter = Some(0);
    assert!(w.restart().has(&Effect::Connect(Endpoint::Operations)));
}

// Rule 16
#[test]
fn failures_in_a_row_wait_longer_and_only_a_link_of_a_minute_begins_again() {
    let mut w = World::new();
    w.jitter = Some(u64::MAX);
    w.restart();
    until_connect(&mut w);
    for ms in [2_000, 3_000, 4_500, 6_750] {
        w.step(&Event::LinkClosed(LOST()));
        assert_eq!(until_connect(&mut w), ms);
    }
    for (up_ms, next) in [(59_999, 10_125), (60_000, 2_000)] {
        w.step(&Event::LinkOpened);
        let welcome = w.welcome();
        w.receive(&CloudFrame::Welcome(welcome));
        w.wait(up_ms);
        w.step(&Event::LinkClosed(LOST()));
        assert_eq!(until_connect(&mut w), next, "after {up_ms} ms");
    }
}

// Rule 16
#[test]
fn retry_after_is_honoured_and_bounded() {
    assert_eq!(waits_after(&LinkEnd::RetryAfter { seconds: 100 }), (100_000, 150_000));
    let (least, most) = waits_after(&LinkEnd::RetryAfter { seconds: u32::MAX });
    assert_eq!((least, most), (HOUR_MS, HOUR_MS + HOUR_MS / 2));
}

// Rules 15 and 16
#[test]
fn a_refusal_is_tried_again_slowly_for_ever() {
    let refused = LinkEnd::Refused { reason: String::new() };
    for end in [closed(1008), closed(4401), closed(4403), refused.clone()] {
        assert_eq!(waits_after(&end), (MINUTE_MS, 2 * MINUTE_MS), "{end:?}");
    }
    let mut w = World::connected();
    for _ in 0..100 {
        w.step(&Event::LinkClosed(refused.clone()));
        assert!(until_connect(&mut w) <= HOUR_MS);
    }
}

// Rule 15
#[test]
fn the_loser_of_two_links_waits_five_minutes_at_least() {
    assert_eq!(waits_after(&closed(4409)), (5 * MINUTE_MS, 10 * MINUTE_MS));
    let mut w = World::connected();
    w.jitter = Some(0);
    w.step(&Event::LinkClosed(closed(4409)));
    w.step(&Event::NetworkUp);
    assert_eq!(until_connect(&mut w), 5 * MINUTE_MS, "a better network changes nothing");
}

// Rule 16
#[test]
fn a_drained_link_comes_back_when_the_cloud_said() {
    let mut w = World::connected();
    w.jitter = Some(u64::MAX);
    let drained = w.receive(&CloudFrame::Reconnect(Reconnect { after_s: 10, spread_s: 60 }));
    assert_eq!(drained.close_codes(), [1000]);
    w.step(&Event::LinkClosed(LOST()));
    w.step(&Event::NetworkUp);
    assert_eq!(until_connect(&mut w), 70_000);
}

// Rule 16
#[test]
fn a_drain_before_welcome_is_honoured_too() {
    let mut w = World::new();
    w.open_link();
    w.jitter = Some(0);
    w.receive(&CloudFrame::Reconnect(Reconnect { after_s: 500, spread_s: 0 }));
    w.step(&Event::LinkClosed(LOST()));
    assert_eq!(until_connect(&mut w), 500_000);
}

// Rule 16
#[test]
fn a_better_network_ends_an_ordinary_wait_early_and_never_makes_it_longer() {
    let mut w = World::connected();
    w.jitter = Some(u64::MAX);
    for _ in 0..16 {
        w.step(&Event::LinkClosed(LOST()));
        until_connect(&mut w);
    }
    w.step(&Event::LinkClosed(LOST()));
    w.step(&Event::NetworkUp);
    assert_eq!(until_connect(&mut w), 2_000);
    w.jitter = Some(1 << 55);
    w.step(&Event::LinkClosed(LOST()));
    w.jitter = Some(u64::MAX);
    w.step(&Event::NetworkUp);
    assert_eq!(until_connect(&mut w), 300_000 >> 9);
}

// Rule 16
#[test]
fn without_a_welcome_the_link_is_closed_after_fifteen_seconds() {
    let mut w = World::new();
    w.open_link();
    assert!(w.wait(14_999).close_codes().is_empty());
    assert_eq!(w.wait(1).close_codes(), [4408]);
    assert_eq!(w.step(&Event::LinkClosed(LOST())).appends(), 0);
    w.connect();
}

// Rule 16
#[test]
fn a_silent_peer_is_dead_after_one_and_a_half_heartbeats() {
    let mut w = World::connected();
    w.answers_pings = false;
    assert!(w.wait(89_999).close_codes().is_empty());
    assert_eq!(w.wait(1).close_codes(), [1001]);
}

// Rules 7 and 16
#[test]
fn what_lay_in_the_socket_while_the_process_stood_still_is_not_taken() {
    for (stood_still_ms, is_taken) in [(89_999, true), (90_000, false), (12 * HOUR_MS, false)] {
        let mut w = World::connected();
        w.monotonic += stood_still_ms;
        let effects = w.dispatch(1, OperationKind::OpenMenu);
        assert_eq!(!effects.starts().is_empty(), is_taken, "{stood_still_ms}");
        assert_eq!(effects.close_codes().is_empty(), is_taken, "{stood_still_ms}");
    }
    for (stood_still_ms, close_codes) in [(14_999, &[][..]), (15_000, &[4408][..])] {
        let mut w = World::new();
        until_connect(&mut w);
        w.step(&Event::LinkOpened);
        w.monotonic += stood_still_ms;
        let welcome = w.welcome();
        let effects = w.receive(&CloudFrame::Welcome(welcome));
        assert_eq!(effects.close_codes(), close_codes, "{stood_still_ms}");
    }
}

// Rule 16
#[test]
fn a_peer_that_answers_keeps_the_link_up() {
    let mut w = World::connected();
    let effects = w.wait(24 * HOUR_MS);
    assert!(effects.close_codes().is_empty());
    let pings = effects.all.iter().filter(|effect| **effect == Effect::Ping).count();
    assert_eq!(pings, 24 * 60 * 2, "every half heartbeat");
}

// Rule 16
#[test]
fn reports_without_ack_progress_for_a_minute_end_the_link() {
    let mut w = World::connected();
    for n in 1..=2 {
        w.dispatch(n, OperationKind::SendLogs);
        w.complete(n);
    }
    w.wait(50_000);
    w.ack(1);
    assert!(w.wait(59_999).close_codes().is_empty(), "an ack is progress");
    assert_eq!(w.wait(1).close_codes(), [1001]);
    w.lose_link();
    w.connect();
    w.ack(2);
    assert!(w.wait(HOUR_MS).close_codes().is_empty(), "nothing is in flight");
}

// Rule 16
#[test]
fn a_link_that_does_not_open_or_close_is_given_up() {
    let mut w = World::new();
    until_connect(&mut w);
    assert!(w.wait(59_999).close_codes().is_empty());
    assert_eq!(w.wait(1).close_codes().len(), 1);
    assert!(!w.wait(9_999).has(&Effect::Connect(Endpoint::Operations)));
    assert!(w.wait(1 + 4_000).has(&Effect::Connect(Endpoint::Operations)), "two windows at most");
}

// Rule 16
#[test]
fn a_link_that_opens_too_late_is_closed_again_and_gets_no_hello() {
    let mut w = World::new();
    until_connect(&mut w);
    w.jitter = Some(u64::MAX);
    w.lose_link();
    let late = w.step(&Event::LinkOpened);
    assert!(late.frames().is_empty());
    assert_eq!(late.close_codes(), [1001]);
    assert!(matches!(w.engine.view(&w.now()).link, LinkView::Waiting { .. }));
    w.connect();
}

// Rule 16
#[test]
fn the_heartbeat_is_held_within_its_bounds() {
    for (heartbeat_s, dead_after_ms) in [(0, 7_500), (5, 7_500), (u32::MAX, 5_400_000)] {
        let mut w = World::new();
        w.open_link();
        let welcome = Welcome { heartbeat_s, ..w.welcome() };
        w.receive(&CloudFrame::Welcome(welcome));
        w.answers_pings = false;
        assert!(w.wait(dead_after_ms - 1).close_codes().is_empty());
        assert_eq!(w.wait(1).close_codes(), [1001]);
    }
}

// Rule 17
#[test]
fn the_clouds_time_is_an_offset_beside_the_wall_clock() {
    let mut w = World::new();
    w.wall_trusted = false;
    assert_eq!(w.engine.view(&w.now()).cloud_offset_ms, None);
    w.cloud_ahead_ms = HOUR_MS;
    w.connect();
    w.wait(MINUTE_MS);
    let view = w.engine.view(&w.now());
    assert_eq!(view.cloud_offset_ms, Some(3_600_000));
    assert_eq!(view.status.clock.now, Timestamp::from_unix_ms(w.wall));
    assert!(!view.status.clock.trusted);
    w.dispatch(1, OperationKind::SendLogs);
    w.complete(1);
    assert_eq!(w.verdict(1).finished_at, Timestamp::from_unix_ms(w.wall));
    assert!(!w.verdict(1).clock_trusted);
}
