//! The few system calls that no safe wrapper offers.
#![expect(unsafe_code, reason = "see the SAFETY comment of each call")]

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    sync::Once,
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::{Interest, unix::AsyncFd};

/// Whether the kernel says that the wall clock is synchronised. False, with one warning, where the
/// question is forbidden.
pub(crate) fn clock_is_synchronised() -> bool {
    static FORBIDDEN: Once = Once::new();

    // SAFETY: all-zero is a valid `timex` that asks for nothing to be changed, and the kernel
    // writes only into the struct whose address it is given.
    let state = unsafe {
        let mut timex: nix::libc::timex = std::mem::zeroed();
        nix::libc::adjtimex(&raw mut timex)
    };
    if state == -1 {
        let error = io::Error::last_os_error();
        FORBIDDEN.call_once(|| tracing::warn!(%error, "cannot ask whether the clock is right"));
    }
    state != -1 && state != nix::libc::TIME_ERROR
}

/// Makes the C library give memory back. Left alone it raises its own thresholds with the first
/// large buffer that is freed, and keeps an arena per thread: half of the memory of an idle agent
/// would be what it once needed. Call before there are other threads.
#[cfg(target_env = "gnu")]
pub(crate) fn keep_heap_small() {
    use nix::libc::{M_ARENA_MAX, M_MMAP_THRESHOLD, M_TOP_PAD, M_TRIM_THRESHOLD, mallopt};

    let wanted = [
        (M_ARENA_MAX, 1),
        (M_MMAP_THRESHOLD, 64 << 10),
        (M_TRIM_THRESHOLD, 64 << 10),
        (M_TOP_PAD, 16 << 10),
    ];
    for (parameter, value) in wanted {
        // SAFETY: takes two integers and touches nothing but the allocator's own settings. It
        // refuses what it does not know; nothing depends on any of them.
        unsafe { mallopt(parameter, value) };
    }
}

/// Another C library has no such settings.
#[cfg(not(target_env = "gnu"))]
pub(crate) const fn keep_heap_small() {}

/// Has the runtime tell when there is something to be read; to be called within it.
///
/// # Errors
/// When the kernel cannot watch that sort of file.
pub(crate) fn watch_readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and the same, for as long as the `AsyncFd` owns it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Makes reads and writes of an open file description return at once.
///
/// # Errors
/// When `fd` is not open.
pub(crate) fn set_nonblocking(fd: i32) -> io::Result<()> {
    // SAFETY: the borrow ends with this function; a number that is not open gives EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}
