//! Where uploads meet the link: the shell tells what it hears, uploads pick it up.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use terminal_core::protocol::LogAck;
use terminal_hal::{OperationId, text::bounded};
use tokio::sync::watch;

use crate::link::{BulkSender, ProxyConfig, Timeouts, Trust, VerificationClock};

/// Longest error code that is kept.
const CODE_CHARS_MAX: usize = 64;

/// The way out for uploads, shared by the shell and whatever runs operations.
#[derive(Debug)]
pub struct Uploads {
    link: watch::Sender<Option<BulkSender>>,
    running: Mutex<BTreeMap<OperationId, Running>>,
    pub(super) https: Option<HttpsUploads>,
}

/// How uploads to a URL are made. No client certificate: the receiver is not the cloud.
#[derive(Clone, Debug)]
pub struct HttpsUploads {
    /// Whom to believe.
    pub trust: Trust,
    /// HTTP proxy.
    pub proxy: Option<ProxyConfig>,
    /// Bounds of connecting.
    pub timeouts: Timeouts,
    /// The time that certificates are checked against.
    pub clock: Arc<VerificationClock>,
    /// Before the second try, about; longer before the third.
    pub retry_delay: Duration,
}

#[derive(Debug)]
struct Running {
    attempt: u32,
    heard: watch::Sender<Heard>,
}

/// What the cloud has said about an upload: only the newest counts, so this never grows.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    pub(super) offset: u64,
    pub(super) complete: bool,
    pub(super) refused: Option<String>,
}

impl Uploads {
    /// Without `https`, uploads to a URL are refused.
    pub fn new(https: Option<HttpsUploads>) -> Self {
        Self { link: watch::channel(None).0, running: Mutex::default(), https }
    }

    /// There is a link, and the cloud is ready for log data.
    pub fn link_up(&self, bulk: BulkSender) {
        self.link.send_replace(Some(bulk));
    }

    /// There is none any more; uploads wait.
    pub fn link_down(&self) {
        self.link.send_replace(None);
    }

    /// The cloud has stored log data. Of no effect when no such upload runs.
    pub fn acked(&self, ack: LogAck) {
        self.tell(ack.id, Some(ack.attempt), |heard| {
            heard.offset = heard.offset.max(ack.offset);
            heard.complete |= ack.complete;
        });
    }

    /// The cloud has answered log data with an error. Of no effect when no such upload runs.
    pub fn refused(&self, id: OperationId, code: &str) {
        self.tell(id, None, |heard| heard.refused = Some(bounded(code, CODE_CHARS_MAX)));
    }

    fn tell(&self, id: OperationId, attempt: Option<u32>, change: impl FnOnce(&mut Heard)) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let upload = running.get(&id);
        if let Some(upload) = upload.filter(|upload| attempt.is_none_or(|n| n == upload.attempt)) {
            upload.heard.send_modify(change);
        }
    }

    /// Takes part until it is dropped.
    pub(super) fn register(&self, id: OperationId, attempt: u32) -> Registration<'_> {
        let (sender, heard) = watch::channel(Heard::default());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.insert(id, Running { attempt, heard: sender });
        Registration { uploads: self, id, attempt, heard, link: self.link.subscribe() }
    }
}

/// One upload's place in the hub.
pub(super) struct Registration<'a> {
    uploads: &'a Uploads,
    id: OperationId,
    attempt: u32,
    pub(super) heard: watch::Receiver<Heard>,
    pub(super) link: watch::Receiver<Option<BulkSender>>,
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        let mut running = self.uploads.running.lock().unwrap_or_else(PoisonError::into_inner);
        // An abandoned attempt must not take away the place of the next.
        if running.get(&self.id).is_some_and(|running| running.attempt == self.attempt) {
            running.remove(&self.id);
        }
    }
}
