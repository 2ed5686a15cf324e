//! Log uploads: from lines to compressed bytes, over the link or to an HTTPS receiver.
//!
//! Everything is read twice: once to learn how large the newest part is that fits, once to send
//! it. So memory stays at a few blocks however long the range is, and nothing is written to disk.
//! This module decides neither whether an upload may run nor what is in the logs; every line that
//! is written passes through `clean` before it is compressed, and there is no other way out.

mod archive;
mod blocks;
mod body;
mod clean;
mod hub;
mod over_https;
mod over_link;
mod sender;
mod target;

pub use hub::{HttpsUploads, Uploads};
pub use sender::{LogSender, SenderError, SenderFrame};

use terminal_hal::{
    ErrorCode, Failure, Timestamp,
    api::{Call, LogRange, Logs},
    operation::{
        SendLogsParameters, SendLogsResult,
        send_logs::{RANGE_MS_DEFAULT, RANGE_MS_MAX},
    },
};
use tokio::time::{Instant, sleep};

use archive::{Plan, Source};
use target::Target;

/// What the terminal's own configuration allows, whatever the cloud asks for.
#[derive(Clone, Debug)]
pub struct UploadLimits {
    /// Hosts of upload URLs: `name`, or `*.suffix` for every name below; `:port` behind it where
    /// that is not 443.
    pub hosts: Vec<String>,
    /// Most compressed bytes, beside the parameter of that name.
    pub bytes_max: u64,
    /// Whether a name may resolve to a private address, for demonstrations and tests.
    pub allow_private_addresses: bool,
}

/// Collects, compresses and uploads logs. `now` is the end of the range when none is given.
///
/// # Errors
/// `LOG_RANGE_EMPTY` without any line; `REDACTION_FAILED` for lines that cannot be cleaned;
/// `UPLOAD_REJECTED`, `UPLOAD_URL_EXPIRED` and
/// `UPLOAD_FAILED` for what the receiver or the way to it does; `CANCELED` and
/// `DEADLINE_EXCEEDED` for the call; and whatever the log source fails with.
pub async fn send_logs(
    call: &Call,
    parameters: &SendLogsParameters,
    logs: &dyn Logs,
    uploads: &Uploads,
    now: Timestamp,
    limits: &UploadLimits,
) -> Result<SendLogsResult, Failure> {
    // Whatever is awaited within is dropped here, so that no wait has to think of it.
    tokio::select! {
        biased;
        () = call.cancellation.cancelled() => {
            Err(Failure::new(ErrorCode::Canceled, "canceled while sending logs"))
        }
        () = sleep(call.time_left) => {
            Err(Failure::new(ErrorCode::DeadlineExceeded, "no time left to send logs"))
        }
        result = run(call, parameters, logs, uploads, now, limits) => result,
    }
}

async fn run(
    call: &Call,
    parameters: &SendLogsParameters,
    logs: &dyn Logs,
    uploads: &Uploads,
    now: Timestamp,
    limits: &UploadLimits,
) -> Result<SendLogsResult, Failure> {
    let clock = Clock { now, since: Instant::now() };
    let upload = parameters.upload.as_ref();
    let target = upload.map(|upload| Target::check(upload, limits)).transpose()?;
    if let Some(target) = &target {
        target.check_expiry(clock.now())?;
    }
    let range = range(parameters, now)?;
    let bytes_max = parameters.max_bytes.min(limits.bytes_max);
    let source = Source::new(call, logs, range, parameters.format, bytes_max);
    let plan = Plan::make(&source).await?;
    let sent = match &target {
        None => over_link::send(&source, &plan, uploads).await?,
        Some(target) => over_https::send(&source, &plan, target, uploads, &clock).await?,
    };
    Ok(SendLogsResult {
        log_id: call.id.to_string(),
        bytes_raw: plan.bytes_raw(),
        bytes_compressed: plan.bytes_compressed(),
        sha256: sent.sha256,
        covered_from: plan.covered_from(),
        covered_to: plan.covered_to(),
        lines: plan.lines(),
        truncated: plan.is_truncated(),
        redactions: sent.redactions,
    })
}

/// The wall clock as it was at the start, and the time that has gone by since.
struct Clock {
    now: Timestamp,
    since: Instant,
}

impl Clock {
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.now.plus_ms(elapsed)
    }
}

fn range(parameters: &SendLogsParameters, now: Timestamp) -> Result<LogRange, Failure> {
    let to = parameters.to.unwrap_or(now);
    let default = Timestamp::from_unix_ms(to.unix_ms().saturating_sub(RANGE_MS_DEFAULT));
    let from = parameters.from.unwrap_or(default);
    if from >= to {
        return Err(Failure::new(ErrorCode::LogRangeEmpty, "the range ends before it begins"));
    }
    if to.ms_since(from) > RANGE_MS_MAX {
        let reason = "from: range is longer than 14 days";
        return Err(Failure::new(ErrorCode::InvalidParameters, reason));
    }
    let components = parameters.components.clone();
    Ok(LogRange { from, to, components, min_level: parameters.min_level })
}

/// `part` of `whole` in percent.
fn percent(part: u64, whole: u64) -> u8 {
    let percent = part.min(whole).saturating_mul(100).checked_div(whole).unwrap_or(0);
    u8::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: u64) -> Timestamp {
        Timestamp::from_unix_ms(hours * 3_600_000)
    }

    fn range_of(from: Option<u64>, to: Option<u64>, now: u64) -> Result<(u64, u64), ErrorCode> {
        let (from, to) = (from.map(at), to.map(at));
        let parameters = SendLogsParameters { from, to, ..SendLogsParameters::default() };
        let hours = |time: Timestamp| time.unix_ms() / 3_600_000;
        let range = range(&parameters, at(now)).map_err(|failure| failure.code)?;
        Ok((hours(range.from), hours(range.to)))
    }

    #[test]
    fn a_range_without_ends_is_the_last_day_and_never_longer_than_14() {
        assert_eq!(range_of(None, None, 1000), Ok((976, 1000)));
        assert_eq!(range_of(None, Some(500), 1000), Ok((476, 500)));
        assert_eq!(range_of(Some(990), None, 1000), Ok((990, 1000)));
        assert_eq!(range_of(Some(1000), None, 1000), Err(ErrorCode::LogRangeEmpty));
        assert_eq!(range_of(Some(1000 - 14 * 24), None, 1000), Ok((664, 1000)));
        assert_eq!(range_of(Some(663), None, 1000), Err(ErrorCode::InvalidParameters));
    }
}
