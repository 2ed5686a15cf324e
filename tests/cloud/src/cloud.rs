//! A running cloud, as the code that started it sees it.

use std::{net::SocketAddr, sync::Arc, thread, time::Duration};

use terminal_core::protocol::close_code;
use tokio::{
    net::TcpListener,
    runtime::Runtime,
    sync::{Notify, Semaphore, oneshot, watch},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    authority,
    config::{CloudConfig, Transport},
    db::{self, Db, DbError, terminals::RegisterError, tokens},
    faults::Faults,
    link::{Hub, Stop},
    rest, server,
    state::{self, CONNECTIONS_MAX, Shared},
    tls::{self, TlsError},
    webhooks,
};

/// How long an orderly stop waits for open connections.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a cloud cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory or the runtime.
    #[error("preparing {0}: {1}")]
    Io(&'static str, std::io::Error),
    /// The address.
    #[error("listening on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why a call to a running cloud did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The terminal cannot be registered.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// No such terminal, operation or log.
    #[error("unknown: {0}")]
    Unknown(String),
    /// Another operation is PENDING.
    #[error("another operation is pending, retry after {retry_after_s} s")]
    Busy {
        /// As in `Retry-After`.
        retry_after_s: u64,
    },
    /// A fault switch that cannot be carried out.
    #[error("{0}")]
    Fault(String),
    /// The cloud has been stopped.
    #[error("the cloud has been stopped")]
    Stopped,
}

/// A running cloud. It has threads of its own, so it goes on whatever the caller's runtime does,
/// also while that one's time is paused. Dropping it is like killing it.
pub struct Cloud {
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
    database: Option<thread::JoinHandle<()>>,
}

impl Cloud {
    /// Opens the data directory, binds and serves.
    ///
    /// # Errors
    /// When the directory, the address or the certificates cannot be used.
    pub async fn start(mut config: CloudConfig) -> Result<Self, StartError> {
        for dir in ["logs", "uploads"] {
            std::fs::create_dir_all(config.data_dir.join(dir))
                .map_err(|error| StartError::Io("the data directory", error))?;
        }
        let listener = std::net::TcpListener::from(
            bind(config.listen).map_err(|error| StartError::Listen(config.listen, error))?,
        );
        config.listen =
            listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
        let database_path = config.data_dir.join("cloud.db");
        let database = db::open(&database_path)?;
        let (upload_key, authority) = (tokens::upload_key(&database)?, authority::open(&database)?);
        drop(database);
        let acceptor = match &config.transport {
            Transport::Tls(tls) => {
                Some(TlsAcceptor::from(tls::server_config(tls, authority.ca_pem())?))
            }
            Transport::PlainHttp => None,
        };
        let (db, database) = Db::start(&database_path)?;
        // Last: a runtime must not be dropped where blocking is not allowed.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("cloud")
            .enable_all()
            .build()
            .map_err(|error| StartError::Io("the runtime", error))?;
        let shared = Arc::new(Shared {
            config,
            db,
            hub: Hub::default(),
            enrolling: Hub::default(),
            authority,
            faults: Faults::none(),
            timeouts: Notify::new(),
            stopping: watch::Sender::new(false),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            upload_key,
        });
        let cloud = Self { shared, runtime: Some(runtime), database: Some(database) };
        cloud.serve(listener, acceptor)?;
        Ok(cloud)
    }

    fn serve(
        &self,
        listener: std::net::TcpListener,
        acceptor: Option<TlsAcceptor>,
    ) -> Result<(), StartError> {
        let Some(runtime) = &self.runtime else { return Ok(()) };
        let address = self.shared.config.listen;
        let failed = |error| StartError::Listen(address, error);
        listener.set_nonblocking(true).map_err(failed)?;
        let guard = runtime.enter();
        let listener = TcpListener::from_std(listener).map_err(failed)?;
        drop(guard);
        let router = rest::router(&self.shared);
        runtime.spawn(server::accept(Arc::clone(&self.shared), listener, acceptor, router));
        runtime.spawn(state::watch_timeouts(Arc::clone(&self.shared)));
        runtime.spawn(webhooks::deliver(Arc::clone(&self.shared)));
        Ok(())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.shared.config.listen
    }

    /// `https://localhost:PORT`, or http without TLS.
    pub fn base_url(&self) -> String {
        self.shared.base_url()
    }

    /// Where terminals connect: `wss://localhost:PORT/v1/terminal/ws`.
    pub fn link_url(&self) -> String {
        self.shared.link_url()
    }

    /// Closes the links with 1001, finishes open requests and writes what is in hand.
    pub async fn stop(mut self) -> CloudConfig {
        self.shared.stopping.send_replace(true);
        let stop = Stop::close(close_code::GOING_AWAY, "the cloud stops");
        self.shared.hub.stop_all(&stop);
        self.shared.enrolling.stop_all(&stop);
        let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
        // Every connection holds a permit until it has ended.
        let connections = Arc::clone(&self.shared.connections);
        let ended = self.run(async move {
            tokio::time::timeout(STOP_TIMEOUT, connections.acquire_many(all)).await.is_ok()
        });
        if !matches!(ended.await, Ok(true)) {
            tracing::warn!("connections were still open");
        }
        self.end().await
    }

    /// Ends at once, as by SIGKILL: nothing more is committed, sent or answered.
    pub async fn kill(mut self) -> CloudConfig {
        self.shared.db.kill();
        self.end().await
    }

    /// Waits until the address and the files are free, and hands back the configuration with the
    /// port that was used.
    async fn end(&mut self) -> CloudConfig {
        let (runtime, database) = (self.runtime.take(), self.database.take());
        let db = self.shared.db.clone();
        let (done, ended) = oneshot::channel();
        thread::spawn(move || {
            if let Some(runtime) = runtime {
                runtime.shutdown_timeout(STOP_TIMEOUT);
            }
            if let Some(database) = database {
                db.close();
                // It has nothing to say that could be acted upon here.
                let _ = database.join();
            }
            let _ = done.send(());
        });
        let _ = ended.await;
        self.shared.config.clone()
    }

    /// Runs on the cloud's own runtime, whatever the caller's is.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, CloudError> {
        let runtime = self.runtime.as_ref().ok_or(CloudError::Stopped)?;
        runtime.spawn(work).await.map_err(|_| CloudError::Stopped)
    }

    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }
}

/// With SO_REUSEADDR, so that a cloud that starts again gets the port of the one before.
fn bind(address: SocketAddr) -> std::io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket)
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            self.shared.db.kill();
            runtime.shutdown_background();
            self.shared.db.close_soon();
        }
    }
}
