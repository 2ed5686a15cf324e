//! Keeps a connection to the payment application: connects, checks who the peer is, says hello,
//! locks it if it has to be locked, and begins anew when it breaks.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    VendorConfig, VendorNews,
    connection::{Connection, ConnectionError, Notification, encode},
    lines::Lines,
    standing_lock::lock_again,
    wire::{
        EventParams, HELLO_MS_MAX, HelloParams, HelloResult, Incoming, NAME_CHARS_MAX,
        PROTOCOL_VERSION, method,
    },
};
use crate::text::{REASON_CHARS_MAX, bounded, free};

/// Range of the first wait between two attempts, in milliseconds; doubles with every failure.
const BACKOFF_BASE_MS: u64 = 100;
/// The range never grows beyond this.
const BACKOFF_CAP_MS: u64 = 5_000;
/// A connection that lasted this long was good: the range starts again.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// Whether there is a connection.
#[derive(Clone, Debug)]
pub(super) enum Link {
    /// Not now.
    Down(Absence),
    /// Ready for requests.
    Up(Arc<Connection>),
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(super) struct Absence {
    pub(super) why: String,
    /// Somebody is there and is not worked with, such as an application of another version: it may
    /// be in the middle of a payment.
    pub(super) somebody_is_there: bool,
}

/// Goes on until nobody looks at `link` any more.
pub(super) async fn keep_connected(
    config: VendorConfig,
    link: watch::Sender<Link>,
    news: watch::Sender<VendorNews>,
) {
    tokio::select! {
        () = link.closed() => {}
        never = connect_for_ever(&config, &link, &news) => match never {},
    }
}

async fn connect_for_ever(
    config: &VendorConfig,
    link: &watch::Sender<Link>,
    news: &watch::Sender<VendorNews>,
) -> std::convert::Infallible {
    let mut failures = 0;
    let mut said = String::new();
    loop {
        let begun = Instant::now();
        let error = serve_once(config, link, news).await;
        let reason = free(&with_sources(&error), REASON_CHARS_MAX);
        let was_up = matches!(*link.borrow(), Link::Up(_));
        // A socket that is not there yet is worth one line, not one per attempt.
        if was_up || said != reason {
            tracing::warn!(
                socket = %config.socket.display(), reason, "no payment application"
            );
        }
        let somebody_is_there = !error.is_silence();
        link.send_replace(Link::Down(Absence { why: reason.clone(), somebody_is_there }));
        said = reason;
        if was_up && begun.elapsed() >= GOOD_AFTER {
            failures = 0;
        }
        sleep(wait(failures, random())).await;
        failures += 1;
    }
}

/// One connection, from the first byte to its end.
async fn serve_once(
    config: &VendorConfig,
    link: &watch::Sender<Link>,
    news: &watch::Sender<VendorNews>,
) -> ConnectionError {
    let (mut lines, writer, hello) = match connect(config).await {
        Ok(connected) => connected,
        Err(error) => return error,
    };
    tracing::info!(
        application = hello.application,
        version = hello.application_version,
        instance = hello.instance,
        capabilities = ?hello.capabilities,
        "payment application connected"
    );
    let (connection, to_write) = Connection::new(hello);
    let connection = Arc::new(connection);
    let on_notification = |notification| match notification {
        Notification::Event(EventParams { event }) => {
            if ["health_changed", "payment_changed"].contains(&event.as_str()) {
                news.send_modify(|news| news.changes += 1);
            }
        }
        Notification::Request(request) => {
            if config.requests.try_send(request).is_err() {
                tracing::warn!("the application wants more operations at once than are heard");
            }
        }
    };
    let running = connection.run(&mut lines, writer, to_write, &on_notification);
    tokio::pin!(running);
    tokio::select! {
        error = &mut running => return error,
        locked = lock_again(&connection, &config.standing_lock) => match locked {
            Ok(()) => {}
            Err(error) => return error,
        },
    }
    link.send_replace(Link::Up(Arc::clone(&connection)));
    news.send_modify(|news| news.connections += 1);
    running.await
}

type Connected = (Lines<tokio::net::unix::OwnedReadHalf>, OwnedWriteHalf, HelloResult);

async fn connect(config: &VendorConfig) -> Result<Connected, ConnectionError> {
    let stream = UnixStream::connect(&config.socket).await.map_err(ConnectionError::Connect)?;
    let peer = stream.peer_cred().map_err(ConnectionError::Credentials)?;
    if !config.allowed_uids.contains(&peer.uid()) {
        let allowed = config.allowed_uids.clone();
        return Err(ConnectionError::Stranger { uid: peer.uid(), allowed });
    }
    let (reader, mut writer) = stream.into_split();
    let mut lines = Lines::new(reader);
    let greeting = greet(config, &mut lines, &mut writer);
    let hello = timeout(Duration::from_millis(HELLO_MS_MAX), greeting).await;
    let hello = hello.map_err(|_| ConnectionError::HelloTimeout)??;
    Ok((lines, writer, hello))
}

async fn greet(
    config: &VendorConfig,
    lines: &mut Lines<tokio::net::unix::OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
) -> Result<HelloResult, ConnectionError> {
    let params =
        HelloParams { protocol: PROTOCOL_VERSION, agent_version: config.agent_version.clone() };
    let line = encode(Some(1), method::HELLO, &params).unwrap_or_default();
    writer.write_all(&line).await.map_err(ConnectionError::Write)?;
    let malformed = |error: serde_json::Error| ConnectionError::Malformed(error.to_string());
    loop {
        let line = lines.next().await?.ok_or(ConnectionError::Closed)?;
        let message: Incoming = serde_json::from_slice(&line).map_err(malformed)?;
        if message.id != Some(1) {
            // A notification: it may be in a hurry.
            continue;
        }
        if let Some(error) = message.error {
            return Err(ConnectionError::HelloRefused(error.message));
        }
        let result = message.result.unwrap_or_default();
        return checked(serde_json::from_value(result).map_err(malformed)?);
    }
}

fn checked(mut hello: HelloResult) -> Result<HelloResult, ConnectionError> {
    if hello.protocol != PROTOCOL_VERSION {
        return Err(ConnectionError::Version(hello.protocol));
    }
    for name in [&mut hello.application, &mut hello.application_version, &mut hello.instance] {
        *name = bounded(name, NAME_CHARS_MAX);
    }
    if hello.instance.is_empty() {
        return Err(ConnectionError::Malformed("hello names no instance".to_owned()));
    }
    Ok(hello)
}

/// Full jitter, exponential, capped.
fn wait(failures: u32, random: u64) -> Duration {
    let range = BACKOFF_BASE_MS.saturating_mul(1 << failures.min(16)).min(BACKOFF_CAP_MS);
    Duration::from_millis(random % (range + 1))
}

/// Good enough not to be in step with others. The standard library seeds every such state anew.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn with_sources(error: &ConnectionError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_cap_and_begin_anywhere_below() {
        let longest = |failures| (0..10_000).map(|random| wait(failures, random)).max().unwrap();
        assert_eq!(longest(0), Duration::from_millis(BACKOFF_BASE_MS));
        assert_eq!(longest(2), Duration::from_millis(4 * BACKOFF_BASE_MS));
        for failures in [6, 16, 60, u32::MAX] {
            assert_eq!(longest(failures), Duration::from_millis(BACKOFF_CAP_MS));
        }
        assert_eq!(wait(60, 0), Duration::ZERO);
    }
}
