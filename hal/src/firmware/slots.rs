//! Two places for a system: one runs, the other is written.

use super::download::Image;
use crate::{
    OperationId,
    api::{Call, HalFuture},
};

/// How systems are kept and chosen at boot.
pub(super) trait Slots: Send + Sync {
    /// Which one runs, and which one would be written.
    ///
    /// # Errors
    /// `HAL_UNAVAILABLE` while that cannot be told; it is asked again.
    fn pair(&self) -> HalFuture<'_, Pair>;

    /// Writes the image into the slot that does not run, and has the next boot try it. Until that
    /// last step the slot does not boot.
    ///
    /// # Errors
    /// The slot does not boot; what runs is untouched.
    fn install<'a>(&'a self, call: &'a Call, image: &'a Image, slot: &'a str) -> HalFuture<'a, ()>;

    /// What became of a writing whose end this process has not seen.
    fn interrupted<'a>(&'a self, id: OperationId, slot: &'a str) -> HalFuture<'a, Interrupted>;

    /// The system that runs, which stays, has come up once more: boot loaders count boots.
    fn confirm(&self) -> HalFuture<'_, ()>;

    /// The slot that runs stays. Repeating it changes nothing.
    fn commit<'a>(&'a self, slot: &'a str) -> HalFuture<'a, ()>;

    /// The slot does not boot any more; the other one does. Repeating it changes nothing.
    fn reject<'a>(&'a self, slot: &'a str) -> HalFuture<'a, ()>;
}

/// The two slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) running: String,
    pub(super) standby: String,
}

/// What became of a writing that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// It goes on without this process.
    Writing,
    /// It was finished: the next boot tries it.
    Installed,
    /// It was finished, and the boot loader has tried it in vain: the slot does not boot any more.
    GivenUp,
    /// It was not: the slot does not boot.
    Broken,
}
