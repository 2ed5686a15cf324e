//! From the cloud to the terminal: operations, withdrawals, configuration.

use terminal_core::protocol::CloudFrame;
use tokio::time::{Duration, Instant};

use super::{session::Link, socket::Gone};
use crate::db::{now, pending};

impl Link {
    /// Sends what the database has for this terminal, each frame recorded before it goes out.
    pub(super) async fn dispatch(&mut self) -> Result<(), Gone> {
        loop {
            let key = self.key.clone();
            let config_sent = self.config_sent;
            let plan = self
                .shared
                .db
                .write(move |db| pending::plan(db, &key, now(), config_sent))
                .await
                .map_err(|error| Gone::Peer(error.to_string()))?;
            let twice = self.faults().duplicate_dispatch;
            for frame in &plan.frames {
                if let CloudFrame::Configuration(configuration) = frame {
                    self.config_sent = configuration.revision;
                }
                self.socket.feed(frame).await?;
                if twice && matches!(frame, CloudFrame::Operation(_)) {
                    self.socket.feed(frame).await?;
                }
            }
            self.socket.flush().await?;
            self.redispatch_at = plan
                .next_at
                .map(|at| Instant::now() + Duration::from_millis(at.ms_since(now()).max(1)));
            if !plan.more || plan.frames.is_empty() {
                return Ok(());
            }
        }
    }
}
