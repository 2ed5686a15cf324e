//! An upload over the link: moves bytes between archive, sender and link, and waits.

use std::time::Duration;

use terminal_core::protocol::{AgentFrame, encode, error_code};
use terminal_hal::{ErrorCode, Failure};
use tokio::time::{Instant, sleep_until};

use super::{
    archive::{Archive, Plan, Sent, Source},
    hub::{Registration, Uploads},
    sender::{LogSender, SenderFrame},
};
use crate::link::{BulkPermit, BulkSender, LinkGone};

/// Without any progress for so long, while the link is up, the upload has failed.
const PROGRESS_MAX: Duration = Duration::from_secs(60);

/// Sends the planned bytes; returns once the cloud has verified them. Waits while there is no
/// link: the caller limits that.
pub(super) async fn send(
    source: &Source<'_>,
    plan: &Plan,
    uploads: &Uploads,
) -> Result<Sent, Failure> {
    let (id, attempt) = (source.call.id, source.call.attempt);
    let mut upload = Upload {
        sender: LogSender::new(id, attempt),
        place: uploads.register(id, attempt),
        link: None,
        progress: Instant::now(),
    };
    upload.take_link();
    let mut archive = Archive::open(source, plan).await?;
    while !upload.sender.is_complete() {
        if upload.sender.wants_bytes() {
            match archive.next().await? {
                Some(bytes) => upload.sender.push(&bytes),
                None => upload.sender.finish(archive.sent().sha256),
            }
        } else {
            upload.advance().await?;
            source.report_uploading(upload.sender.acked(), plan);
        }
    }
    Ok(archive.sent())
}

struct Upload<'a> {
    sender: LogSender,
    place: Registration<'a>,
    /// The one that the sender has been told of.
    link: Option<BulkSender>,
    /// When there was progress last, or reason to hope for some.
    progress: Instant,
}

impl Upload<'_> {
    /// Waits for news or for room on the link, whichever is first.
    async fn advance(&mut self) -> Result<(), Failure> {
        let Self { sender, place: Registration { heard, link, .. }, .. } = self;
        let bulk = self.link.clone();
        let has_frame = sender.has_frame();
        let stalled = self.progress + PROGRESS_MAX;
        tokio::select! {
            biased;
            Ok(()) = heard.changed() => self.listen(),
            Ok(()) = link.changed() => {
                self.take_link();
                Ok(())
            }
            permit = ready(bulk.as_ref()), if has_frame => {
                if !self.sender.is_awaiting() {
                    self.progress = Instant::now();
                }
                match permit {
                    Ok(permit) => send_next(&mut self.sender, permit),
                    // The shell will say that the link is down, and later that there is another.
                    Err(LinkGone) => self.link = None,
                }
                Ok(())
            }
            () = sleep_until(stalled), if bulk.is_some() => {
                let reason = "the cloud has stored nothing more for 60 s";
                Err(Failure::new(ErrorCode::UploadFailed, reason))
            }
        }
    }

    fn take_link(&mut self) {
        self.link.clone_from(&self.place.link.borrow_and_update());
        self.sender.link_changed();
        self.progress = Instant::now();
    }

    fn listen(&mut self) -> Result<(), Failure> {
        let heard = self.place.heard.borrow_and_update().clone();
        if let Some(code) = heard.refused {
            return Err(refusal(&code));
        }
        match self.sender.acknowledge(heard.offset, heard.complete) {
            Ok(true) => self.progress = Instant::now(),
            Ok(false) => {}
            Err(error) => {
                let reason = format!("the cloud's answer makes no sense: {error}");
                return Err(Failure::new(ErrorCode::UploadFailed, reason));
            }
        }
        Ok(())
    }
}

async fn ready(bulk: Option<&BulkSender>) -> Result<BulkPermit<'_>, LinkGone> {
    match bulk {
        Some(bulk) => bulk.ready().await,
        None => std::future::pending().await,
    }
}

fn send_next(sender: &mut LogSender, permit: BulkPermit<'_>) {
    match sender.next_frame() {
        Some(SenderFrame::Chunk(bytes)) => permit.send_binary(bytes),
        Some(SenderFrame::End(end)) => permit.send_text(encode(&AgentFrame::LogEnd(end))),
        None => {}
    }
}

fn refusal(code: &str) -> Failure {
    let passing = [error_code::DIGEST_MISMATCH, error_code::OVERLOADED, error_code::STORAGE_FULL];
    let kind =
        if passing.contains(&code) { ErrorCode::UploadFailed } else { ErrorCode::UploadRejected };
    Failure::new(kind, format!("the cloud refuses the upload: {code}"))
}
