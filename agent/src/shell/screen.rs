//! The line on the terminal's screen: whatever was asked for last gets there in the end.

use std::{sync::Arc, time::Duration};

use terminal_hal::api;
use tokio::{sync::watch, task::LocalSet, time::timeout};

/// The screen may take this long.
const SHOW_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two tries: the payment application may be starting.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Shows lines in a task of its own. Without a screen it shows nothing: `status` tells as well.
pub(super) struct Screen {
    wanted: watch::Sender<Option<String>>,
}

impl Screen {
    pub(super) fn new(screen: Option<Arc<dyn api::Screen>>, tasks: &LocalSet) -> Self {
        let (wanted, changes) = watch::channel(None);
        if let Some(screen) = screen {
            tasks.spawn_local(show_newest(screen, changes));
        }
        Self { wanted }
    }

    /// Shows a line, also one that is shown already; `None` takes it away.
    pub(super) fn show(&self, line: Option<String>) {
        self.wanted.send_replace(line);
    }
}

async fn show_newest(screen: Arc<dyn api::Screen>, mut wanted: watch::Receiver<Option<String>>) {
    while wanted.changed().await.is_ok() {
        while !is_shown(&*screen, &mut wanted).await {
            // A newer line ends the wait; when nobody wants anything any more it is over.
            if let Ok(Err(_)) = timeout(RETRY_DELAY, wanted.changed()).await {
                return;
            }
        }
    }
}

async fn is_shown(screen: &dyn api::Screen, wanted: &mut watch::Receiver<Option<String>>) -> bool {
    let line = wanted.borrow_and_update().clone();
    match timeout(SHOW_TIME_MAX, screen.show_message(line.as_deref())).await {
        Ok(Ok(())) => return true,
        Ok(Err(failure)) => {
            tracing::debug!(code = failure.code.as_str(), "the screen shows nothing")
        }
        Err(_) => tracing::debug!("the screen does not answer"),
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use terminal_hal::{
        ErrorCode, Failure,
        api::{Call, HalFuture},
        operation::{OpenMenuParameters, OpenMenuResult},
    };

    use super::*;

    /// Fails so many times, then shows.
    #[derive(Default)]
    struct Slow {
        failures: Mutex<u32>,
        shown: Mutex<Vec<Option<String>>>,
    }

    impl api::Screen for Slow {
        fn open_menu<'a>(
            &'a self,
            _: &'a Call,
            _: &'a OpenMenuParameters,
        ) -> HalFuture<'a, OpenMenuResult> {
            Box::pin(std::future::pending())
        }

        fn show_message<'a>(&'a self, message: Option<&'a str>) -> HalFuture<'a, ()> {
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                return Box::pin(async { Err(Failure::new(ErrorCode::HalUnavailable, "not yet")) });
            }
            self.shown.lock().unwrap().push(message.map(str::to_owned));
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_line_reaches_a_screen_that_comes_up_late() {
        let slow = Arc::new(Slow { failures: Mutex::new(3), ..Slow::default() });
        let tasks = LocalSet::new();
        let screen = Screen::new(Some(slow.clone()), &tasks);
        let told = async {
            screen.show(Some("first".to_owned()));
            tokio::time::sleep(RETRY_DELAY / 2).await;
            screen.show(Some("second".to_owned()));
            tokio::time::sleep(RETRY_DELAY * 4).await;
            screen.show(Some("second".to_owned()));
            tokio::time::sleep(RETRY_DELAY).await;
            screen.show(None);
            tokio::time::sleep(RETRY_DELAY).await;
        };
        tasks.run_until(told).await;
        let second = Some("second".to_owned());
        assert_eq!(*slow.shown.lock().unwrap(), [second.clone(), second, None]);
    }
}
