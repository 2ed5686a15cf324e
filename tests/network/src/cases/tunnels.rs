//! HTTP proxies that fail as proxies do.

use std::{sync::Arc, time::Duration};

use anyhow::Result;

use super::{Case, Work};
use crate::{
    figures::Figures,
    impostor::Impostor,
    pace::{Pace, STEP},
    proxy::Mode,
    stage::Stage,
    story::{Ends, Fault, Instead, When, answer, befall},
};

pub(super) const CASES: [Case; 7] = [
    Case::loopback("a proxy dies, an operation runs", |pace| Box::pin(dies(pace))),
    Case::loopback("a proxy dies in the middle of its answer", |pace| {
        given_up(pace, Duration::ZERO, "proxy: ", |_| says("HTTP/1.1 200 Connec"))
    }),
    Case::loopback("a proxy opens the tunnel and is silent", |pace| {
        given_up(pace, STEP, "the TLS handshake took longer", |_| {
            let granted = Impostor::SaysAndStays("HTTP/1.1 200 OK\r\n\r\n");
            Ok(Mode::Impostor(Arc::new(granted)))
        })
    }),
    Case::loopback("a proxy never answers", |pace| {
        given_up(pace, STEP, "the proxy's answer took longer", |_| {
            Ok(Mode::Impostor(Arc::new(Impostor::Mute)))
        })
    }),
    Case::loopback("a proxy wants a login: 407", |pace| {
        let mode = |_: &Stage| says("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        let words = "proxy answered with HTTP status 407";
        behind(pace, Instead { mode, limit: Duration::ZERO, words, refused: true })
    }),
    Case::loopback("a proxy cannot reach the cloud: 502", |pace| {
        given_up(pace, Duration::ZERO, "proxy answered with HTTP status 502", |_| {
            says("HTTP/1.1 502 Bad Gateway\r\n\r\n")
        })
    }),
    Case::loopback("there is no proxy any more", |pace| {
        given_up(pace, Duration::ZERO, "cannot connect to", |_| Ok(Mode::Refuse))
    }),
];

fn says(text: &'static str) -> Result<Mode> {
    Ok(Mode::Impostor(Arc::new(Impostor::Says(text))))
}

fn given_up(
    pace: Pace,
    limit: Duration,
    words: &'static str,
    mode: fn(&Stage) -> Result<Mode>,
) -> Work {
    behind(pace, Instead { mode, limit, words, refused: false })
}

fn behind(pace: Pace, instead: Instead) -> Work {
    Box::pin(async move { answer(Stage::behind_connect(pace).await?, instead).await })
}

async fn dies(pace: Pace) -> Result<Figures> {
    let fault = Fault {
        when: When::Running,
        limit: Duration::ZERO,
        words: &["Connection reset"],
        begin: |stage| {
            stage.proxy()?.set(Mode::Refuse);
            stage.proxy()?.cut();
            Ok(())
        },
        end: |stage| {
            stage.proxy()?.set(Mode::Pass);
            Ok(())
        },
        ends: Ends::AfterFailures,
    };
    befall(Stage::behind_connect(pace).await?, fault).await
}
