//! An impairing TCP proxy: what the kernel's network cannot do to a connection, or may not.
//!
//! It listens on loopback and passes connections on to the cloud, or spoils them. It can also
//! answer in the cloud's place, and be an HTTP proxy that understands `CONNECT`.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Result;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{impostor::Impostor, namespaces::Way};

/// What is done to connections from now on, those that exist included.
#[derive(Clone)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Everything is read, acknowledged by the kernel, and thrown away.
    BlackHole,
    /// Every byte arrives so much later.
    Late(Duration),
    /// Bytes arrive one by one, so far apart.
    Trickle(Duration),
    /// Half of what comes next goes on, that way, and then nothing ever again on that connection;
    /// other connections are not touched.
    Half(Way),
    /// Half of what comes next goes on, that way, and then that connection is reset; other
    /// connections are not touched.
    HalfThenReset(Way),
    /// Nobody listens: connections are refused. Those that exist are not touched.
    Refuse,
    /// New connections meet somebody else than the cloud.
    Impostor(Arc<Impostor>),
}

/// A running proxy. Its connections end with it.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<Result<()>>,
}

struct Shared {
    target: SocketAddr,
    /// Whether clients ask for a tunnel first.
    connect: bool,
    mode: watch::Sender<Mode>,
    /// Counted up to reset every connection of now.
    cuts: watch::Sender<u64>,
    attempts: Mutex<Vec<Instant>>,
}

/// Bytes read at once.
const PIECE: usize = 4 << 10;
/// Pieces that may be on their way.
const PIECES_MAX: usize = 256;

impl Proxy {
    /// Listens on a free loopback port. With `connect` it is an HTTP proxy, whose tunnels all
    /// lead to the target.
    pub async fn listen(target: SocketAddr, connect: bool) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            target,
            connect,
            mode: watch::Sender::new(Mode::Pass),
            cuts: watch::Sender::new(0),
            attempts: Mutex::default(),
        });
        let task = tokio::spawn(listen(listener, Arc::clone(&shared)));
        Ok(Self { port, shared, task })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Treats connections otherwise from now on.
    pub fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Resets every connection of now.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// When each connection was made.
    pub fn attempts(&self) -> Vec<Instant> {
        self.shared.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn listen(mut listener: TcpListener, shared: Arc<Shared>) -> Result<()> {
    let address = listener.local_addr()?;
    let mut mode = shared.mode.subscribe();
    loop {
        tokio::select! {
            _ = mode.wait_for(|mode| matches!(mode, Mode::Refuse)) => {}
            () = accept(&listener, &shared) => {}
        }
        drop(listener);
        mode.wait_for(|mode| !matches!(mode, Mode::Refuse)).await?;
        listener = TcpListener::bind(address).await?;
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((near, _)) = listener.accept().await {
        shared.attempts.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        tokio::spawn(serve(near, Arc::clone(shared)));
    }
}

async fn serve(mut near: TcpStream, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let mode = shared.mode.borrow().clone();
    let reset = if let Mode::Impostor(impostor) = mode {
        tokio::select! {
            _ = cuts.changed() => true,
            () = impostor.meet(&mut near) => false,
        }
    } else {
        tokio::select! {
            _ = cuts.changed() => true,
            end = pass_on(&mut near, &shared) => matches!(end, End::Reset),
        }
    };
    if reset {
        // What is dropped with this is reset instead of being closed.
        let _ = SockRef::from(&near).set_linger(Some(Duration::ZERO));
    }
}

/// How a connection ended.
enum End {
    /// By either end.
    Closed,
    /// To be reset.
    Reset,
}

async fn pass_on(near: &mut TcpStream, shared: &Shared) -> End {
    if shared.connect && open_tunnel(near).await.is_err() {
        return End::Closed;
    }
    let Ok(mut far) = TcpStream::connect(shared.target).await else { return End::Closed };
    // What is delayed or cut here is delayed or cut on purpose only.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let end = {
        let ((near_read, near_write), (far_read, far_write)) = (near.split(), far.split());
        let to_cloud = pump(near_read, far_write, Way::ToCloud, shared);
        let to_agent = pump(far_read, near_write, Way::ToAgent, shared);
        tokio::pin!(to_cloud, to_agent);
        let (first, other) = tokio::select! {
            end = &mut to_cloud => (end, to_agent),
            end = &mut to_agent => (end, to_cloud),
        };
        match first {
            End::Reset => End::Reset,
            End::Closed => other.await,
        }
    };
    if matches!(end, End::Reset) {
        let _ = SockRef::from(&far).set_linger(Some(Duration::ZERO));
    }
    end
}

/// Reads the request for a tunnel and grants it.
async fn open_tunnel(near: &mut TcpStream) -> std::io::Result<()> {
    crate::impostor::read_head(near).await?;
    near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await
}

/// One direction of a connection, until it ends.
async fn pump(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, way: Way, shared: &Shared) -> End {
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let read = async move {
        let mut piece = vec![0; PIECE];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            if queue.send((Instant::now(), piece[..count].to_vec())).await.is_err() {
                break;
            }
        }
    };
    let write = async {
        while let Some((arrived, bytes)) = queued.recv().await {
            match write_one(&mut to, arrived, &bytes, way, shared).await {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(_) => return End::Closed,
            }
        }
        // In a black hole not even the end is heard of.
        if !matches!(*shared.mode.borrow(), Mode::BlackHole) {
            let _ = to.shutdown().await;
        }
        End::Closed
    };
    // What was read is still written when nothing more comes.
    let read = async {
        read.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        end = write => end,
        never = read => match never {},
    }
}

async fn write_one(
    to: &mut WriteHalf<'_>,
    arrived: Instant,
    bytes: &[u8],
    way: Way,
    shared: &Shared,
) -> std::io::Result<Option<End>> {
    let mode = shared.mode.borrow().clone();
    match mode {
        Mode::BlackHole => {}
        Mode::Late(by) => {
            tokio::time::sleep_until((arrived + by).into()).await;
            to.write_all(bytes).await?;
        }
        Mode::Trickle(apart) => {
            for byte in bytes {
                to.write_all(&[*byte]).await?;
                tokio::time::sleep(apart).await;
            }
        }
        Mode::Half(this) if this == way => {
            shared.mode.send_replace(Mode::Pass);
            to.write_all(&bytes[..bytes.len() / 2]).await?;
            return std::future::pending().await;
        }
        Mode::HalfThenReset(this) if this == way => {
            shared.mode.send_replace(Mode::Pass);
            to.write_all(&bytes[..bytes.len() / 2]).await?;
            // The reset would overtake and delete what the peer has not read yet.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return Ok(Some(End::Reset));
        }
        Mode::Pass | Mode::Half(_) | Mode::HalfThenReset(_) | Mode::Refuse | Mode::Impostor(_) => {
            to.write_all(bytes).await?;
        }
    }
    Ok(None)
}
