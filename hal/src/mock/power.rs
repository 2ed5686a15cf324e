//! Restarts: announced in the memory, carried out by whoever runs the process.

use super::{
    MockTerminal,
    script::{Method, Point},
};
use crate::{
    BootId, Failure,
    api::{Call, HalFuture, Power},
    operation::reboot::BootReason,
};

impl Power for MockTerminal {
    fn boot_id(&self) -> HalFuture<'_, BootId> {
        Box::pin(self.perform(Method::BootId, None, |shared| Ok(shared.state.boot.id)))
    }

    fn reboot<'a>(&'a self, call: &'a Call) -> HalFuture<'a, ()> {
        Box::pin(self.run_reboot(call))
    }

    fn restart_application<'a>(&'a self, call: &'a Call) -> HalFuture<'a, ()> {
        Box::pin(self.perform(Method::RestartApplication, Some(call), |shared| {
            shared.commit(|state| {
                state.start_application();
                state.screen.menu = None;
                state.count_effect(call.id, Method::RestartApplication);
                Ok(())
            })?;
            shared.live.hold = None;
            shared.live.payment = None;
            Ok(())
        }))
    }

    fn reset_cause(&self) -> HalFuture<'_, BootReason> {
        Box::pin(self.perform(Method::ResetCause, None, |shared| Ok(shared.state.boot.reason)))
    }
}

impl MockTerminal {
    async fn run_reboot(&self, call: &Call) -> Result<(), Failure> {
        let turn = self.turn(Method::Reboot, Some(call));
        turn.before("restarting").await?;
        let happens = turn.effect(|shared| {
            if shared.script().reboot_never_happens {
                return Ok(false);
            }
            shared.commit(|state| {
                let update = state.firmware.is_pending();
                let reason = if update { BootReason::Update } else { BootReason::Requested };
                state.rebooting = Some(reason);
                state.count_effect(call.id, Method::Reboot);
                Ok(true)
            })
        })?;
        turn.strike(Point::AfterEffect).await?;
        if happens {
            (self.inner.config.on_reboot)();
        }
        Ok(())
    }
}
