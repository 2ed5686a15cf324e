//! The few system calls that no safe wrapper offers.
#![expect(unsafe_code, reason = "see the SAFETY comment of each call")]

use std::{io, os::fd::BorrowedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Whether the kernel says that the wall clock is synchronised.
pub(crate) fn clock_is_synchronised() -> bool {
    // SAFETY: all-zero is a valid `timex` that asks for nothing to be changed, and the kernel
    // writes only into the struct whose address it is given.
    let state = unsafe {
        let mut timex: nix::libc::timex = std::mem::zeroed();
        nix::libc::adjtimex(&raw mut timex)
    };
    state != -1 && state != nix::libc::TIME_ERROR
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
