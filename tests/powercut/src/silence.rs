//! System calls that say they did what they were asked and do nothing, to see that the test would
//! notice.
//!
//! The kernel's seccomp filter answers them: the product runs as it is, and cannot tell.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, bail};

/// A call that can be silenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// What makes a commit of the store durable.
    Fdatasync,
    /// What makes a new store and its names durable.
    Fsync,
    /// sled's own idea of durable.
    SyncFileRange,
}

impl Call {
    const ALL: [Self; 3] = [Self::Fdatasync, Self::Fsync, Self::SyncFileRange];

    const fn name(self) -> &'static str {
        match self {
            Self::Fdatasync => "fdatasync",
            Self::Fsync => "fsync",
            Self::SyncFileRange => "sync_file_range",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Call {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|call| call.name() == name) {
            Some(call) => Ok(call),
            None => bail!("unknown call {name}; known: fdatasync, fsync, sync_file_range"),
        }
    }
}

pub(crate) use filter::install;

#[expect(unsafe_code, reason = "no safe interface to seccomp filters is in the tree")]
mod filter {
    use std::io;
    use std::mem::offset_of;

    use anyhow::{Context, Result};
    use nix::libc;
    use nix::sys::prctl;

    use super::Call;

    /// Silences these calls in this thread and in all that it will start, for ever.
    pub(crate) fn install(calls: &[Call]) -> Result<()> {
        if calls.is_empty() {
            return Ok(());
        }
        let mut program = program(calls);
        let length = u16::try_from(program.len()).context("counting the filter")?;
        let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
        // Whoever may gain privileges may not bring a filter along.
        prctl::set_no_new_privs().context("giving up new privileges")?;
        // SAFETY: the kernel copies the program during the call; `program` describes exactly the
        // vector, which is alive until the end of this function.
        let result = unsafe {
            libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        if result != 0 {
            return Err(io::Error::last_os_error()).context("installing the filter");
        }
        Ok(())
    }

    /// Error 0 is success.
    fn program(calls: &[Call]) -> Vec<libc::sock_filter> {
        let number_at = u32::try_from(offset_of!(libc::seccomp_data, nr)).unwrap_or(0);
        let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, number_at)];
        for call in calls {
            let number = u32::try_from(number(*call)).unwrap_or(u32::MAX);
            let mut test = statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number);
            test.jf = 1;
            program.push(test);
            program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO));
        }
        program.push(statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW));
        program
    }

    const fn number(call: Call) -> libc::c_long {
        match call {
            Call::Fdatasync => libc::SYS_fdatasync,
            Call::Fsync => libc::SYS_fsync,
            #[cfg(not(target_arch = "arm"))]
            Call::SyncFileRange => libc::SYS_sync_file_range,
            #[cfg(target_arch = "arm")]
            Call::SyncFileRange => libc::SYS_arm_sync_file_range,
        }
    }

    fn statement(code: u32, operand: u32) -> libc::sock_filter {
        // All codes are below 256.
        libc::sock_filter { code: u16::try_from(code).unwrap_or(0), jt: 0, jf: 0, k: operand }
    }
}
