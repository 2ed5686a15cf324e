//! How the kinds differ: where they run, what becomes of them after a crash, what they may leave.

use terminal_hal::{OperationKind, SideEffects};

/// What is serialised together. Everything in the main lane runs one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Main,
    Lock,
    Configuration,
}

impl Lane {
    pub(super) const ALL: [Self; 3] = [Self::Main, Self::Lock, Self::Configuration];
}

/// What becomes of an operation that a crash has cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovery {
    /// Running it again does no harm.
    Rerun,
    /// The hardware is asked what became of it; it runs only if nothing happened.
    Verify,
    /// It fails with `INTERRUPTED`.
    Fail,
}

/// The lane of a kind.
pub(super) const fn lane(kind: OperationKind) -> Lane {
    match kind {
        OperationKind::EndOfDay
        | OperationKind::SendLogs
        | OperationKind::CheckUpdate
        | OperationKind::OpenMenu
        | OperationKind::Reboot
        | OperationKind::Update => Lane::Main,
        OperationKind::Lock | OperationKind::Unlock => Lane::Lock,
        OperationKind::Configure => Lane::Configuration,
    }
}

/// What becomes of a cut-off operation of this kind, as long as no restart was called for.
pub(super) const fn recovery(kind: OperationKind) -> Recovery {
    match kind {
        OperationKind::SendLogs
        | OperationKind::CheckUpdate
        | OperationKind::Reboot
        | OperationKind::Lock
        | OperationKind::Unlock
        | OperationKind::Configure => Recovery::Rerun,
        OperationKind::EndOfDay | OperationKind::Update => Recovery::Verify,
        OperationKind::OpenMenu => Recovery::Fail,
    }
}

/// What to do with an id that was first dispatched to a store that is lost: the operation may
/// have run.
pub(super) const fn recovery_without_memory(kind: OperationKind) -> Recovery {
    match kind {
        OperationKind::SendLogs
        | OperationKind::CheckUpdate
        | OperationKind::Lock
        | OperationKind::Unlock
        | OperationKind::Configure => Recovery::Rerun,
        OperationKind::EndOfDay | OperationKind::Update => Recovery::Verify,
        OperationKind::OpenMenu | OperationKind::Reboot => Recovery::Fail,
    }
}

/// What may be begun at the terminal. A lock is ended by the cloud, and a configuration is the
/// cloud's to number.
pub(super) const fn may_begin_locally(kind: OperationKind) -> bool {
    match kind {
        OperationKind::EndOfDay
        | OperationKind::SendLogs
        | OperationKind::CheckUpdate
        | OperationKind::OpenMenu
        | OperationKind::Reboot
        | OperationKind::Update
        | OperationKind::Lock => true,
        OperationKind::Unlock | OperationKind::Configure => false,
    }
}

/// Seconds within which what was asked for at the terminal must start: somebody waits for it.
pub(super) const fn local_ttl_s(kind: OperationKind) -> u32 {
    match kind {
        OperationKind::OpenMenu => 60,
        // May wait for the maintenance window.
        OperationKind::Update => 604_800,
        OperationKind::EndOfDay
        | OperationKind::SendLogs
        | OperationKind::CheckUpdate
        | OperationKind::Reboot
        | OperationKind::Lock
        | OperationKind::Unlock
        | OperationKind::Configure => 900,
    }
}

/// Longest run of what is begun at the terminal, in seconds.
pub(super) const fn local_deadline_s(kind: OperationKind) -> u32 {
    match kind {
        OperationKind::OpenMenu => 15,
        OperationKind::Lock | OperationKind::Unlock => 30,
        OperationKind::CheckUpdate | OperationKind::Configure => 60,
        OperationKind::EndOfDay | OperationKind::Reboot => 300,
        OperationKind::SendLogs => 900,
        OperationKind::Update => 3600,
    }
}

/// What an operation may have left behind when nobody waited for its end.
pub(super) const fn side_effects_if_cut_off(kind: OperationKind) -> SideEffects {
    match kind {
        OperationKind::CheckUpdate => SideEffects::None,
        OperationKind::SendLogs => SideEffects::Partial,
        OperationKind::EndOfDay
        | OperationKind::OpenMenu
        | OperationKind::Reboot
        | OperationKind::Update
        | OperationKind::Lock
        | OperationKind::Unlock
        | OperationKind::Configure => SideEffects::Unknown,
    }
}

/// Kinds that occupy the same part of the hardware: while a call of one has outlived its
/// deadline, the others answer `HAL_UNAVAILABLE`.
pub(super) const fn same_capability(a: OperationKind, b: OperationKind) -> bool {
    capability(a) == capability(b)
}

const fn capability(kind: OperationKind) -> u8 {
    match kind {
        OperationKind::EndOfDay => 0,
        OperationKind::SendLogs => 1,
        OperationKind::CheckUpdate | OperationKind::Update => 2,
        OperationKind::OpenMenu => 3,
        OperationKind::Reboot => 4,
        OperationKind::Lock | OperationKind::Unlock => 5,
        OperationKind::Configure => 6,
    }
}
