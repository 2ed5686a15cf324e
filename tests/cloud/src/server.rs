//! The listener: TCP, TLS, HTTP/1.1, and what every request knows about its connection.

use std::{io, os::fd::AsFd as _, sync::Arc, time::Duration};

use axum::Router;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, OwnedSemaphorePermit},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::{state::Shared, tls::ClientCertificate};

const TLS_TIMEOUT: Duration = Duration::from_secs(10);
const HEADERS_TIMEOUT: Duration = Duration::from_secs(15);

/// One connection, from the accept to the end of the link that may have grown out of it.
pub(crate) struct Conn {
    /// A verified client certificate.
    pub(crate) certificate: Option<ClientCertificate>,
    socket: Option<socket2::Socket>,
    aborted: Notify,
    _permit: OwnedSemaphorePermit,
}

impl Conn {
    /// The connection ends with a TCP reset as soon as everybody has let go of it.
    pub(crate) fn reset(&self) {
        if let Some(socket) = &self.socket {
            if let Err(error) = socket.set_linger(Some(Duration::ZERO)) {
                tracing::debug!(%error, "preparing a reset");
            }
        }
        self.aborted.notify_one();
    }
}

/// Accepts until the cloud stops.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    router: Router,
) {
    let mut stopping = shared.stopping.subscribe();
    loop {
        let Ok(permit) = Arc::clone(&shared.connections).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        match accepted {
            Ok((tcp, _)) => {
                let connection =
                    serve(Arc::clone(&shared), tcp, acceptor.clone(), router.clone(), permit);
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "connection ended");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: others must close first.
                tracing::warn!(%error, "accepting a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn serve(
    shared: Arc<Shared>,
    tcp: TcpStream,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    permit: OwnedSemaphorePermit,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = tcp.as_fd().try_clone_to_owned().map(socket2::Socket::from).ok();
    let conn = |certificate| Conn { certificate, socket, aborted: Notify::new(), _permit: permit };
    match acceptor {
        None => http(shared, tcp, conn(None), router).await,
        Some(acceptor) => {
            let stream = timeout(TLS_TIMEOUT, acceptor.accept(tcp)).await??;
            let certificates = stream.get_ref().1.peer_certificates();
            let leaf = certificates.and_then(<[_]>::first);
            let certificate = leaf.and_then(ClientCertificate::read);
            http(shared, stream, conn(certificate), router).await
        }
    }
}

async fn http(
    shared: Arc<Shared>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    conn: Conn,
    router: Router,
) -> io::Result<()> {
    let conn = Arc::new(conn);
    let for_requests = Arc::clone(&conn);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&for_requests));
        router.clone().call(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(connection);
    let mut stopping = shared.stopping.subscribe();
    tokio::select! {
        outcome = connection.as_mut() => return outcome.map_err(io::Error::other),
        () = conn.aborted.notified() => return Ok(()),
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    connection.await.map_err(io::Error::other)
}
