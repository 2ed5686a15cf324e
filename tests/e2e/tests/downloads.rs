//! An update from a web server that breaks off, to an agent that is killed.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    hostile_peer::acceptor,
    support::{create, has_one_verdict, result},
    update_site::{NEW, UpdateSite, at_once, is_committed},
    updates::{running, unpacked},
};

const MIB: usize = 1 << 20;
/// Larger than what the agent keeps between two syncs.
const FILLING: usize = 6 * MIB;

/// How the sending of an image ends.
#[derive(Clone, Copy)]
enum End {
    /// At that byte nothing more comes, and the connection stays.
    Stalls(usize),
    /// At that byte the connection is closed.
    Breaks(usize),
}

/// A server of a folder that keeps to a plan for images, and then sends what is asked for.
#[derive(Clone)]
struct Server {
    folder: PathBuf,
    plan: Arc<Mutex<Vec<End>>>,
    /// Where each request for an image began.
    offsets: Arc<Mutex<Vec<usize>>>,
    stalled: Arc<Mutex<bool>>,
}

impl Server {
    /// Listens, and tells the terminal to take its updates from here.
    async fn start(terminal: &UpdateSite, mut plan: Vec<End>) -> Result<Self> {
        plan.reverse();
        let site = &terminal.site;
        let server = Self {
            folder: site.path("source"),
            plan: Arc::new(Mutex::new(plan)),
            offsets: Arc::default(),
            stalled: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}/n92", listener.local_addr()?.port());
        let (folder, ca_file) = (site.path("source"), site.ca_file());
        let from = format!("source = \"{}\"", folder.display());
        let to = format!(
            "source = \"{url}\"\nca-file = \"{}\"\nallow-private-addresses = true",
            ca_file.display()
        );
        site.edit_config(|text| text.replace(&from, &to))?;
        let tls = acceptor(site.pki(), 1)?;
        tokio::spawn(server.clone().serve(listener, tls));
        Ok(server)
    }

    async fn serve(self, listener: TcpListener, tls: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let (server, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    // A client that hangs up is part of the story.
                    let _ = server.answer(stream).await;
                }
            });
        }
    }

    async fn answer(&self, mut stream: TlsStream<TcpStream>) -> Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head)?;
        let path = head.split(' ').nth(1).context("no path")?;
        let name = path.strip_prefix("/n92/").context("another path")?;
        let range = head.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next());
        let offset: usize = range.map_or(Ok(0), str::parse)?;
        let Ok(bytes) = fs::read(self.folder.join(name)) else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await?;
            return Ok(stream.shutdown().await?);
        };
        let last = bytes.len() - 1;
        let (status, length) = (if offset > 0 { 206 } else { 200 }, bytes.len() - offset);
        let head = format!(
            "HTTP/1.1 {status} Here\r\ncontent-length: {length}\r\n\
             content-range: bytes {offset}-{last}/*\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await?;
        let planned = if name.ends_with(".tar") {
            self.offsets.lock().unwrap().push(offset);
            self.plan.lock().unwrap().pop()
        } else {
            None
        };
        let end = match planned {
            Some(End::Stalls(end) | End::Breaks(end)) => end,
            None => bytes.len(),
        };
        stream.write_all(&bytes[offset..end]).await?;
        stream.flush().await?;
        if let Some(End::Stalls(_)) = planned {
            *self.stalled.lock().unwrap() = true;
            // Until the client is gone.
            let _ = stream.read_u8().await;
        }
        Ok(stream.shutdown().await?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_after_a_kill_and_after_a_loss_and_says_so() -> Result<()> {
    let terminal = unpacked().await?;
    fs::write(terminal.site.path("packing/filling"), vec![b'.'; FILLING])?;
    terminal.pack()?;
    let plan = vec![End::Stalls(5 * MIB), End::Breaks(5 * MIB + MIB / 2)];
    let server = Server::start(&terminal, plan).await?;
    let (site, agent) = (&terminal.site, terminal.switch_on(&[]).await?);
    let update = create(site, "update", at_once()).await?;
    let record = site.path("agent/updates/download.json");
    site.until("so much is safe", async |_| Ok(*server.stalled.lock().unwrap() && record.exists()))
        .await?;
    agent.kill_9()?;
    let result = result(&site.verdict(update).await?)?;
    is_committed(&result, "slot-b")?;
    assert_eq!(running(&terminal)?, NEW);
    let offsets = server.offsets.lock().unwrap().clone();
    assert!(
        matches!(offsets[..], [0, second, third]
        if (4 * MIB..5 * MIB).contains(&second) && third == 5 * MIB + MIB / 2),
        "{offsets:?}"
    );
    assert_eq!(result["resumes"], 2, "{result}");
    let size = fs::metadata(site.path("source/firmware.tar"))?.len();
    assert_eq!(result["bytes_downloaded"], size, "{result}");
    has_one_verdict(site, update).await
}
