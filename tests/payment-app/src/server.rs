//! The listening end: one connection at a time, the newest wins.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::Result;
use terminal_hal::{mock::MockTerminal, vendor::wire::HelloResult};
use tokio::{
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use crate::session;

/// How the server behaves beside what the script says.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Users that may connect.
    pub allowed_uids: Vec<u32>,
    /// Tells this process from every other.
    pub nonce: String,
}

/// Listens on a path; a socket that an earlier process has left is replaced.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves until the task is dropped.
pub async fn serve(
    listener: UnixListener,
    terminal: MockTerminal,
    options: ServerOptions,
) -> Result<()> {
    let mut current: Option<JoinHandle<()>> = None;
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                eprintln!("accepting: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        match stream.peer_cred().map(|peer| peer.uid()) {
            Ok(uid) if options.allowed_uids.contains(&uid) => {}
            uid => {
                eprintln!("refused: {uid:?} is not allowed");
                continue;
            }
        }
        if let Some(before) = current.take() {
            before.abort();
            // Nothing of the connection before begins any more once this one is answered.
            let _ = before.await;
        }
        current = Some(tokio::spawn(serve_one(stream, terminal.clone(), options.clone())));
    }
}

async fn serve_one(stream: UnixStream, terminal: MockTerminal, options: ServerOptions) {
    if let Err(error) = session::run(stream, &terminal, &options.nonce).await {
        eprintln!("connection ended: {error:#}");
    }
}

/// Who this is.
pub(crate) fn hello(terminal: &MockTerminal, instance: String, nonce: &str) -> HelloResult {
    let capabilities = terminal.script().capabilities.clone();
    let name = |capability| serde_json::to_value(capability).unwrap_or_default();
    HelloResult {
        protocol: terminal_hal::vendor::wire::PROTOCOL_VERSION,
        application: "simulated payment application".to_owned(),
        application_version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: format!("{instance}-{nonce}"),
        capabilities: capabilities
            .into_iter()
            .filter_map(|capability| name(capability).as_str().map(str::to_owned))
            .collect(),
    }
}
