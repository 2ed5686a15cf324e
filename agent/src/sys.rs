//! The few system calls that no safe wrapper offers.
#![expect(unsafe_code, reason = "see the SAFETY comment of each call")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    sync::Once,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::socket::{SockType, getsockopt, sockopt},
};
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

/// Makes reads and writes of a datagram socket return at once; leaves anything else as it is.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn set_nonblocking_datagram(fd: i32) -> io::Result<()> {
    // SAFETY: the borrow ends with this function; a number that is not open gives EBADF.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    if getsockopt(&fd, sockopt::SockType) != Ok(SockType::Datagram) {
        return Ok(());
    }
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Most supplementary groups of a peer that are looked at.
const PEER_GROUPS_MAX: usize = 256;

/// Supplementary groups that the peer of a Unix socket had when it connected. None where the kernel
/// does not say, or where they are more than 256.
pub(crate) fn peer_groups(socket: impl AsFd) -> Vec<u32> {
    use nix::libc::{SO_PEERGROUPS, SOL_SOCKET, getsockopt, socklen_t};

    let mut groups = vec![0_u32; PEER_GROUPS_MAX];
    let mut bytes = socklen_t::try_from(size_of_val(groups.as_slice())).unwrap_or(0);
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: the kernel writes no more than `bytes` bytes, which is what `groups` has, and says in
    // `bytes` how many those were. The descriptor is borrowed for longer than the call.
    let answer = unsafe {
        getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.as_mut_ptr().cast(), &raw mut bytes)
    };
    let known = usize::try_from(bytes).map_or(0, |bytes| bytes / size_of::<u32>());
    groups.truncate(if answer == 0 { known } else { 0 });
    groups
}
