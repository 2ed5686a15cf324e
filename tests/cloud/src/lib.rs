//! The simulated cloud: the other end of `terminal-ops.v1`, with the public REST API in front.
//!
//! A real server (TLS, WebSocket, SQLite) that tests start in their own process with
//! [`Cloud::start`] and that people run as the program `terminal-cloud`. What it acknowledges
//! survives its own crash: every `ack` is sent after the commit.
//!
//! It never decides what a terminal does: it hands over operations and keeps what comes back.

mod authority;
mod calls;
mod cloud;
mod config;
mod db;
mod faults;
mod link;
mod pki;
mod rest;
mod secret;
mod server;
mod state;
mod tls;
mod vinr;
mod wait;
mod webhooks;

pub use cloud::{Cloud, CloudError, StartError};
pub use config::{CloudConfig, TlsConfig, Transport};
pub use db::{
    DbError,
    logs::StoredLog,
    offline::Registry,
    operations::{LateResult, NewOperation, Operation, OperationStatus, TimelineEntry},
    reports::{Gap, StoredReport},
    terminals::{NewTerminal, RegisterError, Standing, Terminal},
    tokens::{NewToken, SCOPES},
};
pub use faults::{
    DropHow, DropLink, FaultSwitches, ForgetAcks, SendBytes, SendReconnect, SendText, Unavailable,
};
pub use pki::Pki;
pub use rest::{openapi::document as openapi, terminals::is_account_id, uploads::UploadUrl};
pub use wait::WaitError;
