//! A cloud that can say any byte: TCP and TLS are as they should be, everything above is written
//! by the test.

use std::{fs, net::SocketAddr, sync::Arc, time::SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use terminal_cloud::Pki;
use terminal_core::protocol::SUBPROTOCOL;
use terminal_hal::Timestamp;
use terminal_harness::Site;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::support::PATIENCE;

/// Opcode of a text frame.
pub(crate) const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const HEAD_BYTES_MAX: usize = 8192;

/// Where the agent of a site connects to instead of its cloud.
pub(crate) struct Door {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    cloud: SocketAddr,
    pki: Pki,
}

impl Door {
    /// Stands in front of the site's cloud, for agents that start from now on. They trust it.
    pub(crate) async fn open(site: &Site) -> Result<Self> {
        let pki = Pki::create()?;
        let trusted = fs::read_to_string(site.ca_file())? + pki.ca_pem();
        fs::write(site.ca_file(), trusted)?;
        let cloud = site.cloud()?.addr();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (old, new) =
            (format!(":{}/", cloud.port()), format!(":{}/", listener.local_addr()?.port()));
        site.edit_config(|text| text.replace(&old, &new))?;
        let acceptor = acceptor(&pki, 1)?;
        Ok(Self { listener, acceptor, cloud, pki })
    }

    /// The next connection, to which a chain of so many certificates is shown. It need not accept
    /// them.
    pub(crate) async fn show_chain(&self, certificates: usize) -> Result<()> {
        let (stream, _) =
            timeout(PATIENCE, self.listener.accept()).await.context("no attempt")??;
        let acceptor = acceptor(&self.pki, certificates)?;
        if let Ok(mut stream) = acceptor.accept(stream).await {
            let _ = stream.read(&mut [0; HEAD_BYTES_MAX]).await;
        }
        Ok(())
    }

    /// The next connection, TLS done.
    pub(crate) async fn peer(&self) -> Result<Peer> {
        let (stream, _) =
            timeout(PATIENCE, self.listener.accept()).await.context("no attempt")??;
        Ok(Peer { stream: self.acceptor.accept(stream).await? })
    }

    /// The next connection, upgraded to a WebSocket, with the `hello` that came on it.
    pub(crate) async fn greeted(&self) -> Result<(Peer, Value)> {
        let mut peer = self.peer().await?;
        let head = peer.head().await?;
        peer.send(upgrade(&accept_key(&head)).as_bytes()).await?;
        let hello = peer.json().await?;
        ensure!(hello["type"] == "hello", "{hello}");
        Ok((peer, hello))
    }

    /// The next connection, welcomed as a cloud should.
    pub(crate) async fn welcomed(&self) -> Result<(Peer, Value)> {
        let (mut peer, hello) = self.greeted().await?;
        peer.say(&welcome(&hello)).await?;
        Ok((peer, hello))
    }

    /// From now on every connection goes to the site's own cloud.
    pub(crate) fn step_aside(self) -> JoinHandle<()> {
        tokio::spawn(async move {
            while let Ok((mut near, _)) = self.listener.accept().await {
                let cloud = self.cloud;
                tokio::spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(cloud).await {
                        // Either end may break off at any time.
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        })
    }
}

/// One connection of the agent.
pub(crate) struct Peer {
    stream: TlsStream<TcpStream>,
}

impl Peer {
    /// The head of a request.
    pub(crate) async fn head(&mut self) -> Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(head.len() < HEAD_BYTES_MAX, "no end of the head");
            head.push(within(self.stream.read_u8()).await?);
        }
        Ok(String::from_utf8(head)?)
    }

    /// Any bytes.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        within(self.stream.write_all(bytes)).await?;
        within(self.stream.flush()).await
    }

    /// A text frame.
    pub(crate) async fn say(&mut self, value: &Value) -> Result<()> {
        self.send(&frame(0x80 | TEXT, value.to_string().as_bytes())).await
    }

    /// Both directions, to be used at the same time.
    pub(crate) fn split(self) -> (Ears, tokio::io::WriteHalf<TlsStream<TcpStream>>) {
        let (reading, writing) = tokio::io::split(self.stream);
        (Ears { stream: reading }, writing)
    }

    /// The next text frame.
    pub(crate) async fn json(&mut self) -> Result<Value> {
        json_of(&mut self.stream).await
    }

    /// The next `error` frame; others are passed over.
    pub(crate) async fn error(&mut self) -> Result<Value> {
        loop {
            let frame = self.json().await?;
            if frame["type"] == "error" {
                return Ok(frame);
            }
        }
    }

    /// The code that the agent closes with; what comes before is passed over.
    pub(crate) async fn close_code(&mut self) -> Result<u16> {
        close_code_of(&mut self.stream).await
    }

    /// Whether the agent ends the connection without another word.
    pub(crate) async fn is_left(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        read.is_ok() && rest.is_empty()
    }
}

/// What the agent says, while something else is said to it.
pub(crate) struct Ears {
    stream: tokio::io::ReadHalf<TlsStream<TcpStream>>,
}

impl Ears {
    /// The next text frame.
    pub(crate) async fn json(&mut self) -> Result<Value> {
        json_of(&mut self.stream).await
    }

    /// The code that the agent closes with; what comes before is passed over.
    pub(crate) async fn close_code(&mut self) -> Result<u16> {
        close_code_of(&mut self.stream).await
    }
}

async fn close_code_of(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<u16> {
    loop {
        let (opcode, payload) = next_frame(stream).await?;
        if opcode == CLOSE {
            let code = payload.first_chunk().context("a close without a code")?;
            return Ok(u16::from_be_bytes(*code));
        }
    }
}

async fn json_of(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<Value> {
    loop {
        let (opcode, payload) = next_frame(stream).await?;
        ensure!(opcode != CLOSE, "closed: {payload:?}");
        if opcode == TEXT {
            return Ok(serde_json::from_slice(&payload)?);
        }
    }
}

/// The next frame of a client, unmasked.
async fn next_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<(u8, Vec<u8>)> {
    let first = within(stream.read_u8()).await?;
    let second = within(stream.read_u8()).await?;
    ensure!(second & 0x80 != 0, "not masked");
    let length = match second & 0x7f {
        126 => within(stream.read_u16()).await?.into(),
        127 => within(stream.read_u64()).await?,
        short => short.into(),
    };
    let mut mask = [0; 4];
    within(stream.read_exact(&mut mask)).await?;
    let mut payload = vec![0; usize::try_from(length)?];
    within(stream.read_exact(&mut payload)).await?;
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Ok((first & 0x0f, payload))
}

async fn within<T>(io: impl Future<Output = std::io::Result<T>>) -> Result<T> {
    Ok(timeout(PATIENCE, io).await.context("nothing happens")??)
}

/// A frame as a server sends it, with any first byte.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let mut bytes = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => bytes.push(short),
        (_, Ok(middle)) => {
            bytes.push(126);
            bytes.extend(middle.to_be_bytes());
        }
        (_, Err(_)) => {
            bytes.push(127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

/// The answer that a cloud gives to the upgrade.
pub(crate) fn upgrade(accept_key: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept_key}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
    )
}

/// What proves that the request has been read.
pub(crate) fn accept_key(head: &str) -> String {
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let mut keys = headers.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    derive_accept_key(keys.next().map_or("", |(_, key)| key).as_bytes())
}

/// The `welcome` of a cloud that has everything that was sent before.
pub(crate) fn welcome(hello: &Value) -> Value {
    let first = hello["outbox"]["first_seq"].as_u64().unwrap_or(1);
    json!({
        "type": "welcome", "session_id": uuid::Uuid::new_v4(), "heartbeat_s": 5,
        "server_time": hello["clock"]["now"], "ack_seq": first - 1, "ack_report_id": null,
    })
}

pub(crate) fn acceptor(pki: &Pki, certificates: usize) -> Result<TlsAcceptor> {
    let (certificate, key) = pki.server(&["localhost"])?;
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate; certificates], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The time, as the cloud has it.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
