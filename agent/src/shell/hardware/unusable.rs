//! Firmware whose records cannot be read: whatever is asked of it fails, and says why.

use terminal_hal::{
    Failure, OperationId,
    api::{Call, Firmware, HalFuture, InstallOutcome, UpdateState},
    operation::{
        CheckUpdateParameters, CheckUpdateResult, UpdateParameters, UpdateResult,
        check_update::ComponentVersion,
    },
};

/// Fails every call like this.
pub(super) struct UnusableFirmware(pub(super) Failure);

impl UnusableFirmware {
    fn fail<T: Send + 'static>(&self) -> HalFuture<'_, T> {
        Box::pin(async { Err(self.0.clone()) })
    }
}

impl Firmware for UnusableFirmware {
    fn versions(&self) -> HalFuture<'_, Vec<ComponentVersion>> {
        self.fail()
    }

    fn check<'a>(
        &'a self,
        _call: &'a Call,
        _parameters: &'a CheckUpdateParameters,
    ) -> HalFuture<'a, CheckUpdateResult> {
        self.fail()
    }

    fn check_ready<'a>(
        &'a self,
        _call: &'a Call,
        _parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, Option<UpdateResult>> {
        self.fail()
    }

    fn install<'a>(
        &'a self,
        _call: &'a Call,
        _parameters: &'a UpdateParameters,
    ) -> HalFuture<'a, InstallOutcome> {
        self.fail()
    }

    fn query_update(&self, _id: OperationId) -> HalFuture<'_, UpdateState> {
        self.fail()
    }
}
