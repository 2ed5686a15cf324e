//! What a server's answer means, and the bytes that follow it.

use std::{future::poll_fn, pin::Pin};

use hyper::{
    Response,
    body::{Body as _, Incoming},
    header::{CONTENT_ENCODING, CONTENT_RANGE},
};
use terminal_hal::{ErrorCode, Failure, api::HalFuture, firmware::Bytes};
use tokio::task::AbortHandle;

use super::{broken, failed, finally};

/// A connection that is worked on until this is dropped.
pub(super) struct Driver(AbortHandle);

impl Driver {
    pub(super) fn spawn(connection: impl Future + Send + 'static) -> Self {
        let work = async {
            // How it ended, the request tells.
            let _ = connection.await;
        };
        Self(tokio::spawn(work).abort_handle())
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The bytes from `offset` on; `None` when there is no such file.
pub(super) fn read(
    answer: Response<Incoming>,
    name: &str,
    offset: u64,
    driver: Driver,
) -> Result<Option<Box<dyn Bytes>>, Failure> {
    let status = answer.status().as_u16();
    let says = |what: &str| failed(&format!("{what} {name}, with HTTP status {status}"));
    let skip = match status {
        // A server that does not know ranges begins at the beginning.
        200 => offset,
        206 if begins_at(&answer) == Some(offset) => 0,
        206 => return Err(finally(says("the server sends another part of"))),
        404 | 410 => return Ok(None),
        416 => {
            let reason = format!("{name} is shorter than its manifest says");
            return Err(Failure::new(ErrorCode::DigestMismatch, reason));
        }
        300..=399 => return Err(finally(says("the server redirects"))),
        408 | 429 | 500..=599 => return Err(says("the server cannot send")),
        _ => return Err(finally(says("the server refuses"))),
    };
    if answer.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(finally(says("the server encodes")));
    }
    Ok(Some(Box::new(Pieces { body: answer.into_body(), skip, _driver: driver })))
}

/// First byte of a `Content-Range`.
fn begins_at(answer: &Response<Incoming>) -> Option<u64> {
    let range = answer.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

struct Pieces {
    body: Incoming,
    /// Bytes that are there already.
    skip: u64,
    _driver: Driver,
}

impl Bytes for Pieces {
    fn next(&mut self) -> HalFuture<'_, Option<Vec<u8>>> {
        Box::pin(async {
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await;
            let Some(frame) = frame else { return Ok(None) };
            // Trailers say nothing that is needed.
            let mut data = frame.map_err(|error| broken(&error))?.into_data().unwrap_or_default();
            let skipped = data.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= skipped as u64;
            Ok(Some(data.split_off(skipped).to_vec()))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::{Request, client::conn::http1};
    use hyper_util::rt::TokioIo;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, sleep, timeout},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_skipped_is_a_sign_of_life_however_long_it_takes() {
        const EVERY: Duration = Duration::from_secs(40);
        let (near, mut far) = duplex(1024);
        tokio::spawn(async move {
            far.read_u8().await.unwrap();
            far.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await.unwrap();
            for byte in b"0123456789" {
                sleep(EVERY).await;
                far.write_all(&[*byte]).await.unwrap();
            }
        });
        let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await.unwrap();
        let driver = Driver::spawn(connection);
        let answer = sender.send_request(Request::new(String::new())).await.unwrap();
        let mut pieces = read(answer, "image", 6, driver).unwrap().unwrap();
        let (begun, mut whole) = (Instant::now(), Vec::new());
        while let Some(piece) = timeout(EVERY * 3 / 2, pieces.next()).await.unwrap().unwrap() {
            whole.extend(piece);
        }
        assert_eq!(whole, b"6789");
        assert!(begun.elapsed() >= EVERY * 9, "{:?}", begun.elapsed());
    }
}
