//! The life of one link, from `hello` to the close.

use std::{convert::Infallible, future::pending, sync::Arc};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rusqlite::Connection;
use terminal_core::protocol::{CloudFrame, Hello, Reconnect, SessionId, Welcome, close_code};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::{
    Ears, Hub, Order, Stop,
    acks::AckGate,
    hello,
    logs::Logs,
    socket::{Gone, Socket},
};
use crate::{
    db::{self, DbError, now, pending::LinkKey, session::Greeting},
    faults::Lasting,
    server::Conn,
    state::Shared,
};

/// One link that has been welcomed.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) socket: Socket,
    pub(super) key: LinkKey,
    pub(super) acks: AckGate,
    pub(super) logs: Logs,
    /// Newest configuration revision that the terminal has or has been sent.
    pub(super) config_sent: u64,
    pub(super) redispatch_at: Option<Instant>,
    pub(super) serial_number: String,
    /// Digest of the certificate that the terminal came with.
    certificate: Option<String>,
}

/// How a link ends.
pub(super) enum End {
    Stopped(Stop),
    Gone(Gone),
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

/// Serves a link until it ends.
pub(super) async fn run(
    shared: Arc<Shared>,
    io: TokioIo<Upgraded>,
    conn: Arc<Conn>,
    terminal_id: String,
) {
    let mut socket = Socket::new(io).await;
    let (hello, rest) = match hello::receive(&shared, &mut socket, &terminal_id).await {
        Ok(received) => received,
        Err(gone) => return part(socket, &conn, &terminal_id, End::Gone(gone)).await,
    };
    let session = SessionId(Uuid::new_v4());
    let key = LinkKey { terminal_id: terminal_id.clone(), session, epoch: hello.store_epoch };
    let mut ears = shared.hub.enter(&terminal_id, session);
    if shared.is_stopping() {
        shared.hub.stop(&terminal_id, Stop::close(close_code::GOING_AWAY, "the cloud stops"));
    }
    let mut link = Link {
        logs: Logs::new(&shared.config.data_dir, &terminal_id),
        shared: Arc::clone(&shared),
        socket,
        key: key.clone(),
        acks: AckGate::default(),
        config_sent: hello.config_revision,
        redispatch_at: None,
        serial_number: hello.serial_number.clone(),
        certificate: conn.certificate.as_ref().map(|certificate| certificate.sha256.clone()),
    };
    let end = match link.begin(&hello, rest, &mut ears).await {
        Ok(()) => match link.serve(&mut ears).await {
            Err(end) => end,
        },
        Err(end) => end,
    };
    shared.hub.leave(&terminal_id, session);
    if let Err(error) = shared.db.write(move |db| db::session::ended(db, &key, now())).await {
        tracing::debug!(%error, "recording the end of a link");
    }
    shared.timeouts.notify_one();
    part(link.socket, &conn, &terminal_id, end).await;
}

pub(super) async fn part(mut socket: Socket, conn: &Conn, terminal_id: &str, end: End) {
    match end {
        End::Gone(Gone::Peer(reason)) => {
            tracing::info!(terminal = terminal_id, reason, "link lost");
            let _ = socket.flush().await;
        }
        End::Gone(Gone::Breach { code, reason }) => {
            tracing::info!(terminal = terminal_id, code, reason, "link closed for a breach");
            socket.close(code, &reason).await;
        }
        End::Stopped(Stop::Close { code, reason }) => {
            tracing::info!(terminal = terminal_id, code, reason, "link closed");
            socket.close(code, &reason).await;
        }
        End::Stopped(Stop::Reset) => {
            tracing::info!(terminal = terminal_id, "link reset on request");
            conn.reset();
        }
    }
}

impl Link {
    pub(super) fn faults(&self) -> Lasting {
        self.shared.faults.now()
    }

    /// Welcomes the terminal and brings it up to date.
    async fn begin(
        &mut self,
        hello: &Hello,
        rest: Vec<Message>,
        ears: &mut Ears,
    ) -> Result<(), End> {
        if self.faults().ignore_hello {
            return Err(self.ignore(ears).await);
        }
        let (shared, key) = (Arc::clone(&self.shared), self.key.clone());
        let (said, certificate) = (hello.clone(), self.certificate.clone());
        let greeted = self
            .shared
            .db
            .write(move |db| greet(db, &shared.hub, &key, &said, certificate.as_deref()))
            .await
            .map_err(|error| Gone::Peer(error.to_string()))?;
        let greeting = match greeted {
            Greeted::Welcome(greeting) => greeting,
            Greeted::Replaced => return Err(End::Stopped(stopped(&mut ears.stop).await)),
            Greeted::Deactivated => {
                let reason = "the terminal has been deactivated".to_owned();
                return Err(Gone::Breach { code: close_code::UNAUTHENTICATED, reason }.into());
            }
        };
        let welcome = Welcome {
            session_id: self.key.session,
            server_time: now(),
            heartbeat_s: self.shared.config.heartbeat_s,
            ack_seq: greeting.ack_seq,
            ack_report_id: greeting.ack_report_id,
            config_revision: greeting.config_revision,
        };
        tracing::info!(terminal = self.key.terminal_id, session = %self.key.session, "link up");
        self.socket.send(&CloudFrame::Welcome(welcome)).await?;
        if !rest.is_empty() {
            self.take(rest).await?;
        }
        self.dispatch().await?;
        Ok(())
    }

    /// Reads and says nothing, until the terminal gives up.
    async fn ignore(&mut self, ears: &mut Ears) -> End {
        loop {
            tokio::select! {
                stop = stopped(&mut ears.stop) => return End::Stopped(stop),
                batch = self.socket.receive() => if let Err(gone) = batch {
                    return End::Gone(gone);
                }
            }
        }
    }

    async fn serve(&mut self, ears: &mut Ears) -> Result<Infallible, End> {
        let Ears { stop, wake, orders } = ears;
        let idle = self.shared.config.idle_timeout();
        let mut changes = self.shared.faults.changes();
        let mut minded_at = Instant::now();
        loop {
            let faults = changes.borrow_and_update().clone();
            if faults.black_hole {
                tokio::select! {
                    stop = stopped(stop) => return Err(End::Stopped(stop)),
                    _ = changes.changed() => {}
                }
                minded_at = Instant::now();
                continue;
            }
            let dead_at = minded_at.max(self.socket.heard_at()) + idle;
            tokio::select! {
                biased;
                stop = stopped(stop) => return Err(End::Stopped(stop)),
                _ = changes.changed() => self.release_acks().await?,
                () = due(self.acks.next_due()) => self.release_acks().await?,
                () = wake.notified() => self.dispatch().await?,
                () = due(self.redispatch_at) => self.dispatch().await?,
                Some(order) = orders.recv() => self.obey(order).await?,
                batch = self.socket.receive() => self.take(batch?).await?,
                // Bytes of an unfinished message may have come meanwhile.
                () = sleep_until(dead_at) => if self.socket.heard_at() + idle <= dead_at {
                    let reason = format!("nothing came for {} s", idle.as_secs_f32());
                    return Err(End::Stopped(Stop::close(close_code::GOING_AWAY, reason)));
                }
            }
        }
    }

    async fn release_acks(&mut self) -> Result<(), Gone> {
        let faults = self.faults();
        for ack in self.acks.release(&faults) {
            self.socket.feed(&CloudFrame::Ack(ack)).await?;
        }
        self.socket.flush().await
    }

    async fn obey(&mut self, order: Order) -> Result<(), Gone> {
        match order {
            Order::Text(text) => self.socket.send_message(Message::text(text)).await,
            Order::Bytes(bytes) => self.socket.send_message(Message::binary(bytes)).await,
            Order::Reconnect { after_s, spread_s } => {
                self.socket.send(&CloudFrame::Reconnect(Reconnect { after_s, spread_s })).await
            }
        }
    }
}

/// What a `hello` leads to.
#[derive(Debug)]
enum Greeted {
    Welcome(Greeting),
    /// Another link of the terminal has come since.
    Replaced,
    /// Between the upgrade and now.
    Deactivated,
}

/// Makes a link the terminal's only one. The hub has decided which one that is: the `hello` of a
/// link that it no longer holds may be written after that of the next one.
fn greet(
    db: &Connection,
    hub: &Hub,
    key: &LinkKey,
    hello: &Hello,
    certificate: Option<&str>,
) -> Result<Greeted, DbError> {
    if !hub.holds(&key.terminal_id, key.session) {
        return Ok(Greeted::Replaced);
    }
    if let Some(sha256) = certificate {
        db::enrolment::in_use(db, &key.terminal_id, sha256, now())?;
    }
    let greeting = db::session::hello(db, key, hello, now())?;
    Ok(greeting.map_or(Greeted::Deactivated, Greeted::Welcome))
}

pub(super) async fn stopped(stop: &mut watch::Receiver<Option<Stop>>) -> Stop {
    let stop = stop.wait_for(Option::is_some).await.ok().and_then(|stop| stop.clone());
    match stop {
        Some(stop) => stop,
        // The handle is gone: the link has been taken out of the hub, which only happens after
        // a stop.
        None => pending().await,
    }
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use terminal_core::protocol::StoreEpoch;

    use super::*;
    use crate::db::terminals;

    #[test]
    fn a_hello_that_is_late_does_not_take_the_terminal_from_the_link_that_came_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let db = db::open(&dir.path().join("cloud.db")).unwrap();
        let terminal = terminals::register(&db, "P11223351", "1", None, "test").unwrap().unwrap();
        let hello: Hello = serde_json::from_value(json!({
            "protocol": 1, "terminal_id": terminal.terminal_id, "serial_number": "1",
            "model": "mock", "agent_version": "0.1.0", "software_version": "3.14.2",
            "boot_id": Uuid::nil(), "store_epoch": Uuid::nil(), "session_id": null,
            "operations": [], "unfinished": [], "outbox": { "first_seq": 1, "last_seq": 0 },
            "caps": { "unfinished": 16, "unacked": 10000, "frame_bytes": 65536 },
            "locked": false, "config_revision": 0,
            "clock": { "now": "2026-06-29T09:00:00Z", "trusted": true, "source": "synchronised" },
        }))
        .unwrap();
        let hub = Hub::default();
        let [first, second] = [1, 2].map(|number| LinkKey {
            terminal_id: terminal.terminal_id.clone(),
            session: SessionId(Uuid::from_u128(number)),
            epoch: StoreEpoch(Uuid::nil()),
        });
        let mut replaced = hub.enter(&terminal.terminal_id, first.session);
        let _ears = hub.enter(&terminal.terminal_id, second.session);
        assert!(replaced.stop.borrow_and_update().is_some());
        let greeted = |key| greet(&db, &hub, key, &hello, None).unwrap();
        assert!(matches!(greeted(&second), Greeted::Welcome(_)));
        assert!(matches!(greeted(&first), Greeted::Replaced));
        db::session::ended(&db, &first, now()).unwrap();
        assert!(terminals::find(&db, &terminal.terminal_id).unwrap().unwrap().online);
    }
}
