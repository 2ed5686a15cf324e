//! Enrolment: from no identity to one, codes on the screen, refusals, and a terminal that the cloud
//! has given up.

use super::{
    effects::Effects,
    samples::{DAY_MS, MINUTE_MS, settings},
    store::Store,
    world::World,
};
use crate::engine::{
    Certificate, Credentials, Effect, Endpoint, Event, IdentityOrder, IdentityRequest, LinkEnd,
    MembershipState, RequestKey, Settings,
};
use crate::protocol::{ActivationCode, EnrolCloudFrame, Enrolled, ErrorFrame, close_code, encode};
use terminal_hal::Timestamp;

pub(super) const CODE: &str = "ACT-7X9K-2M4P";

/// A terminal whose credentials come from enrolment.
pub(super) fn world(credentials: Credentials) -> World {
    World::with(Settings { credentials, ..settings() }, Store::default(), 1)
}

pub(super) fn applicant() -> World {
    world(Credentials::Enrolled(None))
}

/// Waits until the engine connects, and gives where to.
pub(super) fn next_endpoint(w: &mut World) -> Endpoint {
    for _ in 0..1_000 {
        if let Some(endpoint) = endpoint(&w.wait_for_one_deadline()) {
            return endpoint;
        }
    }
    panic!("no attempt to connect: {:?}", w.engine);
}

fn endpoint(effects: &Effects) -> Option<Endpoint> {
    effects.all.iter().find_map(|effect| match effect {
        Effect::Connect(endpoint) => Some(*endpoint),
        _ => None,
    })
}

pub(super) fn orders(effects: &Effects) -> Vec<&IdentityOrder> {
    let orders = effects.all.iter().filter_map(|effect| match effect {
        Effect::Identity(order) => Some(order),
        _ => None,
    });
    orders.collect()
}

pub(super) fn request(effects: &Effects) -> Option<&IdentityRequest> {
    orders(effects).into_iter().find_map(|order| match order {
        IdentityOrder::Request(request) => Some(request),
        _ => None,
    })
}

/// What the screen is told.
pub(super) fn screen(effects: &Effects) -> Vec<Option<&str>> {
    let lines = orders(effects).into_iter().filter_map(|order| match order {
        IdentityOrder::Show(line) => Some(line.as_deref()),
        _ => None,
    });
    lines.collect()
}

pub(super) fn adopts(effects: &Effects) -> bool {
    orders(effects).iter().any(|order| matches!(order, IdentityOrder::Adopt(_)))
}

/// Opens the link of enrolment; gives the nonce of the request.
pub(super) fn begin(w: &mut World) -> String {
    assert_eq!(next_endpoint(w), Endpoint::Enrolment);
    let opened = w.step(&Event::LinkOpened);
    assert!(opened.frames().is_empty(), "nothing but the request goes out");
    request(&opened).expect("a request").nonce.clone()
}

pub(super) fn hear(w: &mut World, frame: &EnrolCloudFrame) -> Effects {
    w.receive_text(&encode(frame))
}

pub(super) fn code(nonce: &str, code: &str, expires_in_s: u32) -> EnrolCloudFrame {
    let (nonce, code) = (nonce.to_owned(), code.to_owned());
    EnrolCloudFrame::ActivationCode(ActivationCode { nonce, code, expires_in_s })
}

pub(super) fn enrolled(nonce: &str, terminal_id: &str) -> EnrolCloudFrame {
    EnrolCloudFrame::Enrolled(Box::new(Enrolled {
        nonce: nonce.to_owned(),
        terminal_id: terminal_id.to_owned(),
        location_id: None,
        display_name: None,
        certificate: "c".into(),
        trust_bundle: "t".into(),
        url: "wss://cloud.example/ops".into(),
        config_revision: 0,
    }))
}

fn error(code: &str) -> EnrolCloudFrame {
    EnrolCloudFrame::Error(ErrorFrame { code: code.into(), message: "m".into(), reference: None })
}

/// A certificate that begins now.
pub(super) fn certificate(w: &World, days: u64) -> Certificate {
    let not_before = Timestamp::from_unix_ms(w.wall);
    Certificate { not_before, not_after: not_before.plus_ms(days * DAY_MS) }
}

fn adopted(w: &World) -> Event {
    Event::IdentityAdopted { terminal_id: "T-9".into(), certificate: certificate(w, 90) }
}

pub(super) fn closed(code: u16) -> Event {
    Event::LinkClosed(LinkEnd::Closed { code, reason: String::new() })
}

fn lost() -> Event {
    Event::LinkClosed(LinkEnd::Lost { reason: "test".into() })
}

fn state(w: &World) -> MembershipState {
    w.engine.view(&w.now()).membership.state
}

fn problem(w: &World) -> String {
    w.engine.view(&w.now()).membership.problem.unwrap_or_default()
}

#[test]
fn a_terminal_without_an_identity_shows_the_code_enrols_and_connects_by_its_new_name() {
    let mut w = applicant();
    assert_eq!(state(&w), MembershipState::NotEnrolled);
    let nonce = begin(&mut w);
    let shown = hear(&mut w, &code(&nonce, CODE, 3600));
    assert_eq!(screen(&shown), [Some("Activation code ACT-7X9K-2M4P")]);
    let view = w.engine.view(&w.now()).membership;
    assert_eq!(view.activation_code, Some((CODE.into(), 3_600_000)));
    assert!(adopts(&hear(&mut w, &enrolled(&nonce, "T-9"))));
    let event = adopted(&w);
    let stored = w.step(&event);
    assert_eq!(stored.close_codes(), [close_code::NORMAL]);
    assert_eq!(screen(&stored), [None]);
    w.step(&lost());
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
    assert_eq!(w.step(&Event::LinkOpened).hello().terminal_id, "T-9");
    assert_eq!(state(&w), MembershipState::Enrolled);
}

#[test]
fn the_next_link_comes_soon_once_there_is_an_identity() {
    let mut w = applicant();
    w.jitter = Some(u64::MAX);
    let nonce = begin(&mut w);
    hear(&mut w, &enrolled(&nonce, "T-9"));
    let event = adopted(&w);
    w.step(&event);
    let start = w.monotonic;
    w.step(&lost());
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
    assert_eq!(w.monotonic - start, 2_000);
}

#[test]
fn no_report_and_no_status_goes_out_before_the_terminal_has_an_identity() {
    let mut w = applicant();
    let nonce = begin(&mut w);
    let mut all = hear(&mut w, &code(&nonce, CODE, 3600));
    all.extend(w.wait(10 * MINUTE_MS));
    assert!(all.frames().is_empty() && all.reports.is_empty(), "{all:?}");
    assert!(all.has(&Effect::Ping), "the link is watched");
}

#[test]
fn a_code_leaves_the_screen_when_it_has_run_out_and_the_next_one_takes_its_place() {
    let mut w = applicant();
    let nonce = begin(&mut w);
    hear(&mut w, &code(&nonce, CODE, 600));
    assert_eq!(screen(&w.wait(599_999)), []);
    assert_eq!(screen(&w.wait(1)), [None]);
    let next = hear(&mut w, &code(&nonce, "ACT-AAAA-BBBB", 600));
    assert_eq!(screen(&next), [Some("Activation code ACT-AAAA-BBBB")]);
}

#[test]
fn without_a_new_code_the_terminal_asks_again() {
    let mut w = applicant();
    let nonce = begin(&mut w);
    hear(&mut w, &code(&nonce, CODE, 600));
    let waited = w.wait(600_000 + 14_999);
    assert_eq!(waited.close_codes(), [0_u16; 0]);
    assert_eq!(w.wait(1).close_codes(), [close_code::HANDSHAKE_TIMEOUT]);
    w.step(&lost());
    assert_ne!(begin(&mut w), nonce);
}

#[test]
fn without_any_answer_the_terminal_asks_again() {
    let mut w = applicant();
    begin(&mut w);
    assert_eq!(w.wait(14_999).close_codes(), [0_u16; 0]);
    assert_eq!(w.wait(1).close_codes(), [close_code::HANDSHAKE_TIMEOUT]);
}

#[test]
fn a_code_outlives_the_link_that_brought_it() {
    let mut w = applicant();
    let nonce = begin(&mut w);
    hear(&mut w, &code(&nonce, CODE, 3600));
    assert_eq!(screen(&w.step(&lost())), []);
    assert_eq!(w.engine.view(&w.now()).membership.activation_code.unwrap().0, CODE);
}

#[test]
fn what_is_not_a_code_never_reaches_the_screen() {
    let mut w = applicant();
    let nonce = begin(&mut w);
    let answer = hear(&mut w, &code(&nonce, "Pay 100 to +47 12345678", 600));
    assert_eq!(screen(&answer), []);
    assert_eq!(answer.error_codes(), ["INVALID_MESSAGE"]);
}

#[test]
fn an_answer_to_another_request_is_ignored() {
    let mut w = applicant();
    begin(&mut w);
    assert!(orders(&hear(&mut w, &code("another-nonce-entirely", CODE, 600))).is_empty());
    assert!(orders(&hear(&mut w, &enrolled("another-nonce-entirely", "T-9"))).is_empty());
}

#[test]
fn a_payment_application_that_comes_back_is_told_the_code_again() {
    let mut w = applicant();
    let nonce = begin(&mut w);
    hear(&mut w, &code(&nonce, CODE, 600));
    let again = w.step(&Event::HalConnected);
    assert_eq!(screen(&again), [Some("Activation code ACT-7X9K-2M4P")]);
}

#[test]
fn errors_that_time_does_not_cure_wait_a_minute_at_least_and_are_told() {
    for refusal in
        ["ACTIVATION_ATTEMPTS_EXCEEDED", "ALREADY_ENROLLED", "UNAUTHORIZED", "OVERLOADED"]
    {
        let mut w = applicant();
        w.jitter = Some(0);
        begin(&mut w);
        assert_eq!(hear(&mut w, &error(refusal)).close_codes(), [close_code::NORMAL], "{refusal}");
        assert!(problem(&w).starts_with(refusal), "{}", problem(&w));
        let start = w.monotonic;
        w.step(&lost());
        assert_eq!(next_endpoint(&mut w), Endpoint::Enrolment);
        assert!(w.monotonic - start >= MINUTE_MS, "{refusal}");
    }
}

#[test]
fn a_refused_secret_is_told_and_a_code_takes_its_place() {
    let mut w = applicant();
    let nonce = begin(&mut w);
    assert_eq!(hear(&mut w, &error("ACTIVATION_CODE_INVALID")).close_codes(), [0_u16; 0]);
    assert!(problem(&w).starts_with("ACTIVATION_CODE_INVALID"));
    let shown = hear(&mut w, &code(&nonce, CODE, 600));
    assert_eq!(screen(&shown).len(), 1);
}

#[test]
fn a_code_that_the_cloud_calls_expired_is_taken_away_and_another_one_asked_for() {
    let mut w = applicant();
    let nonce = begin(&mut w);
    hear(&mut w, &code(&nonce, CODE, 600));
    let expired = hear(&mut w, &error("ACTIVATION_CODE_EXPIRED"));
    assert_eq!(screen(&expired), [None]);
    assert_eq!(expired.close_codes(), [close_code::NORMAL]);
    w.jitter = Some(0);
    let start = w.monotonic;
    w.step(&lost());
    begin(&mut w);
    assert!(w.monotonic - start < MINUTE_MS);
}

#[test]
fn an_identity_that_cannot_be_used_is_told_and_asked_for_again_without_hurry() {
    let mut w = applicant();
    w.jitter = Some(0);
    let nonce = begin(&mut w);
    hear(&mut w, &enrolled(&nonce, "T-9"));
    let refused = w.step(&Event::IdentityRefused { reason: "for another key".into() });
    assert_eq!(refused.close_codes(), [close_code::NORMAL]);
    assert_eq!(problem(&w), "for another key");
    let start = w.monotonic;
    w.step(&lost());
    assert_eq!(next_endpoint(&mut w), Endpoint::Enrolment);
    assert!(w.monotonic - start >= MINUTE_MS);
}

#[test]
fn a_terminal_id_that_cannot_be_one_is_not_adopted() {
    for wrong in ["", "a\nb", &"x".repeat(65)] {
        let mut w = applicant();
        let nonce = begin(&mut w);
        assert!(!adopts(&hear(&mut w, &enrolled(&nonce, wrong))), "{wrong:?}");
    }
}

/// Enrolled, connected and welcomed.
fn member() -> World {
    let mut w = applicant();
    let nonce = begin(&mut w);
    hear(&mut w, &enrolled(&nonce, "T-9"));
    let event = adopted(&w);
    w.step(&event);
    w.step(&lost());
    w.connect();
    w
}

#[test]
fn a_deactivated_terminal_says_so_tries_seldom_and_comes_back_when_the_cloud_wants_it() {
    let unauthorized = || LinkEnd::Unauthorized { reason: "HTTP 403".into() };
    for end in [closed(close_code::UNAUTHENTICATED), Event::LinkClosed(unauthorized())] {
        let mut w = member();
        w.jitter = Some(0);
        let start = w.monotonic;
        assert_eq!(screen(&w.step(&end)), [Some("This terminal has been deactivated")]);
        assert_eq!(state(&w), MembershipState::Deactivated);
        assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
        assert!(w.monotonic - start >= MINUTE_MS);
        w.step(&Event::LinkOpened);
        let welcome = w.welcome();
        let welcomed = w.receive(&crate::protocol::CloudFrame::Welcome(welcome));
        assert_eq!(screen(&welcomed), [None]);
        assert_eq!(state(&w), MembershipState::Enrolled);
    }
}

#[test]
fn a_person_can_have_a_deactivated_terminal_activated_again_at_once() {
    let mut w = member();
    w.step(&closed(close_code::UNAUTHENTICATED));
    let start = w.monotonic;
    let mut asked = w.step(&Event::ActivationRequested);
    assert!(orders(&asked).contains(&&IdentityOrder::Forget));
    assert_eq!(endpoint(&asked), Some(Endpoint::Enrolment));
    assert_eq!(w.monotonic, start);
    asked.extend(w.step(&Event::LinkOpened));
    assert_eq!(request(&asked).unwrap().key, RequestKey::New);
}

#[test]
fn an_identity_that_the_cloud_accepts_is_not_given_up() {
    let mut w = member();
    assert!(orders(&w.step(&Event::ActivationRequested)).is_empty());
    assert_eq!(state(&w), MembershipState::Enrolled);
}

#[test]
fn a_terminal_with_configured_credentials_never_touches_the_screen() {
    let mut w = World::connected();
    let mut all = w.step(&closed(close_code::UNAUTHENTICATED));
    all.extend(w.step(&Event::HalConnected));
    assert!(orders(&all).is_empty());
    assert_eq!(state(&w), MembershipState::Deactivated);
    assert!(orders(&w.step(&Event::ActivationRequested)).is_empty());
}
