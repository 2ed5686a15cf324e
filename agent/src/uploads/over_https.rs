//! An upload to a URL: one streaming request, and a few more tries when it breaks off.

use std::{pin::pin, time::Duration};

use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use terminal_hal::{ErrorCode, Failure};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use super::{
    Clock,
    archive::{Archive, Plan, Sent, Source},
    body::PieceBody,
    hub::{HttpsUploads, Uploads},
    target::Target,
};
use crate::link::{Dialer, TlsConnector};

/// Tries in all.
const TRIES_MAX: u32 = 3;
/// How much longer each wait is than the one before.
const RETRY_FACTOR: u32 = 4;
/// Without any byte taken or answer given for so long, a try has failed.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// Handed over at once: what a slow network takes within the idle limit.
const PIECE_BYTES: usize = 16 << 10;
/// Buffer of the HTTP client, for headers and body.
const BUFFER_BYTES_MAX: usize = 32 << 10;

/// Why a try has ended.
enum Ended {
    /// Another try may do better.
    Again(Failure),
    /// It would not.
    Finally(Failure),
}

/// Sends the planned bytes to the target.
pub(super) async fn send(
    source: &Source<'_>,
    plan: &Plan,
    target: &Target,
    uploads: &Uploads,
    clock: &Clock,
) -> Result<Sent, Failure> {
    let Some(https) = &uploads.https else {
        let reason = "this terminal has no CA file for uploads";
        return Err(Failure::new(ErrorCode::UploadRejected, reason));
    };
    let mut delay = https.retry_delay;
    for left in (0..TRIES_MAX).rev() {
        target.check_expiry(clock.now())?;
        match send_once(source, plan, target, https).await {
            Ok(sent) => return Ok(sent),
            Err(Ended::Finally(failure)) => return Err(failure),
            Err(Ended::Again(failure)) if left == 0 => return Err(failure),
            Err(Ended::Again(failure)) => {
                tracing::debug!(%failure, left, "upload broke off, trying again");
                sleep(jittered(delay)).await;
                delay = delay.saturating_mul(RETRY_FACTOR);
            }
        }
    }
    Err(failed("no try left"))
}

async fn send_once(
    source: &Source<'_>,
    plan: &Plan,
    target: &Target,
    https: &HttpsUploads,
) -> Result<Sent, Ended> {
    let connector = TlsConnector {
        dialer: Dialer { proxy: https.proxy.clone(), timeouts: https.timeouts },
        trust: https.trust.clone(),
        identity: None,
        clock: https.clock.clone(),
    };
    let stream = connector.connect(&target.host, target.port, target.rule).await;
    let stream = stream.map_err(|error| {
        if error.is_permanent() {
            Ended::Finally(Failure::new(ErrorCode::UploadRejected, error.to_string()))
        } else {
            Ended::Again(failed(error.to_string()))
        }
    })?;
    let mut client = http1::Builder::new();
    client.max_buf_size(BUFFER_BYTES_MAX);
    let (mut sender, connection) = client.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let (pieces, body) = PieceBody::new(plan.bytes_compressed());
    let request = target.request(plan.bytes_compressed(), body).map_err(Ended::Finally)?;
    let mut archive = Archive::open(source, plan).await.map_err(Ended::Finally)?;

    // The connection does the work of the request, and the request that of the body.
    let mut connection = pin!(connection);
    let mut exchange = pin!(sender.send_request(request));
    let mut connected = true;
    {
        let mut feeding = pin!(feed(&mut archive, pieces, source, plan));
        let mut fed = false;
        loop {
            tokio::select! {
                biased;
                response = &mut exchange => {
                    judge(response.map_err(broken)?.status().as_u16())?;
                    break;
                }
                // Not the last word: an answer may have come before the end.
                _ = &mut connection, if connected => connected = false,
                result = &mut feeding, if !fed => {
                    result?;
                    fed = true;
                }
                () = sleep(IDLE_MAX), if fed => {
                    return Err(Ended::Again(failed("the receiver does not answer")));
                }
            }
        }
    }
    if archive.is_at_end() {
        Ok(archive.sent())
    } else {
        Err(Ended::Again(failed("the receiver answered before it had everything")))
    }
}

/// Makes the body, piece by piece, as fast as it is taken.
async fn feed(
    archive: &mut Archive<'_>,
    pieces: mpsc::Sender<Bytes>,
    source: &Source<'_>,
    plan: &Plan,
) -> Result<(), Ended> {
    let mut sent = 0;
    while let Some(block) = archive.next().await.map_err(Ended::Finally)? {
        let mut block = Bytes::from(block);
        while !block.is_empty() {
            let piece = block.split_to(block.len().min(PIECE_BYTES));
            sent += piece.len() as u64;
            match timeout(IDLE_MAX, pieces.send(piece)).await {
                Ok(Ok(())) => source.report_uploading(sent, plan),
                // The request is over: its own end tells why.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => return Err(Ended::Again(failed("the receiver takes no more"))),
            }
        }
    }
    Ok(())
}

fn judge(status: u16) -> Result<(), Ended> {
    let rejected =
        |reason: String| Err(Ended::Finally(Failure::new(ErrorCode::UploadRejected, reason)));
    match status {
        200..=299 => Ok(()),
        300..=399 => rejected(format!("the receiver redirects, with HTTP status {status}")),
        408 | 429 => Err(Ended::Again(failed(format!("the receiver answered {status}")))),
        400..=499 => rejected(format!("the receiver refused with HTTP status {status}")),
        _ => Err(Ended::Again(failed(format!("the receiver failed with HTTP status {status}")))),
    }
}

fn broken(error: hyper::Error) -> Ended {
    Ended::Again(failed(format!("the upload broke off: {error}")))
}

fn failed(reason: impl AsRef<str>) -> Failure {
    Failure::new(ErrorCode::UploadFailed, reason)
}

/// Between half of `delay` and all of it.
fn jittered(delay: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    delay.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}
