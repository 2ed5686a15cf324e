//! Renewal: before two thirds of a certificate's life, with the one before as a way back, and at the
//! enrolment endpoint once it has expired.

use super::{
    enrolment::{
        adopts, begin, certificate, closed, enrolled, hear, next_endpoint, orders, request, world,
    },
    samples::{DAY_MS, HOUR_MS, MINUTE_MS},
    world::World,
};
use crate::engine::{
    Certificate, Certificates, Credentials, Endpoint, Event, IdentityOrder, LinkEnd,
    MembershipState, RequestKey,
};
use terminal_hal::Timestamp;

use crate::protocol::{
    Attention, CloudFrame, EnrolCloudFrame, ErrorFrame, EventName, Welcome, close_code,
};

const LIFE_DAYS: u64 = 90;

/// A member with a certificate of 90 days that has just begun, not connected.
fn resting() -> World {
    let mut w = world(Credentials::Enrolled(None));
    let newest = certificate(&w, LIFE_DAYS);
    w.settings.credentials =
        Credentials::Enrolled(Some(Certificates { newest, before: None, on_probation: false }));
    w.restart();
    w
}

/// A member that has not used its new certificate yet.
fn renewed() -> World {
    let mut w = resting();
    let newest = certificate(&w, LIFE_DAYS);
    let both = Certificates { newest, before: Some(newest), on_probation: false };
    w.settings.credentials = Credentials::Enrolled(Some(both));
    w.restart();
    w
}

/// One that rested until now, connected.
fn member(jitter: u64) -> World {
    let mut w = resting();
    w.jitter = Some(jitter);
    w.compares_memory = false;
    w.restart();
    if jitter > 0 {
        assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
    }
    w.step(&Event::LinkOpened);
    // Months go by in these tests: few heartbeats.
    let welcome = Welcome { heartbeat_s: 3600, ..w.welcome() };
    w.receive(&CloudFrame::Welcome(welcome));
    w
}

/// Days of the certificate's life that are over when the terminal asks for a new one.
fn days_until_request(w: &mut World) -> (u64, String) {
    let begins = w.engine.view(&w.now()).membership.certificate.unwrap().not_before;
    for _ in 0..1_000_000 {
        let woken = w.wait_for_one_deadline();
        w.step(&Event::PeerHeard);
        if let Some(request) = request(&woken) {
            assert_eq!(request.key, RequestKey::New);
            return ((w.wall - begins.unix_ms()) / DAY_MS, request.nonce.clone());
        }
    }
    panic!("no request: {:?}", w.engine);
}

#[test]
fn renewal_begins_between_half_and_two_thirds_of_the_life() {
    assert_eq!(days_until_request(&mut member(0)).0, 45);
    assert_eq!(days_until_request(&mut member(u64::MAX)).0, 60);
}

#[test]
fn a_renewed_certificate_is_used_on_a_new_link_and_the_old_one_goes_once_that_is_welcomed() {
    let mut w = member(0);
    let (_, nonce) = days_until_request(&mut w);
    let answered = hear(&mut w, &enrolled(&nonce, "T-1"));
    assert!(adopts(&answered) && request(&answered).is_none(), "{answered:?}");
    assert!(!adopts(&hear(&mut w, &enrolled(&nonce, "T-1"))), "it is being stored");
    let (terminal_id, certificate) = ("T-1".into(), certificate(&w, LIFE_DAYS));
    let stored = w.step(&Event::IdentityAdopted { terminal_id, certificate });
    assert_eq!(stored.close_codes(), [close_code::NORMAL]);
    assert!(orders(&stored).iter().all(|order| !matches!(order, IdentityOrder::Keep(_))));
    w.lose_link();
    let welcomed = w.connect();
    assert!(orders(&welcomed).contains(&&IdentityOrder::Keep(Endpoint::Operations)));
}

#[test]
fn a_new_certificate_that_is_not_accepted_gives_way_to_the_one_before() {
    let mut w = renewed();
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
    let refused = || Event::LinkClosed(LinkEnd::Unauthorized { reason: "HTTP 401".into() });
    w.step(&refused());
    assert_ne!(w.engine.view(&w.now()).membership.state, MembershipState::Deactivated);
    assert_eq!(next_endpoint(&mut w), Endpoint::OperationsAsBefore);
    w.step(&Event::LinkOpened);
    let welcome = w.welcome();
    let welcomed = w.receive(&CloudFrame::Welcome(welcome));
    assert!(orders(&welcomed).contains(&&IdentityOrder::Keep(Endpoint::OperationsAsBefore)));
    w.lose_link();
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
    w.step(&refused());
    assert_eq!(w.engine.view(&w.now()).membership.state, MembershipState::Deactivated);
}

#[test]
fn new_authorities_that_are_not_the_servers_give_way_to_those_before() {
    let mut w = renewed();
    let order = [Endpoint::Operations, Endpoint::OperationsAsBefore, Endpoint::Operations];
    for endpoint in order {
        assert_eq!(next_endpoint(&mut w), endpoint);
        w.step(&Event::LinkClosed(LinkEnd::Refused { reason: "unknown CA".into() }));
        assert_eq!(w.engine.view(&w.now()).membership.state, MembershipState::Enrolled);
    }
}

#[test]
fn when_neither_certificate_is_accepted_the_terminal_has_been_deactivated() {
    let mut w = renewed();
    for endpoint in [Endpoint::Operations, Endpoint::OperationsAsBefore] {
        assert_ne!(w.engine.view(&w.now()).membership.state, MembershipState::Deactivated);
        assert_eq!(next_endpoint(&mut w), endpoint);
        w.step(&closed(close_code::UNAUTHENTICATED));
    }
    assert_eq!(w.engine.view(&w.now()).membership.state, MembershipState::Deactivated);
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
}

#[test]
fn renewal_that_fails_is_tried_again_less_and_less_often_and_told_when_it_becomes_urgent() {
    let mut w = member(u64::MAX);
    days_until_request(&mut w);
    let start = w.monotonic;
    let mut asked = 0;
    let mut events = Vec::new();
    while w.monotonic - start < 20 * DAY_MS {
        let woken = w.wait_for_one_deadline();
        w.step(&Event::PeerHeard);
        asked += u64::from(request(&woken).is_some());
        events.extend(woken.events());
        for report in &woken.reports {
            w.receive(&CloudFrame::Ack(crate::protocol::Ack {
                store_epoch: report.store_epoch,
                seq: report.seq,
            }));
        }
    }
    assert!((20 * 23..20 * 30).contains(&asked), "{asked} requests in 20 days");
    // Five sixths of ninety days are over after fifteen of these twenty.
    assert_eq!(events, [EventName::CertificateExpiring]);
    let attention = w.engine.view(&w.now()).status.needs_attention;
    assert!(attention.contains(&Attention::CertExpiring));
}

#[test]
fn an_error_about_a_renewal_leaves_the_link_and_waits() {
    let mut w = member(0);
    days_until_request(&mut w);
    let error = ErrorFrame { code: "INVALID_MESSAGE".into(), message: "m".into(), reference: None };
    let answer = w.receive(&CloudFrame::Error(error));
    assert_eq!(answer.close_codes(), [0_u16; 0]);
    assert!(request(&w.wait(MINUTE_MS - 1)).is_none());
    assert!(request(&w.wait(MINUTE_MS + 1)).is_some());
}

#[test]
fn a_renewal_never_makes_another_terminal_of_this_one() {
    let mut w = member(0);
    let (_, nonce) = days_until_request(&mut w);
    assert!(!adopts(&hear(&mut w, &enrolled(&nonce, "T-2"))));
}

#[test]
fn a_certificate_that_expired_in_a_drawer_is_renewed_at_the_enrolment_endpoint_by_its_own_key() {
    let mut w = resting();
    w.pass((LIFE_DAYS + 1) * DAY_MS);
    w.restart();
    assert_eq!(next_endpoint(&mut w), Endpoint::Enrolment);
    let opened = w.step(&Event::LinkOpened);
    assert_eq!(request(&opened).unwrap().key, RequestKey::Current);
}

#[test]
fn a_terminal_that_does_not_know_the_time_is_told_by_the_cloud_that_its_certificate_expired() {
    let mut w = resting();
    w.wall_trusted = false;
    w.jitter = Some(0);
    w.restart();
    let expired = LinkEnd::CertificateExpired { reason: "alert".into() };
    let start = w.monotonic;
    // The first attempt was made at once.
    w.step(&Event::LinkClosed(expired.clone()));
    begin(&mut w);
    assert!(w.monotonic - start < MINUTE_MS, "there is something better to do than to wait");
    // Nothing comes of it: perhaps it was the cloud's clock.
    w.step(&closed(1000));
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
}

#[test]
fn nobody_is_believed_that_a_certificate_expired_which_is_valid_by_a_known_clock() {
    let mut w = resting();
    w.jitter = Some(0);
    w.restart();
    let start = w.monotonic;
    w.step(&Event::LinkClosed(LinkEnd::CertificateExpired { reason: "alert".into() }));
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
    assert!(w.monotonic - start >= MINUTE_MS, "it waits as after any other refusal");
}

#[test]
fn a_clock_that_says_expired_is_believed_for_one_link_at_a_time() {
    let mut w = resting();
    w.pass((LIFE_DAYS + 1) * DAY_MS);
    w.restart();
    for _ in 0..3 {
        assert_eq!(next_endpoint(&mut w), Endpoint::Enrolment);
        w.step(&closed(1000));
        assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
        w.step(&closed(1000));
    }
    // Not even what comes of it is in time by that clock.
    assert_eq!(next_endpoint(&mut w), Endpoint::Enrolment);
    let nonce = request(&w.step(&Event::LinkOpened)).unwrap().nonce.clone();
    assert!(adopts(&hear(&mut w, &enrolled(&nonce, "T-1"))));
    let expired = certificate(&w, 0);
    w.wall += 1;
    w.step(&Event::IdentityAdopted { terminal_id: "T-1".into(), certificate: expired });
    w.step(&closed(1000));
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
}

#[test]
fn an_expired_certificate_of_the_configuration_waits_as_any_other_refusal() {
    let mut w = World::connected();
    w.jitter = Some(0);
    let start = w.monotonic;
    w.step(&Event::LinkClosed(LinkEnd::CertificateExpired { reason: "alert".into() }));
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
    assert!(w.monotonic - start >= MINUTE_MS);
}

#[test]
fn a_certificate_that_comes_when_half_of_its_life_is_over_is_not_renewed_at_once() {
    let mut w = member(0);
    let (_, nonce) = days_until_request(&mut w);
    hear(&mut w, &enrolled(&nonce, "T-1"));
    let now = Timestamp::from_unix_ms(w.wall);
    let not_before = Timestamp::from_unix_ms(w.wall - 10 * HOUR_MS);
    let certificate = Certificate { not_before, not_after: now.plus_ms(HOUR_MS) };
    w.step(&Event::IdentityAdopted { terminal_id: "T-1".into(), certificate });
    let adopted = w.monotonic;
    w.jitter = Some(u64::MAX);
    w.lose_link();
    let mut all = w.connect();
    all.extend(w.wait(adopted + MINUTE_MS - 1 - w.monotonic));
    assert!(request(&all).is_none());
    assert!(request(&w.wait(1)).is_some());
}

#[test]
fn a_lost_link_costs_a_renewal_a_wait_and_no_more() {
    let mut w = member(0);
    days_until_request(&mut w);
    w.lose_link();
    w.connect();
    assert!(request(&w.wait(HOUR_MS)).is_some());
}

#[test]
fn an_answer_that_is_no_frame_of_enrolment_is_answered_as_everywhere() {
    let mut w = world(Credentials::Enrolled(None));
    begin(&mut w);
    assert_eq!(w.receive_text(r#"{"type":"welcome"}"#).error_codes(), ["UNSUPPORTED_MESSAGE"]);
    let unknown = EnrolCloudFrame::Error(ErrorFrame {
        code: "NEW_CODE".into(),
        message: String::new(),
        reference: None,
    });
    assert_eq!(hear(&mut w, &unknown).close_codes(), [0_u16; 0]);
    assert_eq!(w.receive_text("x").close_codes(), [close_code::INVALID_DATA]);
}
