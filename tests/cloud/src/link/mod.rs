//! The WebSocket ends of `terminal-ops.v1` and `terminal-enrol.v1`.
//!
//! `upgrade` lets a terminal in, `enrol` gives it an identity, `session` is the life of one link, `inbound` and `dispatch` are
//! its two directions, `acks` holds acknowledgements back when a fault says so, `log_store` keeps
//! what arrives as log data. Nothing here decides about an operation: the database does.

mod acks;
mod dispatch;
mod enrol;
mod hello;
mod inbound;
pub(crate) mod log_store;
mod logs;
mod session;
mod socket;
pub(crate) mod upgrade;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use terminal_core::protocol::SessionId;
use tokio::sync::{Notify, mpsc, watch};

/// Orders that wait for a link.
const ORDERS_MAX: usize = 64;

/// What a link is told to send.
#[derive(Debug)]
pub(crate) enum Order {
    Text(String),
    Bytes(Vec<u8>),
    Reconnect { after_s: u32, spread_s: u32 },
}

/// How a link is told to end.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    Close { code: u16, reason: String },
    Reset,
}

impl Stop {
    pub(crate) fn close(code: u16, reason: impl Into<String>) -> Self {
        Self::Close { code, reason: reason.into() }
    }
}

/// How the rest of the cloud reaches a link.
#[derive(Clone)]
struct Handle {
    session: SessionId,
    stop: watch::Sender<Option<Stop>>,
    wake: Arc<Notify>,
    orders: mpsc::Sender<Order>,
}

/// What a link hears from the rest of the cloud.
struct Ears {
    stop: watch::Receiver<Option<Stop>>,
    wake: Arc<Notify>,
    orders: mpsc::Receiver<Order>,
}

/// The links that are up, by terminal or, of those that have no identity yet, by enrolment.
#[derive(Default)]
pub(crate) struct Hub(Mutex<HashMap<String, Handle>>);

impl Hub {
    /// Enters a link; the one before is told that it has been replaced.
    fn enter(&self, terminal_id: &str, session: SessionId) -> Ears {
        let (stop, stopped) = watch::channel(None);
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let wake = Arc::new(Notify::new());
        let handle = Handle { session, stop, wake: Arc::clone(&wake), orders };
        let old = self.lock().insert(terminal_id.to_owned(), handle);
        if let Some(old) = old {
            let code = terminal_core::protocol::close_code::REPLACED;
            old.stop.send_replace(Some(Stop::close(code, "replaced by another link")));
        }
        Ears { stop: stopped, wake, orders: inbox }
    }

    /// Whether this is the terminal's link, and no other one has taken its place.
    fn holds(&self, terminal_id: &str, session: SessionId) -> bool {
        self.lock().get(terminal_id).is_some_and(|handle| handle.session == session)
    }

    /// Removes a link unless another one has taken its place.
    fn leave(&self, terminal_id: &str, session: SessionId) {
        let mut links = self.lock();
        if links.get(terminal_id).is_some_and(|handle| handle.session == session) {
            links.remove(terminal_id);
        }
    }

    /// There may be something to send.
    pub(crate) fn wake(&self, terminal_id: &str) {
        if let Some(handle) = self.lock().get(terminal_id) {
            handle.wake.notify_one();
        }
    }

    /// False when there is no link or its inbox is full.
    pub(crate) fn order(&self, terminal_id: &str, order: Order) -> bool {
        self.lock().get(terminal_id).is_some_and(|handle| handle.orders.try_send(order).is_ok())
    }

    /// False when there is no link.
    pub(crate) fn stop(&self, terminal_id: &str, stop: Stop) -> bool {
        let links = self.lock();
        links.get(terminal_id).map(|handle| handle.stop.send_replace(Some(stop))).is_some()
    }

    pub(crate) fn stop_all(&self, stop: &Stop) {
        for handle in self.lock().values() {
            handle.stop.send_replace(Some(stop.clone()));
        }
    }

    pub(crate) fn linked(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Handle>> {
        // A map of handles has no state that a panic could leave half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
