//! Downloads of updates from a web server: manifests and images by plain names below one URL of
//! the terminal's own configuration.
//!
//! Nothing that was downloaded ever names another host, and a redirect is an error. What the bytes
//! are worth is decided by whoever verifies them.

mod response;
mod url;

pub use url::UpdateUrl;

use std::{sync::Arc, time::Duration};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use terminal_hal::{
    ErrorCode, Failure,
    api::HalFuture,
    firmware::{Bytes, Source},
};
use tokio::time::timeout;

use crate::link::{
    AddressRule, Dialer, ProxyConfig, Timeouts, TlsConnector, Trust, VerificationClock, is_public,
};

/// An answer must begin within this.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// Buffer of the HTTP client.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// A web server with updates. It is shown no client certificate: it is not the cloud.
#[derive(Debug)]
pub struct HttpsSource {
    /// Where.
    pub url: UpdateUrl,
    /// Whom to believe.
    pub trust: Trust,
    /// HTTP proxy.
    pub proxy: Option<ProxyConfig>,
    /// Bounds of connecting.
    pub timeouts: Timeouts,
    /// The time that certificates are checked against.
    pub clock: Arc<VerificationClock>,
    /// Whether it may have a private or loopback address.
    pub allow_private_addresses: bool,
}

impl HttpsSource {
    async fn request(&self, name: &str, offset: u64) -> Result<Option<Box<dyn Bytes>>, Failure> {
        let connector = TlsConnector {
            dialer: Dialer { proxy: self.proxy.clone(), timeouts: self.timeouts },
            trust: self.trust.clone(),
            identity: None,
            clock: Arc::clone(&self.clock),
        };
        let rule = if self.allow_private_addresses {
            AddressRule::Any
        } else {
            AddressRule::Only(is_public)
        };
        let stream = connector.connect(self.url.host(), self.url.port(), rule).await;
        let stream = stream.map_err(|error| {
            let failure = failed(&error.to_string());
            if error.is_permanent() { finally(failure) } else { failure }
        })?;
        let mut client = http1::Builder::new();
        client.max_buf_size(BUFFER_BYTES_MAX);
        let (mut sender, connection) =
            client.handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        // The connection does the work of the request; it ends with what it is for.
        let driver = response::Driver::spawn(connection);
        let request = self.url.request(name, offset)?;
        let answer = timeout(ANSWER_TIME_MAX, sender.send_request(request)).await;
        let answer = answer.map_err(|_| failed("the server does not answer"))?;
        let answer = answer.map_err(|error| broken(&error))?;
        response::read(answer, name, offset, driver)
    }
}

impl Source for HttpsSource {
    fn is_remote(&self) -> bool {
        true
    }

    fn open<'a>(&'a self, name: &'a str, offset: u64) -> HalFuture<'a, Option<Box<dyn Bytes>>> {
        Box::pin(self.request(name, offset))
    }
}

fn broken(error: &hyper::Error) -> Failure {
    failed(&format!("the connection to the server of updates broke off: {error}"))
}

fn failed(reason: &str) -> Failure {
    Failure::new(ErrorCode::DownloadFailed, reason)
}

/// Another try would not do better.
fn finally(mut failure: Failure) -> Failure {
    failure.retryable = false;
    failure
}
