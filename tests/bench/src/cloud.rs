//! A cloud that does nothing but speak: one TLS listener, one WebSocket at a time, no storage.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use terminal_cloud::Pki;
use terminal_core::protocol::{
    Ack, AgentFrame, CloudFrame, Hello, Report, SUBPROTOCOL, Seq, SessionId, StoreEpoch, Welcome,
    decode_agent_frame, encode,
};
use terminal_hal::Timestamp;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::HeaderValue,
    },
};
use uuid::Uuid;

/// Nothing that works takes this long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Frames that are taken together, as a cloud would store them together.
const BATCH_MAX: usize = 1024;

/// The listener.
pub(crate) struct BenchCloud {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl BenchCloud {
    /// Listens on a free loopback port and writes down whom its clients must trust.
    pub(crate) async fn start(ca_file: &Path) -> Result<Self> {
        let pki = Pki::create()?;
        std::fs::write(ca_file, pki.ca_pem())?;
        let (chain, key) = pki.server(&["localhost", "127.0.0.1"])?;
        let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        Ok(Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(crate) fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// The next link, upgraded.
    pub(crate) async fn accept(&self) -> Result<Link> {
        let accepting = async {
            let (tcp, _) = self.listener.accept().await?;
            tcp.set_nodelay(true)?;
            let tls = self.acceptor.accept(tcp).await?;
            anyhow::Ok(Link { socket: accept_hdr_async(tls, name_subprotocol).await? })
        };
        timeout(PATIENCE, accepting).await.context("nobody has connected")?
    }

    /// The next agent: its link, its `hello`, and when that came and `welcome` was sent.
    pub(crate) async fn welcome(&self, heartbeat_s: u32) -> Result<(Link, Hello, Instant)> {
        let mut link = self.accept().await?;
        let AgentFrame::Hello(hello) = link.frame().await? else { bail!("want hello first") };
        let at = Instant::now();
        link.send(&welcome(&hello, heartbeat_s)).await?;
        Ok((link, *hello, at))
    }
}

#[expect(clippy::result_large_err, reason = "the library's own signature")]
fn name_subprotocol(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    const HEADER: &str = "Sec-WebSocket-Protocol";
    if request.headers().contains_key(HEADER) {
        response.headers_mut().insert(HEADER, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(response)
}

fn welcome(hello: &Hello, heartbeat_s: u32) -> CloudFrame {
    CloudFrame::Welcome(Welcome {
        session_id: SessionId(Uuid::new_v4()),
        server_time: now(),
        heartbeat_s,
        ack_seq: Seq(hello.outbox.first_seq.0.saturating_sub(1)),
        ack_report_id: None,
        config_revision: 0,
    })
}

/// The wall clock.
pub(crate) fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// One WebSocket.
pub(crate) struct Link {
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

impl Link {
    pub(crate) async fn send(&mut self, frame: &CloudFrame) -> Result<()> {
        self.send_text(encode(frame)).await
    }

    /// Sends several in one go.
    pub(crate) async fn send_all(&mut self, frames: &[CloudFrame]) -> Result<()> {
        for frame in frames {
            self.socket.feed(Message::text(encode(frame))).await?;
        }
        Ok(self.socket.flush().await?)
    }

    pub(crate) async fn send_text(&mut self, text: String) -> Result<()> {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    pub(crate) async fn ack(&mut self, store_epoch: StoreEpoch, seq: Seq) -> Result<()> {
        self.send(&CloudFrame::Ack(Ack { store_epoch, seq })).await
    }

    /// The bytes of the next text frame.
    pub(crate) async fn text(&mut self) -> Result<String> {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await.context("nothing came")?;
            match next.context("the link is down")?? {
                Message::Text(text) => return Ok(text.as_str().to_owned()),
                Message::Close(frame) => bail!("closed by the agent: {frame:?}"),
                _ => {}
            }
        }
    }

    /// The next frame.
    pub(crate) async fn frame(&mut self) -> Result<AgentFrame> {
        Ok(decode_agent_frame(self.text().await?.as_bytes())?)
    }

    /// The next report; other frames are passed over.
    pub(crate) async fn report(&mut self) -> Result<Report> {
        loop {
            match self.frame().await? {
                AgentFrame::Report(report) => return Ok(*report),
                AgentFrame::Error(error) => bail!("the agent says {error:?}"),
                _ => {}
            }
        }
    }

    /// The next reports: at least one, and all that have arrived with it.
    pub(crate) async fn reports(&mut self) -> Result<Vec<Report>> {
        let mut reports = vec![self.report().await?];
        while reports.len() < BATCH_MAX {
            let Some(next) = self.socket.next().now_or_never() else { break };
            if let Message::Text(text) = next.context("the link is down")?? {
                match decode_agent_frame(text.as_bytes())? {
                    AgentFrame::Report(report) => reports.push(*report),
                    AgentFrame::Error(error) => bail!("the agent says {error:?}"),
                    _ => {}
                }
            }
        }
        Ok(reports)
    }

    /// Acknowledges what comes until nothing has come for a while.
    pub(crate) async fn drain(&mut self, quiet: Duration) -> Result<()> {
        while let Ok(next) = timeout(quiet, self.socket.next()).await {
            if let Message::Text(text) = next.context("the link is down")?? {
                if let AgentFrame::Report(report) = decode_agent_frame(text.as_bytes())? {
                    self.ack(report.store_epoch, report.seq).await?;
                }
            }
        }
        Ok(())
    }

    /// Answers pings for this long; gives the messages that came.
    pub(crate) async fn idle(&mut self, duration: Duration) -> Result<u64> {
        let until = Instant::now() + duration;
        let mut messages = 0;
        while let Ok(next) = tokio::time::timeout_at(until, self.socket.next()).await {
            ensure!(!matches!(next.context("the link is down")??, Message::Close(_)), "closed");
            messages += 1;
        }
        Ok(messages)
    }
}
