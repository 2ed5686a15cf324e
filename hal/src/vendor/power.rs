//! Restarts and boot identity.

use tokio::time::{Instant, timeout_at};

use super::{
    Vendor,
    failure::{self, Lost},
    request::{Effect, Ended, context, deadline},
    supervisor::Link,
    wire::{BootResult, Empty, method},
};
use crate::{
    BootId, Failure,
    api::{Call, HalFuture, Power},
    operation::reboot::BootReason,
};

/// How often a restart is asked for at most.
const SENDS_MAX: u32 = 3;

impl Power for Vendor {
    fn boot_id(&self) -> HalFuture<'_, BootId> {
        Box::pin(async { Ok(self.boot().await?.boot_id) })
    }

    fn reboot<'a>(&'a self, call: &'a Call) -> HalFuture<'a, ()> {
        Box::pin(async {
            let params = context(call);
            // A device that comes back without having restarted is told again.
            let Empty {} = self.order(method::REBOOT, &params, call, deadline(call)).await?;
            Ok(())
        })
    }

    fn restart_application<'a>(&'a self, call: &'a Call) -> HalFuture<'a, ()> {
        Box::pin(self.restart(call))
    }

    fn reset_cause(&self) -> HalFuture<'_, BootReason> {
        Box::pin(async { Ok(self.boot().await?.reset_cause) })
    }
}

impl Vendor {
    async fn boot(&self) -> Result<BootResult, Failure> {
        self.ask(method::BOOT, &Empty {}).await
    }

    /// Done when another instance says hello, whatever became of the answer.
    async fn restart(&self, call: &Call) -> Result<(), Failure> {
        const METHOD: &str = method::RESTART_APPLICATION;
        let until = deadline(call);
        let before = self.connected(Some(until)).await?.hello.instance.clone();
        let overdue = || Lost::Time.failure(METHOD, Effect::Possible);
        for sends in 0..SENDS_MAX {
            match self.send(METHOD, &context(call), Some(call), until).await {
                Ended::Answered(_) => {
                    return self.instance_after(&before, until).await.ok_or_else(overdue);
                }
                Ended::Refused(error) => {
                    return Err(failure::refused(METHOD, &error, Effect::Possible));
                }
                Ended::NotSent(failure) if sends == 0 => return Err(failure),
                Ended::Lost(Lost::Time) => return Err(overdue()),
                Ended::NotSent(_) | Ended::Lost(Lost::Connection) => {}
            }
            match self.connected(Some(until)).await {
                Ok(connection) if connection.hello.instance != before => return Ok(()),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Err(Lost::Connection.failure(METHOD, Effect::Possible))
    }

    async fn instance_after(&self, before: &str, until: Instant) -> Option<()> {
        let mut link = self.link.clone();
        let is_another = |link: &Link| match link {
            Link::Up(connection) => connection.hello.instance != before,
            Link::Down(_) => false,
        };
        let found = timeout_at(until, link.wait_for(is_another)).await;
        found.ok().and_then(Result::ok).map(|_| ())
    }
}
