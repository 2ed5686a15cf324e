//! Whoever answers where the cloud should be: portals, balancers, slow and silent servers.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use terminal_cloud::Pki;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Somebody else than the cloud.
pub enum Impostor {
    /// Accepts and never says a word.
    Mute,
    /// Says this in plain text once it has heard something, and closes.
    Says(&'static str),
    /// Says this in plain text once it has heard something, and then nothing.
    SaysAndStays(&'static str),
    /// Speaks TLS, and then …
    Tls(TlsAcceptor, Inside),
}

/// What an impostor says inside TLS.
#[derive(Clone, Copy, Debug)]
pub enum Inside {
    /// Nothing.
    Mute,
    /// This answer to the request for an upgrade.
    Says(&'static str),
    /// The right answer, a byte at a time, so far apart.
    UpgradesByBytes(Duration),
    /// The right answer, and then nothing.
    Upgrades,
    /// The right answer, half a frame, and then nothing.
    UpgradesAndBegins,
}

/// The page of a captive portal.
pub const PORTAL: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n\
    <html><body>Welcome, please log in.</body></html>\r\n";
/// The way to it.
pub const REDIRECT: &str = "HTTP/1.1 302 Found\r\nLocation: https://portal.example/login\r\n\
    Content-Length: 0\r\n\r\n";
/// A text frame that announces more bytes than follow.
const HALF_A_FRAME: &[u8] = b"\x81\x7e\x01\x00{\"type\":\"welcome\",";
/// Largest request.
const HEAD_BYTES_MAX: usize = 8 << 10;

/// What makes a server of this name with a certificate of this authority.
pub fn acceptor(pki: &Pki, name: &str) -> Result<TlsAcceptor> {
    let (chain, key) = pki.server(&[name])?;
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the impostor's certificate")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

impl Impostor {
    /// Meets one client, until either has had enough.
    pub(crate) async fn meet(&self, stream: &mut TcpStream) {
        // How it ends is the client's to tell.
        let _ = match self {
            Self::Mute => stay(stream).await,
            Self::Says(text) => say(stream, text).await,
            Self::SaysAndStays(text) => match say(stream, text).await {
                Ok(()) => stay(stream).await,
                failed => failed,
            },
            Self::Tls(acceptor, inside) => match acceptor.accept(stream).await {
                Ok(mut stream) => inside.meet(&mut stream).await,
                Err(error) => Err(error),
            },
        };
    }
}

impl Inside {
    async fn meet(self, stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> std::io::Result<()> {
        match self {
            Self::Mute => stay(stream).await,
            Self::Says(text) => {
                read_head(stream).await?;
                stream.write_all(text.as_bytes()).await?;
                stream.shutdown().await
            }
            Self::UpgradesByBytes(apart) => {
                for byte in upgrade(&read_head(stream).await?).bytes() {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    tokio::time::sleep(apart).await;
                }
                stay(stream).await
            }
            Self::Upgrades | Self::UpgradesAndBegins => {
                let answer = upgrade(&read_head(stream).await?);
                stream.write_all(answer.as_bytes()).await?;
                if matches!(self, Self::UpgradesAndBegins) {
                    stream.write_all(HALF_A_FRAME).await?;
                }
                stream.flush().await?;
                stay(stream).await
            }
        }
    }
}

/// Reads to the end and says nothing.
async fn stay(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<()> {
    let mut heard = [0; 1024];
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

async fn say(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    let mut heard = [0; 4096];
    if stream.read(&mut heard).await? > 0 {
        stream.write_all(text.as_bytes()).await?;
    }
    Ok(())
}

/// Reads a request up to its empty line.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The answer that this request wants.
fn upgrade(request: &str) -> String {
    let key = request.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
    });
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: terminal-ops.v1\r\n\r\n",
        derive_accept_key(key.unwrap_or_default().as_bytes()),
    )
}
