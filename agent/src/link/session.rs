//! The task of one link: from connecting to the reason why it ended.

use std::{sync::Arc, time::Duration};

use terminal_core::{engine::LinkEnd, protocol::close_code};
use terminal_hal::text::{REASON_CHARS_MAX, bounded};
use tokio::{sync::mpsc, time::Instant};
use tokio_tungstenite::tungstenite::{self, Message, error::ProtocolError, protocol::CloseFrame};

use super::{
    config::Timeouts,
    connector::Connector,
    handle::{Ending, LinkHandle, Queues, Wish, queues},
    socket::{Socket, Turn},
};

/// A close frame without a code.
const CLOSE_CODE_NONE: u16 = 1005;
/// The peer broke the WebSocket protocol.
const CLOSE_CODE_PROTOCOL: u16 = 1002;

/// What happens on a link. `Closed` is the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// TCP, TLS and the WebSocket upgrade are done.
    Opened,
    /// A text frame, at most 64 KiB.
    Text(Vec<u8>),
    /// Anything else that shows that the peer is alive: a ping, a pong, a binary frame.
    Heard,
    /// The link could not be made, or is down.
    Closed(LinkEnd),
}

/// Starts a link in a task of its own. While `events` is full, nothing is read from the peer.
/// Events of another link need another channel: a link that is being closed still speaks.
pub fn spawn(connector: Arc<Connector>, events: mpsc::Sender<LinkEvent>) -> LinkHandle {
    let (handle, queues) = queues();
    tokio::spawn(async move {
        let end = run(&connector, queues, &events).await;
        tracing::debug!(?end, "link is down");
        let _ = events.send(LinkEvent::Closed(end)).await;
    });
    handle
}

async fn run(
    connector: &Connector,
    mut queues: Queues,
    events: &mpsc::Sender<LinkEvent>,
) -> LinkEnd {
    let connected = tokio::select! {
        connected = connector.connect() => connected,
        wish = queues.next(false) => return unconnected(wish),
    };
    let socket = match connected {
        Ok(socket) => socket,
        Err(error) => return error.into(),
    };
    let timeouts = *connector.timeouts();
    if events.send(LinkEvent::Opened).await.is_err() {
        socket.close(std::iter::empty(), Some(GOING_AWAY), timeouts.close).await;
        return lost("nobody listens any more");
    }
    Session { socket, queues, timeouts, arrived: None, write_deadline: None }.run(events).await
}

const GOING_AWAY: (u16, &str) = (close_code::GOING_AWAY, "terminal stops");

fn unconnected(wish: Wish) -> LinkEnd {
    match wish {
        Wish::End(Ending::TooSlow) => lost("more frames than a link may hold before it is open"),
        Wish::End(Ending::Close(..)) | Wish::Abandoned | Wish::Send(_) => {
            lost("closed by the terminal before it was open")
        }
    }
}

struct Session {
    socket: Socket,
    queues: Queues,
    timeouts: Timeouts,
    /// Read, and waiting for room among the events; nothing more is read meanwhile.
    arrived: Option<LinkEvent>,
    /// While something is being written: when it must have left.
    write_deadline: Option<Instant>,
}

/// How a session ends: what the cloud is told, and what the engine is told.
struct Farewell {
    close: Option<(u16, String)>,
    end: LinkEnd,
}

impl Session {
    async fn run(mut self, events: &mpsc::Sender<LinkEvent>) -> LinkEnd {
        let farewell = loop {
            if let Some(farewell) = self.step(events).await {
                break farewell;
            }
        };
        let Self { socket, queues, timeouts, .. } = self;
        let Farewell { close, end } = farewell;
        // What waits is of use to a peer that is there: not after an error.
        let waiting = matches!(&close, Some((code, _)) if *code != CLOSE_CODE_PROTOCOL);
        let last = queues.into_control().filter(|_| waiting);
        let close = close.as_ref().map(|(code, reason)| (*code, reason.as_str()));
        if !matches!(end, LinkEnd::Lost { .. }) || close.is_some() {
            socket.close(last, close, timeouts.close).await;
        }
        end
    }

    async fn step(&mut self, events: &mpsc::Sender<LinkEvent>) -> Option<Farewell> {
        let reading = self.arrived.is_none() && self.queues.has_room_for_answers();
        let writing = self.write_deadline.is_some();
        let deadline = self.write_deadline;
        tokio::select! {
            wish = self.queues.next(!writing) => self.fulfil(wish),
            turn = self.socket.turn(reading, writing) => self.take(turn),
            permit = events.reserve(), if self.arrived.is_some() => match permit {
                Ok(permit) => {
                    if let Some(event) = self.arrived.take() {
                        permit.send(event);
                    }
                    None
                }
                Err(_) => Some(Farewell::closing(GOING_AWAY, "nobody listens any more")),
            },
            () = until(deadline) => Some(Farewell::lost(TOO_SLOW)),
        }
    }

    fn fulfil(&mut self, wish: Wish) -> Option<Farewell> {
        match wish {
            Wish::Send(message) => {
                self.write_within(self.timeouts.write);
                self.socket.begin(message).err().map(|error| broken(&error))
            }
            Wish::End(Ending::Close(code, reason)) => {
                let end = format!("closed by the terminal with code {code}: {reason}");
                Some(Farewell { close: Some((code, reason)), end: lost(&end) })
            }
            Wish::End(Ending::TooSlow) => Some(Farewell::lost(TOO_SLOW)),
            Wish::Abandoned => Some(Farewell::closing(GOING_AWAY, "nobody sends any more")),
        }
    }

    fn take(&mut self, turn: Turn) -> Option<Farewell> {
        match turn {
            Turn::Flushed(Ok(())) => {
                self.write_deadline = None;
                None
            }
            Turn::Flushed(Err(error)) | Turn::Read(Some(Err(error))) => Some(broken(&error)),
            Turn::Heard => {
                self.arrived = Some(LinkEvent::Heard);
                None
            }
            Turn::Read(None) => Some(Farewell::lost("the connection has ended")),
            Turn::Read(Some(Ok(message))) => self.receive(message),
        }
    }

    fn receive(&mut self, message: Message) -> Option<Farewell> {
        match message {
            Message::Text(text) => {
                let bytes = tungstenite::Bytes::from(text);
                self.arrived = Some(LinkEvent::Text(bytes.into()));
            }
            // The pong is queued by now, and leaves when the socket is flushed.
            Message::Ping(_) => {
                self.write_within(self.timeouts.write);
                self.arrived = Some(LinkEvent::Heard);
            }
            Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {
                self.arrived = Some(LinkEvent::Heard);
            }
            Message::Close(frame) => return Some(Farewell { close: None, end: closed(frame) }),
        }
        None
    }

    /// Keeps an earlier deadline: bytes that wait do not become younger by company.
    fn write_within(&mut self, limit: Duration) {
        self.write_deadline.get_or_insert_with(|| Instant::now() + limit);
    }
}

const TOO_SLOW: &str = "the peer reads too slowly";

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Farewell {
    fn lost(reason: &str) -> Self {
        Self { close: None, end: lost(reason) }
    }

    fn closing((code, said): (u16, &str), reason: &str) -> Self {
        Self { close: Some((code, said.to_owned())), end: lost(reason) }
    }
}

fn lost(reason: &str) -> LinkEnd {
    LinkEnd::Lost { reason: bounded(reason, REASON_CHARS_MAX) }
}

fn closed(frame: Option<CloseFrame>) -> LinkEnd {
    let Some(frame) = frame else {
        return LinkEnd::Closed { code: CLOSE_CODE_NONE, reason: String::new() };
    };
    let reason = bounded(frame.reason.as_str(), REASON_CHARS_MAX);
    LinkEnd::Closed { code: frame.code.into(), reason }
}

/// What an error of the socket means for both ends.
#[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum: all others mean the same")]
fn broken(error: &tungstenite::Error) -> Farewell {
    use tungstenite::Error as E;
    match error {
        E::Capacity(_) => Farewell::closing(
            (close_code::TOO_BIG, "frame too large"),
            "the peer sent a frame above the limit",
        ),
        E::Utf8(_) => Farewell::closing(
            (close_code::INVALID_DATA, "text is not UTF-8"),
            "the peer sent text that is not UTF-8",
        ),
        E::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Farewell::lost("the peer ended the connection without a close frame")
        }
        E::Protocol(problem) => {
            let end = format!("the peer broke the WebSocket protocol: {problem}");
            Farewell::closing((CLOSE_CODE_PROTOCOL, "protocol error"), &end)
        }
        other => Farewell::lost(&format!("the connection broke: {other}")),
    }
}
