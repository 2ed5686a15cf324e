//! A TCP relay between agents and the cloud that counts connection attempts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use anyhow::Result;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Passes bytes on, both ways, and remembers when each connection was made.
pub struct Relay {
    port: u16,
    attempts: Arc<Mutex<Vec<Instant>>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on a free port of an address, such as 127.0.0.1.
    pub async fn listen(on: Ipv4Addr, target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((on, 0)).await?;
        let port = listener.local_addr()?.port();
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(accept(listener, target, Arc::clone(&attempts)));
        Ok(Self { port, attempts, task })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// When each connection was made.
    pub fn attempts(&self) -> Vec<Instant> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, attempts: Arc<Mutex<Vec<Instant>>>) {
    while let Ok((mut near, _)) = listener.accept().await {
        attempts.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        tokio::spawn(async move {
            if let Ok(mut far) = TcpStream::connect(target).await {
                // Either end may break off at any time.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
