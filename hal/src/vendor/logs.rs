//! Log lines of the payment application: read page by page, as fast as the reader takes them.

use tokio::{sync::mpsc, time::Instant};

use super::{
    Vendor,
    request::{Effect, operation, read},
    wire::{CURSOR_CHARS_MAX, LOG_PAGE_LINES_MAX, LogPage, ReadLogs, method},
};
use crate::{
    ErrorCode, Failure,
    answer::drop_unreadable,
    api::{Call, HalFuture, LogLine, LogRange, LogStream, Logs},
};

/// Lines that wait for the reader.
const STREAM_QUEUE: usize = 64;
/// One page may take this long.
const PAGE_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);

impl Logs for Vendor {
    fn collect<'a>(&'a self, call: &'a Call, range: &'a LogRange) -> HalFuture<'a, LogStream> {
        Box::pin(async move {
            let first = self.page(call, range, None).await?;
            if first.lines.is_empty() && first.cursor.is_none() {
                let reason = "no log lines match the range, components and level";
                return Err(Failure::new(ErrorCode::LogRangeEmpty, reason));
            }
            let (sender, stream) = mpsc::channel(STREAM_QUEUE);
            let (vendor, call, range) = (self.clone(), call.clone(), range.clone());
            tokio::spawn(async move { vendor.stream(&call, &range, first, &sender).await });
            Ok(stream)
        })
    }
}

impl Vendor {
    async fn stream(
        &self,
        call: &Call,
        range: &LogRange,
        first: LogPage,
        sender: &mpsc::Sender<Result<LogLine, Failure>>,
    ) {
        let mut page = first;
        loop {
            let LogPage { lines, cursor } = page;
            for line in lines {
                tokio::select! {
                    biased;
                    () = call.cancellation.cancelled() => {
                        let _ = sender.try_send(Err(canceled()));
                        return;
                    }
                    sent = sender.send(Ok(line)) => if sent.is_err() { return },
                }
            }
            let Some(cursor) = cursor else { return };
            page = match self.page(call, range, Some(cursor)).await {
                Ok(page) => page,
                Err(failure) => {
                    let _ = sender.send(Err(failure)).await;
                    return;
                }
            };
        }
    }

    async fn page(
        &self,
        call: &Call,
        range: &LogRange,
        cursor: Option<String>,
    ) -> Result<LogPage, Failure> {
        let params = operation(
            call,
            ReadLogs {
                from: range.from,
                to: range.to,
                components: range.components.clone(),
                min_level: range.min_level,
                cursor: cursor.clone(),
                lines_max: LOG_PAGE_LINES_MAX,
            },
        );
        let until = Instant::now() + PAGE_TIME_MAX;
        // A cursor stands still: the same page can be read again.
        let answer = self.repeat(method::READ_LOGS, &params, Some(call), until, Effect::None);
        let mut answer = answer.await?;
        drop_unreadable::<LogLine>(&mut answer, "lines");
        let mut page: LogPage = read(method::READ_LOGS, answer, Effect::None)?;
        page.lines.truncate(LOG_PAGE_LINES_MAX);
        page.lines = page.lines.into_iter().map(LogLine::bounded).collect();
        check_cursor(&page, cursor.as_deref())?;
        Ok(page)
    }
}

/// A cursor that stands still would be read for ever.
fn check_cursor(page: &LogPage, before: Option<&str>) -> Result<(), Failure> {
    let Some(next) = page.cursor.as_deref() else { return Ok(()) };
    if next.chars().count() > CURSOR_CHARS_MAX {
        let reason = format!("the cursor of a page is longer than {CURSOR_CHARS_MAX} characters");
        return Err(Failure::new(ErrorCode::DeviceFault, reason));
    }
    if Some(next) == before {
        return Err(Failure::new(ErrorCode::DeviceFault, "the cursor of a page does not move"));
    }
    Ok(())
}

fn canceled() -> Failure {
    Failure::new(ErrorCode::Canceled, "cancelled while lines were read")
}
