//! The context that every call of a backend gets: identity, time limit, cancellation, progress.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::OperationId;

/// Progress reports that may wait to be read; more are dropped.
const PROGRESS_QUEUE: usize = 4;

/// Context of one call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The operation that this call serves. A backend remembers it to recognise a repetition.
    pub id: OperationId,
    /// 1 for the first try.
    pub attempt: u32,
    /// Time that the operation has left; the agent cancels and then abandons it after that.
    pub time_left: Duration,
    /// Whether the call should stop.
    pub cancellation: Cancellation,
    progress: mpsc::Sender<Progress>,
}

/// How far an operation has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Name of the phase, 1 to 32 characters.
    pub phase: String,
    /// 0 to 100, where it is known.
    pub percent: Option<u8>,
}

/// The caller's end of a [`Call`].
#[derive(Debug)]
pub struct CallHandle {
    canceller: watch::Sender<bool>,
    /// What the backend reports meanwhile.
    pub progress: mpsc::Receiver<Progress>,
}

/// Makes a call context and the handle that controls it.
pub fn call(id: OperationId, attempt: u32, time_left: Duration) -> (Call, CallHandle) {
    let (canceller, cancelled) = watch::channel(false);
    let (progress, progress_receiver) = mpsc::channel(PROGRESS_QUEUE);
    let cancellation = Cancellation { cancelled };
    let call = Call { id, attempt, time_left, cancellation, progress };
    (call, CallHandle { canceller, progress: progress_receiver })
}

impl Call {
    /// Reports progress; dropped when nobody reads fast enough.
    pub fn progress(&self, phase: &str, percent: Option<u8>) {
        let phase = crate::text::free(phase, 32);
        let _ = self.progress.try_send(Progress { phase, percent: percent.map(|p| p.min(100)) });
    }
}

impl CallHandle {
    /// Asks the backend to stop. It may still finish first.
    pub fn cancel(&self) {
        self.canceller.send_replace(true);
    }
}

/// Whether a call should stop. Also true once the caller's handle is gone.
#[derive(Clone, Debug)]
pub struct Cancellation {
    cancelled: watch::Receiver<bool>,
}

impl Cancellation {
    /// Whether the call should stop now.
    pub fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow() || self.cancelled.has_changed().is_err()
    }

    /// Returns when the call should stop.
    pub async fn cancelled(&self) {
        let mut cancelled = self.cancelled.clone();
        // An error means that the caller is gone, which cancels as well.
        let _ = cancelled.wait_for(|cancelled| *cancelled).await;
    }
}
