//! Bytes and frames between the terminal and the cloud: TCP, proxy, TLS, WebSocket.
//!
//! Nothing is decided here. The engine says when to connect, what to send and when to give up; the
//! link moves frames, keeps every queue and every wait bounded, and tells why it ended. It never
//! reconnects by itself, never reads a frame's content and never logs a credential.

mod address;
pub(crate) mod certificate;
mod clock;
mod config;
mod connector;
mod credentials;
mod error;
mod handle;
mod listening;
pub mod network;
mod proxy;
mod retry_after;
mod session;
mod socket;
mod tcp;
mod tls;
mod upgrade;

pub use clock::VerificationClock;
pub use config::{
    ClientIdentity, InvalidLinkUrl, LinkConfig, LinkUrl, ProxyConfig, Timeouts, Trust,
};
pub use connector::Connector;
pub use error::ConnectError;
pub use handle::{BulkPermit, BulkSender, LinkGone, LinkHandle};
pub use session::{LinkEvent, spawn};

pub(crate) use address::is_public;
pub(crate) use config::{bare_host, port_of};
pub(crate) use credentials::one_time_secret;
pub(crate) use tcp::{AddressRule, Dialer};
pub(crate) use tls::TlsConnector;
