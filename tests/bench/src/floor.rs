//! Floors: what the machine allows a program that does nothing else. A process of its own, as
//! small as an agent can be: one thread, one WebSocket over TLS, one preallocated file.

use std::{
    fs::{File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::{
    cloud::{BenchCloud, Link},
    options::FLOOR_CLIENT,
};

/// Written once, so that appending changes no metadata; then from the start again.
const FILE_BYTES: u64 = 8 << 20;

/// What the client is to do with a frame.
#[derive(Debug, Deserialize, Serialize)]
struct Order {
    /// Append so many bytes each and sync, one after the other.
    commits: Vec<usize>,
    /// Then answer with so many frames ...
    frames: u64,
    /// ... of so many bytes.
    bytes: usize,
    /// Makes the order as long as the frame that it stands for.
    pad: String,
}

/// The other end, while it runs.
pub(crate) struct Floor {
    child: Child,
    link: Link,
}

impl Floor {
    /// Starts the process and waits for its link.
    pub(crate) async fn start(cloud: &BenchCloud, ca_file: &Path, file: &Path) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .arg(FLOOR_CLIENT)
            .arg(cloud.port()?.to_string())
            .args([ca_file, file])
            .stdin(Stdio::null())
            .spawn()?;
        Ok(Self { child, link: cloud.accept().await? })
    }

    /// Round trip of a dispatch of `asked` bytes and a report of `answered`, with these appends
    /// in between.
    pub(crate) async fn round_trip(
        &mut self,
        asked: usize,
        answered: usize,
        commits: &[usize],
    ) -> Result<Duration> {
        let order = order(commits, 1, answered, asked)?;
        let begin = Instant::now();
        self.link.send_text(order).await?;
        self.link.text().await?;
        Ok(begin.elapsed())
    }

    /// Time until so many frames of so many bytes have come.
    pub(crate) async fn flood(&mut self, frames: u64, bytes: usize) -> Result<Duration> {
        let order = order(&[], frames, bytes, 0)?;
        let begin = Instant::now();
        self.link.send_text(order).await?;
        for _ in 0..frames {
            self.link.text().await?;
        }
        Ok(begin.elapsed())
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn order(commits: &[usize], frames: u64, bytes: usize, length: usize) -> Result<String> {
    let mut order = Order { commits: commits.to_vec(), frames, bytes, pad: String::new() };
    let bare = serde_json::to_string(&order)?.len();
    order.pad = "x".repeat(length.saturating_sub(bare));
    Ok(serde_json::to_string(&order)?)
}

/// The process: does what it is told until the link ends.
pub(crate) async fn client(port: u16, ca_file: &Path, file: &Path) -> Result<()> {
    let mut journal = Preallocated::create(file)?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca_file)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let (mut socket, _) = client_async(format!("wss://localhost:{port}/"), tls).await?;
    while let Some(message) = socket.next().await {
        let text = match message? {
            Message::Text(text) => text,
            Message::Close(_) => return Ok(()),
            other => bail!("got {other:?}, want an order"),
        };
        let order: Order = serde_json::from_str(&text)?;
        for bytes in &order.commits {
            journal.append(*bytes)?;
        }
        let answer = Message::text("x".repeat(order.bytes));
        for _ in 0..order.frames {
            socket.feed(answer.clone()).await?;
        }
        socket.flush().await?;
    }
    Ok(())
}

struct Preallocated {
    file: File,
    at: u64,
}

impl Preallocated {
    fn create(path: &Path) -> Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
        file.write_all(&vec![0; usize::try_from(FILE_BYTES)?])?;
        file.sync_all()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file, at: 0 })
    }

    /// Returns when the bytes are on the medium.
    fn append(&mut self, bytes: usize) -> Result<()> {
        let length = u64::try_from(bytes)?;
        if self.at + length > FILE_BYTES {
            self.file.seek(SeekFrom::Start(0))?;
            self.at = 0;
        }
        self.at += length;
        self.file.write_all(&vec![b'x'; bytes])?;
        self.file.sync_data().context("syncing the floor's file")
    }
}
