//! What a first enrolment gave may be wrong: until the cloud has welcomed the terminal once, there is
//! a way back to where it enrols. Afterwards there is none.

use super::{
    enrolment::{
        adopts, applicant, begin, certificate, code, enrolled, hear, next_endpoint, orders, request,
    },
    world::World,
};
use crate::engine::{Endpoint, Event, IdentityOrder, LinkEnd, RequestKey, limits};
use crate::protocol::CloudFrame;

fn adopt(w: &mut World) {
    let (terminal_id, certificate) = ("T-1".to_owned(), certificate(w, 90));
    w.step(&Event::IdentityAdopted { terminal_id, certificate });
    w.lose_link();
}

/// Just enrolled, never welcomed.
fn fresh() -> World {
    let mut w = applicant();
    let nonce = begin(&mut w);
    assert!(adopts(&hear(&mut w, &enrolled(&nonce, "T-1"))));
    adopt(&mut w);
    w
}

fn refused() -> LinkEnd {
    LinkEnd::Refused { reason: "unknown issuer".into() }
}

fn lost() -> LinkEnd {
    LinkEnd::Lost { reason: "no such host".into() }
}

/// Where the next links go, each of which ends like that.
fn endpoints(w: &mut World, end: &LinkEnd, links: u32) -> Vec<Endpoint> {
    let next = |w: &mut World| {
        let endpoint = next_endpoint(w);
        w.step(&Event::LinkClosed(end.clone()));
        endpoint
    };
    (0..links).map(|_| next(w)).collect()
}

#[test]
fn a_terminal_that_no_link_comes_about_for_asks_again_where_it_enrolled_with_the_same_key() {
    for end in [refused(), lost()] {
        let mut w = fresh();
        let links = endpoints(&mut w, &end, limits::PROBATION_LINKS_MAX);
        assert!(links.iter().all(|to| *to == Endpoint::Operations), "{links:?}");
        assert_eq!(next_endpoint(&mut w), Endpoint::Enrolment);
        let opened = w.step(&Event::LinkOpened);
        let request = request(&opened).unwrap();
        assert_eq!(request.key, RequestKey::Current);
        let nonce = request.nonce.clone();
        assert!(adopts(&hear(&mut w, &enrolled(&nonce, "T-1"))));
        adopt(&mut w);
        assert_eq!(next_endpoint(&mut w), Endpoint::Operations, "with the new identity");
    }
}

#[test]
fn what_comes_of_asking_again_is_on_probation_as_well() {
    let mut w = fresh();
    for _ in 0..3 {
        endpoints(&mut w, &refused(), limits::PROBATION_LINKS_MAX);
        let nonce = begin(&mut w);
        hear(&mut w, &enrolled(&nonce, "T-1"));
        adopt(&mut w);
    }
}

#[test]
fn where_nothing_comes_of_asking_the_identity_is_tried_again() {
    let mut w = fresh();
    let links = endpoints(&mut w, &refused(), 2 * limits::PROBATION_LINKS_MAX + 2);
    let asks: Vec<usize> = (0..links.len()).filter(|n| links[*n] == Endpoint::Enrolment).collect();
    assert_eq!(asks, [3, 7], "{links:?}");
    let mut w = fresh();
    endpoints(&mut w, &lost(), limits::PROBATION_LINKS_MAX);
    let nonce = begin(&mut w);
    hear(&mut w, &code(&nonce, super::enrolment::CODE, 600));
    w.lose_link();
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
}

#[test]
fn the_first_welcome_ends_the_probation_and_with_it_the_way_back() {
    let mut w = fresh();
    endpoints(&mut w, &refused(), limits::PROBATION_LINKS_MAX - 1);
    assert_eq!(next_endpoint(&mut w), Endpoint::Operations);
    w.step(&Event::LinkOpened);
    let welcome = w.welcome();
    let welcomed = w.receive(&CloudFrame::Welcome(welcome));
    assert_eq!(orders(&welcomed), [&IdentityOrder::Keep(Endpoint::Operations)]);
    w.lose_link();
    for end in [refused(), lost()] {
        let links = endpoints(&mut w, &end, 3 * limits::PROBATION_LINKS_MAX);
        assert!(links.iter().all(|to| *to == Endpoint::Operations), "{links:?}");
    }
}

#[test]
fn a_cloud_that_answers_is_no_reason_to_ask_again() {
    let mut w = fresh();
    let busy = LinkEnd::RetryAfter { seconds: 1 };
    let links = endpoints(&mut w, &busy, 2 * limits::PROBATION_LINKS_MAX);
    assert!(links.iter().all(|to| *to == Endpoint::Operations), "{links:?}");
}
