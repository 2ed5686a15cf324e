//! The bridge against a peer that says whatever the test wants.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{
        UnixListener,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use uuid::Uuid;

use super::{Vendor, VendorConfig, lines::Lines, wire::method};
use crate::{
    OperationId,
    api::{self, Call, CallHandle},
};

mod answers;
mod locked;
mod lost;
mod peers;

/// What a test waits for comes within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(120);

/// A peer that the test plays.
struct Peer {
    listener: UnixListener,
    directory: PathBuf,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Peer {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("terminal-vendor-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let listener = UnixListener::bind(directory.join("app.sock")).unwrap();
        Self { listener, directory }
    }

    fn own_uid(&self) -> u32 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(&self.directory).unwrap().uid()
    }

    fn config(&self) -> VendorConfig {
        VendorConfig {
            socket: self.directory.join("app.sock"),
            allowed_uids: vec![self.own_uid()],
            agent_version: "test".to_owned(),
            standing_lock: tokio::sync::watch::channel(None).1,
            requests: tokio::sync::mpsc::channel(1).0,
        }
    }

    fn bridge(&self) -> Vendor {
        Vendor::open(self.config())
    }

    /// The next connection, before it has said anything.
    async fn accept(&self) -> Conversation {
        let accepted = timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("the agent does not connect").unwrap();
        let (reader, writer) = stream.into_split();
        Conversation { lines: Lines::new(reader), writer }
    }

    /// The next connection, after hello.
    async fn greeted(&self, instance: &str) -> Conversation {
        let mut conversation = self.accept().await;
        let (id, params) = conversation.expect(method::HELLO).await;
        assert_eq!((id, &params["protocol"]), (1, &json!(1)));
        conversation.answer(id, hello(instance)).await;
        conversation
    }
}

fn hello(instance: &str) -> Value {
    json!({
        "protocol": 1, "application": "peer", "application_version": "1", "instance": instance,
        "capabilities": ["payments", "screen", "logs", "firmware", "power", "health", "coffee"],
    })
}

struct Conversation {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Conversation {
    /// The next message, which must have this method; its id and parameters.
    async fn expect(&mut self, method: &str) -> (u64, Value) {
        let line = timeout(PATIENCE, self.lines.next()).await.expect(method);
        let line = line.unwrap().expect("the agent closed the connection");
        let message: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(message["jsonrpc"], "2.0");
        assert_eq!(message["method"], method, "{message}");
        (message["id"].as_u64().unwrap_or(0), message["params"].clone())
    }

    async fn answer(&mut self, id: u64, result: Value) {
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string()).await;
    }

    async fn say(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    /// Whether the agent has closed the connection.
    async fn is_closed(&mut self) -> bool {
        let line = timeout(PATIENCE, self.lines.next()).await;
        !matches!(line.expect("it is still open"), Ok(Some(_)))
    }
}

fn id(number: u128) -> OperationId {
    OperationId(Uuid::from_u128(number))
}

fn call(number: u128) -> (Call, CallHandle) {
    api::call(id(number), 1, Duration::from_secs(60))
}

fn totals(outcome: &str) -> Value {
    json!({
        "outcome": outcome, "batch_id": "7", "currency": "NOK",
        "start_of_day_at": "2026-06-29T06:00:00Z", "purchases_count": 1, "purchases_amount": 110,
        "reversals_count": 0, "reversals_amount": 0, "sale_amount": 100, "tip_amount": 10,
        "offline": { "forwarded": 0, "declined": 0, "pending_count": 0, "pending_amount": 0 },
    })
}
