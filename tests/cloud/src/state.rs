//! What every task of one cloud shares.

use std::sync::Arc;

use rusqlite::Connection;
use terminal_hal::Timestamp;
use tokio::sync::{Notify, Semaphore, watch};

use crate::{
    config::CloudConfig,
    db::{Db, DbError, events, now, pending},
    faults::Faults,
    link::Hub,
    pki::Pki,
};

/// Connections at once, links included.
pub(crate) const CONNECTIONS_MAX: usize = 4096;

pub(crate) struct Shared {
    pub(crate) config: CloudConfig,
    pub(crate) db: Db,
    pub(crate) hub: Hub,
    /// Links of terminals that wait for their identity, by enrolment.
    pub(crate) enrolling: Hub,
    /// Signs certificates of terminals.
    pub(crate) authority: Pki,
    pub(crate) faults: Faults,
    /// What is due next may have changed.
    pub(crate) timeouts: Notify,
    pub(crate) stopping: watch::Sender<bool>,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) upload_key: Vec<u8>,
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// An operation has been created: send it, and watch its window.
    pub(crate) fn created(&self, terminal_id: &str) {
        self.hub.wake(terminal_id);
        self.timeouts.notify_one();
    }

    pub(crate) fn timeout_max_ms(&self) -> Option<u64> {
        self.config.timeout_max.map(|max| u64::try_from(max.as_millis()).unwrap_or(u64::MAX))
    }

    /// Where terminals connect.
    pub(crate) fn link_url(&self) -> String {
        format!("{}/v1/terminal/ws", self.base_url().replacen("http", "ws", 1))
    }

    /// `https://localhost:PORT`, or what the configuration says.
    pub(crate) fn base_url(&self) -> String {
        use crate::config::Transport;
        let port = self.config.listen.port();
        match (&self.config.public_url, &self.config.transport) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Transport::Tls(_)) => format!("https://localhost:{port}"),
            (None, Transport::PlainHttp) => format!("http://{}", self.config.listen),
        }
    }
}

/// Turns operations into TIMEOUT when their window ends, wakes the links that withdraw them, and
/// tells of terminals that stay away.
pub(crate) async fn watch_timeouts(shared: Arc<Shared>) {
    loop {
        let outcome = sweep(&shared).await;
        let wait = match outcome {
            Ok(Some(next)) => std::time::Duration::from_millis(next.ms_since(now()).max(1)),
            // Nothing is pending: a creation notifies.
            Ok(None) => std::time::Duration::from_secs(3600),
            Err(error) => {
                tracing::error!(%error, "looking for timeouts");
                std::time::Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.timeouts.notified() => {}
        }
    }
}

/// Does what is due; returns when something is due next.
async fn sweep(shared: &Shared) -> Result<Option<Timestamp>, DbError> {
    let grace_ms = u64::try_from(shared.config.offline_grace.as_millis()).unwrap_or(u64::MAX);
    let next = shared.db.read(move |db| next_due(db, grace_ms)).await?;
    if next.is_none_or(|next| next > now()) {
        return Ok(next);
    }
    let (terminals, next) = shared
        .db
        .write(move |db| {
            let at = now();
            let terminals = pending::sweep(db, at)?;
            let before = at.unix_ms().saturating_sub(grace_ms);
            events::offline(db, Timestamp::from_unix_ms(before), at)?;
            Ok((terminals, next_due(db, grace_ms)?))
        })
        .await?;
    for terminal_id in terminals {
        shared.hub.wake(&terminal_id);
    }
    Ok(next)
}

fn next_due(db: &Connection, grace_ms: u64) -> Result<Option<Timestamp>, DbError> {
    let offline = events::next_offline(db)?.map(|ended| ended.plus_ms(grace_ms));
    Ok(pending::next_timeout(db)?.into_iter().chain(offline).min())
}
