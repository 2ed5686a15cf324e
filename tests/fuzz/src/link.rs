//! The link against a peer that says anything: to the upgrade, inside the WebSocket, as a proxy.
//!
//! It runs over loopback: what is fuzzed is the link as it is, TLS aside.

use std::{cell::RefCell, io, sync::Arc, time::Duration};

use terminal_agent::link::{
    Connector, LinkConfig, LinkEvent, LinkUrl, ProxyConfig, Timeouts, VerificationClock, spawn,
};
use terminal_core::{
    engine::LinkEnd,
    protocol::{SUBPROTOCOL, TEXT_FRAME_BYTES_MAX},
};
use terminal_hal::text::REASON_CHARS_MAX;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Everything is over long before.
const PATIENCE: Duration = Duration::from_secs(20);
/// In what the peer says this stands for the right `Sec-WebSocket-Accept`.
const ACCEPT_KEY: &[u8] = b"$KEY";
const HEAD_BYTES_MAX: usize = 4096;

/// A runtime and the port that the peer listens on.
struct Lab {
    runtime: Runtime,
    listener: TcpListener,
    port: u16,
}

impl Lab {
    fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let port = listener.local_addr()?.port();
        Ok(Self { runtime, listener, port })
    }
}

thread_local! {
    static LAB: RefCell<io::Result<Lab>> = RefCell::new(Lab::new());
}

/// The part that the peer plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// What it says is the whole answer to the upgrade, and what follows it.
    Server,
    /// The upgrade has gone well: what it says are WebSocket frames.
    WebSocket,
    /// A proxy, which is asked for a tunnel.
    Proxy,
    /// 503, and how long to wait.
    Busy,
}

/// The first byte names the part of the peer, the rest is what it says.
pub fn link(data: &[u8]) {
    let Some((part, said)) = data.split_first() else { return };
    let part = match part % 4 {
        0 => Part::Server,
        1 => Part::WebSocket,
        2 => Part::Proxy,
        _ => Part::Busy,
    };
    LAB.with_borrow(|lab| {
        assert!(lab.is_ok(), "loopback cannot be used");
        let Ok(lab) = lab else { return };
        let met = lab.runtime.block_on(async { timeout(PATIENCE, meet(lab, part, said)).await });
        assert!(met.is_ok(), "the link does not end");
        if let Ok(Some((events, heard))) = met {
            check(part, said, &events);
            if events.first() == Some(&LinkEvent::Opened) {
                is_well_formed(&heard);
            }
        }
    });
}

/// One link, from connecting to its end: what it told, and what the peer heard.
async fn meet(lab: &Lab, part: Part, said: &[u8]) -> Option<(Vec<LinkEvent>, Vec<u8>)> {
    let (sender, mut receiver) = mpsc::channel(8);
    let clock = VerificationClock::default();
    let connector = Connector::new(config(part, lab.port)?, Arc::new(clock));
    let handle = spawn(Arc::new(connector), sender);
    let listening = async {
        let mut events = Vec::new();
        while let Some(event) = receiver.recv().await {
            if event == LinkEvent::Opened {
                handle.send_text("hello".to_owned());
            }
            events.push(event);
        }
        events
    };
    let (events, heard) = tokio::join!(listening, play(&lab.listener, part, said));
    Some((events, heard))
}

fn config(part: Part, port: u16) -> Option<LinkConfig> {
    let by_proxy = part == Part::Proxy;
    let url =
        if by_proxy { "ws://cloud.example/".to_owned() } else { format!("ws://127.0.0.1:{port}/") };
    let proxy = ProxyConfig { host: "127.0.0.1".to_owned(), port, credentials_file: None };
    Some(LinkConfig {
        url: LinkUrl::parse(&url, true).ok()?,
        trust: None,
        identity: None,
        token_file: None,
        proxy: by_proxy.then_some(proxy),
        timeouts: Timeouts { close: Duration::from_millis(200), ..Timeouts::default() },
    })
}

/// The peer: says what it says, and hears the link out. It can break off at any time.
async fn play(listener: &TcpListener, part: Part, said: &[u8]) -> Vec<u8> {
    let mut heard = Vec::new();
    if let Ok((stream, _)) = listener.accept().await {
        let _ = speak(stream, part, said, &mut heard).await;
    }
    heard
}

async fn speak(
    mut stream: TcpStream,
    part: Part,
    said: &[u8],
    heard: &mut Vec<u8>,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        head.push(stream.read_u8().await?);
    }
    let key = accept_key(&head);
    let answer = match part {
        Part::Server => replaced(said, key.as_bytes()),
        Part::Proxy => said.to_vec(),
        Part::WebSocket => {
            let upgrade = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
            );
            [upgrade.as_bytes(), said].concat()
        }
        Part::Busy => [b"HTTP/1.1 503 Busy\r\nRetry-After: ", said, b"\r\n\r\n"].concat(),
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    stream.read_to_end(heard).await?;
    Ok(())
}

fn accept_key(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let mut keys = headers.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = keys.next().map_or("", |(_, key)| key);
    derive_accept_key(key.as_bytes())
}

fn replaced(said: &[u8], key: &[u8]) -> Vec<u8> {
    let Some(at) = said.windows(ACCEPT_KEY.len()).position(|window| window == ACCEPT_KEY) else {
        return said.to_vec();
    };
    let (before, after) = said.split_at(at);
    [before, key, after.get(ACCEPT_KEY.len()..).unwrap_or_default()].concat()
}

/// What the link tells: everything is bounded, and the end comes once and last.
fn check(part: Part, said: &[u8], events: &[LinkEvent]) {
    let is_opened = events.first() == Some(&LinkEvent::Opened);
    let between = events.iter().skip(usize::from(is_opened));
    let mut ends = 0;
    for event in between {
        assert_eq!(ends, 0, "{events:?}");
        match event {
            LinkEvent::Opened => assert!(!is_opened, "opened twice"),
            LinkEvent::Text(text) => {
                assert!(is_opened && text.len() <= TEXT_FRAME_BYTES_MAX, "{} bytes", text.len());
                assert!(std::str::from_utf8(text).is_ok(), "{text:?}");
            }
            LinkEvent::Heard => assert!(is_opened),
            LinkEvent::Closed(end) => {
                ends += 1;
                is_bounded(end);
                let asks = matches!(end, LinkEnd::RetryAfter { .. });
                assert!(!asks || matches!(part, Part::Busy | Part::Server), "{end:?}");
            }
        }
    }
    assert_eq!(ends, 1, "{events:?}");
    let has = |text: &[u8]| said.windows(text.len()).any(|window| window == text);
    match part {
        Part::WebSocket => assert!(is_opened, "{events:?}"),
        Part::Server => {
            let agrees = has(b"101") && has(ACCEPT_KEY) && has(SUBPROTOCOL.as_bytes());
            assert!(!is_opened || agrees, "opened by {said:?}");
        }
        Part::Busy => assert!(!is_opened, "{events:?}"),
        Part::Proxy => {
            assert!(!is_opened, "{events:?}");
            let wants_login = said.starts_with(b"HTTP/1.1 407 ") && said.ends_with(b"\r\n\r\n");
            let refused = matches!(events.last(), Some(LinkEvent::Closed(LinkEnd::Refused { .. })));
            assert!(refused || !wants_login || said.len() > 4096, "{events:?}");
        }
    }
}

fn is_bounded(end: &LinkEnd) {
    match end {
        LinkEnd::Lost { reason }
        | LinkEnd::Refused { reason }
        | LinkEnd::Unauthorized { reason }
        | LinkEnd::CertificateExpired { reason }
        | LinkEnd::Closed { reason, .. } => {
            assert!(reason.chars().count() <= REASON_CHARS_MAX, "{reason}");
            assert!(!reason.chars().any(char::is_control), "{reason:?}");
        }
        LinkEnd::RetryAfter { seconds } => assert!(*seconds <= 3600, "{seconds}"),
    }
}

/// Whatever it was told, the link itself keeps to the WebSocket protocol. Its last frame may be
/// cut off.
fn is_well_formed(mut heard: &[u8]) {
    while let Some((head, rest)) = heard.split_first_chunk::<2>() {
        let [first, second] = *head;
        assert_eq!(first & 0xf0, 0x80, "fragments or reserved bits: {first:x}");
        assert!(matches!(first & 0x0f, 1 | 2 | 8 | 9 | 10), "opcode {first:x}");
        assert_eq!(second & 0x80, 0x80, "not masked");
        let short = usize::from(second & 0x7f);
        assert!(first & 0x08 == 0 || short <= 125, "control frame of {short} bytes");
        let (length, rest) = match (short, rest.split_first_chunk::<2>()) {
            (126, Some((length, rest))) => (usize::from(u16::from_be_bytes(*length)), rest),
            (126 | 127, _) => return,
            _ => (short, rest),
        };
        let Some(after) = rest.get(4 + length..) else { return };
        heard = after;
    }
}
