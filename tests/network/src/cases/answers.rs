//! Somebody else answers where the cloud should be.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use terminal_cloud::Pki;

use super::{Case, Work};
use crate::{
    impostor::{Impostor, Inside, PORTAL, REDIRECT, acceptor},
    pace::{Pace, STEP},
    proxy::Mode,
    stage::Stage,
    story::{Instead, answer},
};

pub(super) const CASES: [Case; 10] = [
    Case::loopback("accepts and never speaks", |pace| {
        given_up(pace, STEP, "the TLS handshake took longer", |_| as_mode(Impostor::Mute))
    }),
    Case::loopback("speaks TLS and never answers the upgrade", |pace| {
        given_up(pace, STEP, UPGRADE, |stage| inside(stage, Inside::Mute))
    }),
    Case::loopback("answers the upgrade a byte per second", |pace| {
        given_up(pace, STEP, UPGRADE, |stage| {
            inside(stage, Inside::UpgradesByBytes(Duration::from_secs(1)))
        })
    }),
    Case::loopback("upgrades and never sends welcome", |pace| {
        given_up(pace, WELCOME, "no welcome", |stage| inside(stage, Inside::Upgrades))
    }),
    Case::loopback("upgrades, sends half a welcome and then nothing", |pace| {
        given_up(pace, WELCOME, "no welcome", |stage| inside(stage, Inside::UpgradesAndBegins))
    }),
    Case::loopback("a portal answers in plain text on the TLS port", |pace| {
        given_up(pace, Duration::ZERO, "does not speak TLS", |_| as_mode(Impostor::Says(PORTAL)))
    }),
    Case::loopback("a page of HTML instead of the upgrade", |pace| {
        given_up(pace, Duration::ZERO, "HTTP status 200", |stage| {
            inside(stage, Inside::Says(PORTAL))
        })
    }),
    Case::loopback("a redirection instead of the upgrade", |pace| {
        given_up(pace, Duration::ZERO, "HTTP status 302", |stage| {
            inside(stage, Inside::Says(REDIRECT))
        })
    }),
    Case::loopback("a portal with a certificate of its own authority", |pace| {
        refused(pace, "certificate is from an unknown CA", |_| {
            tls(&Pki::create()?, "localhost", Inside::Says(PORTAL))
        })
    }),
    Case::loopback("a certificate for another name", |pace| {
        refused(pace, "certificate is for another name", |stage| {
            tls(stage.site.pki(), "portal.example", Inside::Says(PORTAL))
        })
    }),
];

const UPGRADE: &str = "the WebSocket upgrade took longer";
/// The wait for `welcome`, and a close that nobody answers.
const WELCOME: Duration = STEP.saturating_add(Duration::from_secs(1));

fn as_mode(impostor: Impostor) -> Result<Mode> {
    Ok(Mode::Impostor(Arc::new(impostor)))
}

fn tls(pki: &Pki, name: &str, inside: Inside) -> Result<Mode> {
    as_mode(Impostor::Tls(acceptor(pki, name)?, inside))
}

/// With a certificate that is as good as the cloud's.
fn inside(stage: &Stage, inside: Inside) -> Result<Mode> {
    tls(stage.site.pki(), "localhost", inside)
}

fn given_up(
    pace: Pace,
    limit: Duration,
    words: &'static str,
    mode: fn(&Stage) -> Result<Mode>,
) -> Work {
    meet(pace, Instead { mode, limit, words, refused: false })
}

fn refused(pace: Pace, words: &'static str, mode: fn(&Stage) -> Result<Mode>) -> Work {
    meet(pace, Instead { mode, limit: Duration::ZERO, words, refused: true })
}

fn meet(pace: Pace, instead: Instead) -> Work {
    Box::pin(async move { answer(Stage::behind_proxy(pace).await?, instead).await })
}
