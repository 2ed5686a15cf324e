//! Restarts through the service manager, and the identity of the boot.

use std::time::Duration;

use super::{Linux, boot};
use crate::{
    BootId, ErrorCode, Failure, SideEffects,
    api::{Call, HalFuture, Power},
    child::{Limits, Program},
    error::Effect,
    operation::reboot::BootReason,
};

/// The service manager may take this long to set a restart of the device in motion.
const REBOOT_TIME_MAX: Duration = Duration::from_secs(30);
/// A question to it may take this long.
const QUESTION_TIME_MAX: Duration = Duration::from_secs(5);
/// It says little.
const OUTPUT_BYTES_MAX: usize = 4 << 10;

impl Power for Linux {
    fn boot_id(&self) -> HalFuture<'_, BootId> {
        Box::pin(async { self.current_boot() })
    }

    fn reboot<'a>(&'a self, call: &'a Call) -> HalFuture<'a, ()> {
        Box::pin(async {
            let program = self.systemctl("reboot");
            let time = REBOOT_TIME_MAX.min(call.time_left);
            // Not cancelled any more: half an order would be worse.
            self.told(&program, time, Effect::Possible).await.map(drop)
        })
    }

    fn restart_application<'a>(&'a self, call: &'a Call) -> HalFuture<'a, ()> {
        Box::pin(self.restart_unit(call))
    }

    fn reset_cause(&self) -> HalFuture<'_, BootReason> {
        Box::pin(async { Ok(boot::reason(&self.config.boot, &self.root, self.current_boot()?)) })
    }
}

impl Linux {
    fn current_boot(&self) -> Result<BootId, Failure> {
        let text = self.root.text("proc/sys/kernel/random/boot_id");
        let id = text.and_then(|text| uuid::Uuid::parse_str(&text).ok());
        let reason = "the kernel does not tell the id of this boot";
        id.map(BootId).ok_or_else(|| Failure::new(ErrorCode::DeviceFault, reason))
    }

    /// Done when the unit runs as another invocation.
    async fn restart_unit(&self, call: &Call) -> Result<(), Failure> {
        let Some(unit) = &self.config.application_unit else {
            let reason = "no unit of the payment application is configured";
            return Err(Failure::new(ErrorCode::UnsupportedByHardware, reason));
        };
        let before = self.invocation(unit, Effect::None).await?;
        let program = self.systemctl("restart").arg("--").arg(unit);
        self.told(&program, call.time_left, Effect::Possible).await?;
        // Without an answer it may have restarted all the same.
        if self.invocation(unit, Effect::Possible).await? == before {
            let reason = format!("{unit} has not been started again");
            let failure = Failure::new(ErrorCode::DeviceFault, reason);
            return Err(failure.with_side_effects(SideEffects::Unknown));
        }
        Ok(())
    }

    /// Another one after every start of the unit. `before` is what may have happened by now.
    async fn invocation(&self, unit: &str, before: Effect) -> Result<String, Failure> {
        let program = self.systemctl("show").args(["--property=InvocationID", "--value", "--"]);
        self.told(&program.arg(unit), QUESTION_TIME_MAX, before).await
    }

    fn systemctl(&self, verb: &str) -> Program {
        // Nobody is there to type a password.
        Program::new(&self.config.systemctl).arg("--no-ask-password").arg(verb)
    }

    /// Runs a program that must succeed, and gives what it says.
    async fn told(
        &self,
        program: &Program,
        time: Duration,
        effect: Effect,
    ) -> Result<String, Failure> {
        let limits = Limits { output_bytes: OUTPUT_BYTES_MAX, time };
        let output = self.runner.run(program, b"", limits, None).await;
        let output = output.map_err(|error| error.failure(effect))?.succeeded(program, effect)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
