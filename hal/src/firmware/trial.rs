//! After a restart: whether the new system runs, whether it is well, and what follows from that.

use std::time::Duration;

use super::{
    SlotFirmware,
    disk::trouble,
    health_checks,
    journal::{Installation, Phase},
    slots::Interrupted,
};
use crate::{BootId, ErrorCode, Failure, operation::update::HealthCheck};

/// What cannot be settled yet is tried again after this, then ever less often …
const RETRY_MIN: Duration = Duration::from_secs(1);
/// … up to this.
const RETRY_MAX: Duration = Duration::from_secs(60);

impl SlotFirmware {
    /// Settles what the last boot has tried. Goes on until it is settled: the boot loader's
    /// interface may come up later than this process.
    pub(super) async fn settle(self) {
        let mut delay = RETRY_MIN;
        while let Err(failure) = self.settle_once().await {
            tracing::warn!(%failure, "what became of the update is not known yet");
            tokio::time::sleep(delay).await;
            delay = delay.saturating_mul(2).min(RETRY_MAX);
        }
    }

    async fn settle_once(&self) -> Result<(), Failure> {
        let open = self.state().journal.open_one().cloned();
        let Some(update) = open else { return self.slots.confirm().await };
        let boot_id = self.boot_id().await?;
        let runs = self.slots.pair().await?.running == update.slot;
        match (update.phase.clone(), runs) {
            (Phase::Installing, false) => {
                match self.slots.interrupted(update.id, &update.slot).await? {
                    Interrupted::GivenUp => self.not_up(&update).await,
                    // Its operation is asked about, or runs again.
                    Interrupted::Writing | Interrupted::Installed | Interrupted::Broken => {
                        self.slots.confirm().await
                    }
                }
            }
            (Phase::Installed { boot_id: written_in }, _) if written_in == boot_id => Ok(()),
            (Phase::Installing | Phase::Installed { .. } | Phase::Testing, true) => {
                self.test(&update, boot_id).await
            }
            (Phase::Committing, true) => self.commit(&update).await,
            (Phase::Leaving { failure, boot_id: failed_in, is_rejected }, true) => {
                match is_rejected {
                    false => self.leave(&update, boot_id, failure).await,
                    true if failed_in == boot_id => Ok(()),
                    true => self.stuck(&update, &failure).await,
                }
            }
            (Phase::Leaving { failure, .. }, false) => {
                self.rolled_back(&update, &failure.failure_reason).await
            }
            (Phase::Installed { .. } | Phase::Testing | Phase::Committing, false) => {
                self.not_up(&update).await
            }
            (Phase::Committed | Phase::Failed { .. }, _) => Ok(()),
        }
    }

    /// The new system runs for the first time, or still has to prove itself.
    async fn test(&self, update: &Installation, boot_id: BootId) -> Result<(), Failure> {
        self.enter_phase(Phase::Testing)?;
        let mut checks = vec![self.check_version(&update.to)];
        checks.extend(health_checks::run(&self.around.runner, &self.config.health_checks).await);
        let failed: Vec<_> = checks.iter().filter(|check| !check.ok).map(|c| &c.name).collect();
        if failed.is_empty() {
            let journalled = self.state().journal.change(|installation| {
                installation.health_checks = checks;
                installation.phase = Phase::Committing;
            });
            journalled.map_err(|error| trouble("the update journal", &error))?;
            return self.commit(update).await;
        }
        let failed: Vec<_> = failed.into_iter().map(String::as_str).collect();
        let reason = format!("{} failed its health check: {}", update.to, failed.join(", "));
        tracing::error!(operation_id = %update.id, reason, "the new system is left again");
        let failure = Failure::new(ErrorCode::HealthCheckFailed, reason);
        self.leave(update, boot_id, failure).await
    }

    /// The next boot is of what ran before.
    async fn leave(
        &self,
        update: &Installation,
        boot_id: BootId,
        failure: Failure,
    ) -> Result<(), Failure> {
        let phase = |is_rejected| Phase::Leaving { boot_id, failure: failure.clone(), is_rejected };
        self.enter_phase(phase(false))?;
        self.slots.reject(&update.slot).await?;
        self.enter_phase(phase(true))
    }

    /// A slot that runs something else than was installed has not been updated.
    fn check_version(&self, version: &str) -> HealthCheck {
        let ok = match self.running_version() {
            Ok(running) if running == version => true,
            Ok(running) => {
                tracing::error!(running, want = version, "another version runs than was installed");
                false
            }
            Err(failure) => {
                tracing::error!(%failure, "the version that runs is not known");
                false
            }
        };
        HealthCheck { name: "version".to_owned(), ok, duration_ms: 0 }
    }

    async fn commit(&self, update: &Installation) -> Result<(), Failure> {
        self.slots.commit(&update.slot).await?;
        let raised = self.state().memory.raise_floor(&update.to);
        raised.map_err(|error| trouble("the version floor", &error))?;
        self.enter_phase(Phase::Committed)
    }

    async fn not_up(&self, update: &Installation) -> Result<(), Failure> {
        let reason = format!("{} did not come up and stay up", update.to);
        self.rolled_back(update, &reason).await
    }

    /// What ran before runs again; the slot is never tried once more by itself.
    async fn rolled_back(&self, update: &Installation, reason: &str) -> Result<(), Failure> {
        self.slots.reject(&update.slot).await?;
        self.slots.confirm().await?;
        let running = self.running_version()?;
        let reason = format!("{reason}; {running} runs again");
        tracing::error!(operation_id = %update.id, reason, "the update was rolled back");
        self.enter_phase(Phase::Failed { failure: Failure::new(ErrorCode::RolledBack, reason) })
    }

    /// Rejected, restarted, and there it is again.
    async fn stuck(&self, update: &Installation, failure: &Failure) -> Result<(), Failure> {
        self.slots.reject(&update.slot).await?;
        let reason = format!("{}; it still runs after a restart", failure.failure_reason);
        tracing::error!(operation_id = %update.id, reason, "the new system cannot be left");
        let failure = Failure::new(ErrorCode::HealthCheckFailed, reason)
            .with_side_effects(crate::SideEffects::Partial);
        self.enter_phase(Phase::Failed { failure })
    }
}
