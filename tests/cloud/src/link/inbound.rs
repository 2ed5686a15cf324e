//! From the terminal to the cloud: everything that has arrived together goes into one commit, and
//! is acknowledged after it.

use terminal_core::protocol::{
    AgentFrame, CloudFrame, DecodeError, EnrolAgentFrame, EnrolBegin, ErrorFrame, close_code,
    decode_agent_frame, decode_enrol_agent_frame, error_code,
};
use tokio_tungstenite::tungstenite::Message;

use super::{logs::LogItem, session::Link, socket::Gone};
use crate::db::{
    DbError,
    arrived::Arrived,
    now,
    pending::{self, LinkKey},
    reports,
    sequence::Acks,
    session, verdict,
};

/// What one batch holds for the database.
enum Entry {
    Frame(AgentFrame),
    Report(Arrived),
}

/// What one batch led to.
#[derive(Default)]
struct Applied {
    acks: Acks,
    replies: Vec<CloudFrame>,
    redispatch: bool,
}

impl Link {
    /// Stores a batch and answers it.
    pub(super) async fn take(&mut self, batch: Vec<Message>) -> Result<(), Gone> {
        let mut entries = Vec::with_capacity(batch.len());
        let mut log_items = Vec::new();
        let mut renewals = Vec::new();
        let mut replies = Vec::new();
        for message in batch {
            match message {
                Message::Binary(bytes) => log_items.push(LogItem::Chunk(bytes)),
                Message::Text(text) => match sort(text.as_str())? {
                    Sorted::Entry(entry) => entries.push(entry),
                    Sorted::Renewal(begin) => renewals.push(begin),
                    Sorted::LogEnd(end) => log_items.push(LogItem::End(end)),
                    Sorted::Reply(error) => replies.push(CloudFrame::Error(error)),
                },
                // Pongs are sent by the next flush; the peer's end of a close is seen by `receive`.
                Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
            }
        }
        if !entries.is_empty() {
            let key = self.key.clone();
            let delay_ms =
                u64::try_from(self.shared.config.redispatch_delay.as_millis()).unwrap_or(u64::MAX);
            let acked_now = !self.faults().withhold_acks;
            let applied = self
                .shared
                .db
                .write(move |db| apply(db, &key, &entries, delay_ms, acked_now))
                .await
                .map_err(|error| Gone::Peer(error.to_string()))?;
            self.acknowledge(&applied.acks).await?;
            replies.extend(applied.replies);
            if applied.redispatch {
                self.dispatch().await?;
            }
        }
        for reply in &replies {
            self.socket.feed(reply).await?;
        }
        for begin in &renewals {
            self.renew(begin).await?;
        }
        if !log_items.is_empty() {
            for frame in self.store_log_data(log_items).await? {
                self.socket.feed(&frame).await?;
            }
        }
        self.socket.flush().await
    }

    async fn acknowledge(&mut self, acks: &Acks) -> Result<(), Gone> {
        let faults = self.faults();
        for ack in acks.frames() {
            if let Some(ack) = self.acks.pass(ack, &faults) {
                self.socket.feed(&CloudFrame::Ack(ack)).await?;
            }
        }
        Ok(())
    }
}

enum Sorted {
    Entry(Entry),
    Renewal(Box<EnrolBegin>),
    LogEnd(terminal_core::protocol::LogEnd),
    Reply(ErrorFrame),
}

/// Tells what a text frame is; a breach of the framing ends the link.
fn sort(text: &str) -> Result<Sorted, Gone> {
    let error = match decode_agent_frame(text.as_bytes()) {
        Ok(AgentFrame::Report(report)) => {
            return Ok(Sorted::Entry(Entry::Report(Arrived::whole(&report, text))));
        }
        Ok(AgentFrame::LogEnd(end)) => return Ok(Sorted::LogEnd(end)),
        Ok(AgentFrame::Hello(_)) => {
            return Ok(Sorted::Reply(reply(
                error_code::INVALID_MESSAGE,
                "hello came before".to_owned(),
                None,
            )));
        }
        Ok(frame) => return Ok(Sorted::Entry(Entry::Frame(frame))),
        Err(error) => error,
    };
    match error {
        DecodeError::TooLarge(_) => {
            Err(Gone::Breach { code: close_code::TOO_BIG, reason: error.to_string() })
        }
        DecodeError::Malformed(_) => {
            Err(Gone::Breach { code: close_code::INVALID_DATA, reason: error.to_string() })
        }
        DecodeError::UnknownType(kind) if kind == "enrol_begin" => {
            Ok(match decode_enrol_agent_frame(text.as_bytes()) {
                Ok(EnrolAgentFrame::EnrolBegin(begin)) => Sorted::Renewal(begin),
                Ok(EnrolAgentFrame::Error(_)) | Err(_) => {
                    let problem = "enrol_begin: cannot be read".to_owned();
                    Sorted::Reply(reply(error_code::INVALID_MESSAGE, problem, None))
                }
            })
        }
        DecodeError::UnknownType(_) => {
            Ok(Sorted::Reply(reply(error_code::UNSUPPORTED_MESSAGE, error.to_string(), None)))
        }
        DecodeError::Invalid { kind, reference, problem } => {
            // A report is never refused for its content, or the terminal would send it for ever.
            if kind == "report" {
                if let Some(report) = Arrived::partial(text, problem.clone()) {
                    return Ok(Sorted::Entry(Entry::Report(report)));
                }
            }
            Ok(Sorted::Reply(reply(error_code::INVALID_MESSAGE, problem, reference)))
        }
    }
}

fn reply(code: &str, message: String, reference: Option<String>) -> ErrorFrame {
    ErrorFrame { code: code.to_owned(), message, reference }
}

fn apply(
    db: &rusqlite::Connection,
    link: &LinkKey,
    entries: &[Entry],
    delay_ms: u64,
    acked_now: bool,
) -> Result<Applied, DbError> {
    let mut applied = Applied::default();
    let at = now();
    for entry in entries {
        match entry {
            Entry::Report(arrived) => {
                if !reports::store(db, &link.terminal_id, arrived, at, &mut applied.acks)? {
                    let message = "seq: want 1 to 2^63-1".to_owned();
                    let error = reply(error_code::INVALID_MESSAGE, message, None);
                    applied.replies.push(CloudFrame::Error(error));
                }
            }
            Entry::Frame(frame) => apply_frame(db, link, frame, delay_ms, &mut applied)?,
        }
    }
    applied.acks.keep(db, &link.terminal_id)?;
    if acked_now {
        for id in &applied.acks.verdicts {
            verdict::acked(db, *id, now())?;
        }
    }
    session::seen(db, &link.terminal_id, at)?;
    Ok(applied)
}

fn apply_frame(
    db: &rusqlite::Connection,
    link: &LinkKey,
    frame: &AgentFrame,
    delay_ms: u64,
    applied: &mut Applied,
) -> Result<(), DbError> {
    let at = now();
    match frame {
        AgentFrame::Accepted(frame) => verdict::accepted(db, &link.terminal_id, *frame, at),
        AgentFrame::Started(frame) => verdict::started(db, &link.terminal_id, *frame, at),
        AgentFrame::Progress(frame) => verdict::progress(db, &link.terminal_id, frame, at),
        AgentFrame::Status(frame) => session::status(db, &link.terminal_id, frame),
        AgentFrame::Error(error) => {
            tracing::info!(terminal = link.terminal_id, code = error.code, "error frame");
            applied.redispatch |= pending::refused(db, link, error, at, delay_ms)?;
            Ok(())
        }
        // Sorted out before.
        AgentFrame::Hello(_) | AgentFrame::Report(_) | AgentFrame::LogEnd(_) => Ok(()),
    }
}
