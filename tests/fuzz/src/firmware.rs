//! What the reader of archives, which is compiled here once more, takes from its own crate.

pub(crate) mod disk {
    //! As in `hal/src/firmware/disk.rs`.

    use std::io;

    use terminal_hal::{ErrorCode, Failure};

    pub(crate) fn trouble(what: &str, error: &io::Error) -> Failure {
        Failure::new(ErrorCode::DeviceFault, format!("{what}: {error}"))
    }
}
