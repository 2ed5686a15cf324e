//! Throw-away certificates and servers on loopback.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses its own part of this")]

pub mod logs;
pub mod pki;
pub mod server;

use std::{sync::Arc, time::Duration};

use terminal_agent::link::{
    Connector, LinkConfig, LinkEvent, LinkHandle, LinkUrl, Timeouts, VerificationClock, spawn,
};
use terminal_core::engine::LinkEnd;
use tokio::sync::mpsc;

/// A link configuration for a URL and nothing else.
pub fn config(url: &str) -> LinkConfig {
    LinkConfig {
        url: LinkUrl::parse(url, false).unwrap(),
        trust: None,
        identity: None,
        token_file: None,
        proxy: None,
        timeouts: Timeouts { close: Duration::from_millis(300), ..Timeouts::default() },
    }
}

/// A link and what it tells.
pub struct Link {
    pub handle: LinkHandle,
    pub events: mpsc::Receiver<LinkEvent>,
}

impl Link {
    pub fn open(config: LinkConfig) -> Self {
        Self::open_by(config, VerificationClock::default())
    }

    pub fn open_by(config: LinkConfig, clock: VerificationClock) -> Self {
        Self::open_with(Connector::new(config, Arc::new(clock)))
    }

    /// To the end of the cloud that enrols terminals.
    pub fn open_to_enrol(config: LinkConfig) -> Self {
        Self::open_with(Connector::to_enrol(config, Arc::default()))
    }

    fn open_with(connector: Connector) -> Self {
        let (sender, events) = mpsc::channel(8);
        Self { handle: spawn(Arc::new(connector), sender), events }
    }

    pub async fn next(&mut self) -> LinkEvent {
        self.events.recv().await.expect("a link tells its end")
    }

    pub async fn opened(mut self) -> Self {
        assert_eq!(self.next().await, LinkEvent::Opened);
        self
    }

    /// How it ended, without ever having been open.
    pub async fn refused(mut self) -> LinkEnd {
        let event = self.next().await;
        let LinkEvent::Closed(end) = event else { panic!("unexpected {event:?}") };
        end
    }

    /// How it ended; everything before is skipped.
    pub async fn ended(mut self) -> LinkEnd {
        loop {
            if let LinkEvent::Closed(end) = self.next().await {
                return end;
            }
        }
    }
}

/// The reason of an end that must be a refusal.
pub fn refusal(end: &LinkEnd) -> &str {
    let LinkEnd::Refused { reason } = end else { panic!("unexpected {end:?}") };
    reason
}

/// The reason of an end that must be a loss.
pub fn loss(end: &LinkEnd) -> &str {
    let LinkEnd::Lost { reason } = end else { panic!("unexpected {end:?}") };
    reason
}
