//! The senders' end of a link. Nothing here waits, except for bulk data.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;

/// Control frames that may wait to be written; a peer that lets more pile up is not reading.
const CONTROL_QUEUE: usize = 256;
/// With more control frames waiting than this, nothing is read: the answers to what has been read and
/// waits for the engine, and a window of reports, must find room. A window of reports by itself does
/// not stop the reading: on a slow link the peer would seem to be silent.
const CONTROL_QUEUE_TO_READ: usize = 112;
/// Bulk frames that may wait: none but the next.
const BULK_QUEUE: usize = 1;

/// Sends on a link and ends it. Without any handle left, the link is closed.
#[derive(Clone, Debug)]
pub struct LinkHandle {
    control: mpsc::Sender<Message>,
    bulk: mpsc::Sender<Message>,
    ending: Arc<watch::Sender<Option<Ending>>>,
}

/// Sends what is large and can wait. Does not keep the link open.
#[derive(Clone, Debug)]
pub struct BulkSender {
    bulk: mpsc::Sender<Message>,
}

/// Room for one bulk frame.
#[derive(Debug)]
pub struct BulkPermit<'a> {
    permit: mpsc::Permit<'a, Message>,
}

/// The link is down; whether anything arrived is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the link is down")]
pub struct LinkGone;

/// Why a link is to end; the first reason counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Asked for, with this code and reason.
    Close(u16, String),
    /// More control frames than may wait.
    TooSlow,
}

impl LinkHandle {
    /// Queues a text frame. When too many wait, the link ends as lost.
    pub fn send_text(&self, text: String) {
        self.control(Message::text(text));
    }

    /// Queues a ping.
    pub fn ping(&self) {
        self.control(Message::Ping(Vec::new().into()));
    }

    /// Writes what is queued and closes the link, within a second.
    pub fn close(&self, code: u16, reason: &str) {
        self.end(Ending::Close(code, reason.to_owned()));
    }

    /// A sender for bulk data; whatever else is queued goes first.
    pub fn bulk(&self) -> BulkSender {
        BulkSender { bulk: self.bulk.clone() }
    }

    fn control(&self, message: Message) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.control.try_send(message) {
            self.end(Ending::TooSlow);
        }
    }

    fn end(&self, ending: Ending) {
        self.ending.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(ending);
            }
            first
        });
    }
}

impl BulkSender {
    /// Returns once there is room, which is once the frame before has left. Can be dropped.
    ///
    /// # Errors
    /// When the link is down.
    pub async fn ready(&self) -> Result<BulkPermit<'_>, LinkGone> {
        let permit = self.bulk.reserve().await.map_err(|_| LinkGone)?;
        Ok(BulkPermit { permit })
    }
}

impl BulkPermit<'_> {
    /// Queues a binary frame.
    pub fn send_binary(self, bytes: Vec<u8>) {
        self.permit.send(Message::binary(bytes));
    }

    /// Queues a text frame, after all bulk data that was sent before it.
    pub fn send_text(self, text: String) {
        self.permit.send(Message::text(text));
    }
}

/// The link's own end of the queues.
pub(super) struct Queues {
    control: mpsc::Receiver<Message>,
    bulk: mpsc::Receiver<Message>,
    ending: watch::Receiver<Option<Ending>>,
}

pub(super) fn queues() -> (LinkHandle, Queues) {
    let (control, control_receiver) = mpsc::channel(CONTROL_QUEUE);
    let (bulk, bulk_receiver) = mpsc::channel(BULK_QUEUE);
    let (ending, ending_receiver) = watch::channel(None);
    let handle = LinkHandle { control, bulk, ending: Arc::new(ending) };
    let queues = Queues { control: control_receiver, bulk: bulk_receiver, ending: ending_receiver };
    (handle, queues)
}

/// Something to do for the link.
pub(super) enum Wish {
    Send(Message),
    End(Ending),
    /// Nobody can send any more.
    Abandoned,
}

impl Queues {
    /// What comes next; an ending before control frames, and those before bulk data. With
    /// `sending` off, only endings.
    pub(super) async fn next(&mut self, sending: bool) -> Wish {
        let Self { control, bulk, ending } = self;
        tokio::select! {
            biased;
            ending = ending.wait_for(Option::is_some) => match ending {
                Ok(ending) => ending.clone().map_or(Wish::Abandoned, Wish::End),
                Err(_) => Wish::Abandoned,
            },
            message = control.recv(), if sending => message.map_or(Wish::Abandoned, Wish::Send),
            Some(message) = bulk.recv(), if sending => Wish::Send(message),
        }
    }

    /// Whether there is room for the answers to what else may be read.
    pub(super) fn has_room_for_answers(&self) -> bool {
        self.control.len() <= CONTROL_QUEUE_TO_READ
    }

    /// The control frames that still wait.
    pub(super) fn into_control(mut self) -> impl Iterator<Item = Message> {
        self.control.close();
        std::iter::from_fn(move || self.control.try_recv().ok())
    }
}
