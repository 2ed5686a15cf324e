//! The bridge to a payment application that runs as a process of its own.
//!
//! It speaks JSON-RPC 2.0 over a Unix socket, as `VENDOR.md` describes: the application listens,
//! the agent connects, checks who the peer is, and connects again when the connection breaks. What
//! is cut off is asked about by operation id or is harmless to repeat; nothing is repeated blind.

use std::{path::PathBuf, sync::Arc};

use tokio::sync::{mpsc, watch};

mod connection;
mod failure;
mod firmware;
mod health;
pub mod lines;
mod logs;
mod once;
mod payments;
mod power;
mod request;
mod screen;
mod standing_lock;
mod supervisor;
#[cfg(test)]
mod tests;
pub mod wire;

use crate::{
    Failure,
    api::{Capability, Hal},
    operation::OperationRequest,
};
use request::Holds;
pub use standing_lock::StandingLock;
use supervisor::{Absence, Link};

/// How to reach the payment application.
#[derive(Clone, Debug)]
pub struct VendorConfig {
    /// The socket that it listens on.
    pub socket: PathBuf,
    /// The users that it may run as.
    pub allowed_uids: Vec<u32>,
    /// Told to it.
    pub agent_version: String,
    /// The lock that is in force, set on every connection before anything else is asked.
    pub standing_lock: watch::Receiver<Option<StandingLock>>,
    /// Takes what somebody at the terminal has chosen in the application; without room it is lost.
    pub requests: mpsc::Sender<OperationRequest>,
}

/// A payment application behind a socket; clones are the same one. It implements every
/// capability; [`Vendor::hal`] leaves out those that are not wanted.
#[derive(Clone, Debug)]
pub struct Vendor {
    link: watch::Receiver<Link>,
    news: watch::Receiver<VendorNews>,
    holds: Arc<Holds>,
}

/// What has happened so far, counted: a reader that is slow misses nothing that still matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VendorNews {
    /// Connections that said hello.
    pub connections: u64,
    /// Events that health or payments have changed.
    pub changes: u64,
}

impl Vendor {
    /// Begins to connect, in a task of the current runtime that ends with the last clone.
    pub fn open(config: VendorConfig) -> Self {
        let (link_sender, link) = watch::channel(Link::Down(Absence {
            why: "not connected yet".to_owned(),
            somebody_is_there: false,
        }));
        let (news_sender, news) = watch::channel(VendorNews::default());
        tokio::spawn(supervisor::keep_connected(config, link_sender, news_sender));
        Self { link, news, holds: Arc::default() }
    }

    /// These of its capabilities.
    pub fn hal(&self, capabilities: &[Capability]) -> Hal {
        let has = |capability| capabilities.contains(&capability);
        let this = Arc::new(self.clone());
        Hal {
            payments: has(Capability::Payments).then(|| Arc::clone(&this) as _),
            logs: has(Capability::Logs).then(|| Arc::clone(&this) as _),
            firmware: has(Capability::Firmware).then(|| Arc::clone(&this) as _),
            screen: has(Capability::Screen).then(|| Arc::clone(&this) as _),
            power: has(Capability::Power).then(|| Arc::clone(&this) as _),
            health: has(Capability::Health).then(|| Arc::clone(&this) as _),
        }
    }

    /// What the application says that it can do; waits for it.
    ///
    /// # Errors
    /// `HAL_UNAVAILABLE` when it does not connect within ten seconds.
    pub async fn capabilities(&self) -> Result<Vec<Capability>, Failure> {
        let connection = self.connected(None).await?;
        let offered = connection.hello.capabilities.iter();
        Ok(offered.filter_map(|name| Capability::from_name(name)).collect())
    }

    /// Tells when something has happened.
    pub fn news(&self) -> watch::Receiver<VendorNews> {
        self.news.clone()
    }
}
