//! State of the hardware, as far as the kernel tells it.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::{Linux, LinuxConfig, network, root::Root, supply, thermal};
use crate::{
    ErrorCode, Failure,
    api::{HalFuture, Health},
    status::TerminalHealth,
};

impl Health for Linux {
    fn health(&self) -> HalFuture<'_, TerminalHealth> {
        Box::pin(async {
            let unavailable = |reason| Failure::new(ErrorCode::HalUnavailable, reason);
            // A fuel gauge on a slow bus takes its time: it is read on a thread of its own.
            let reading =
                self.reading.clone().try_lock_owned().map_err(|_| {
                    unavailable("the hardware is still being read, a driver may hang")
                })?;
            let (root, config) = (self.root.clone(), self.config.clone());
            let read = tokio::task::spawn_blocking(move || {
                let _reading = reading;
                read(&root, &config)
            });
            read.await.map_err(|_| unavailable("reading the hardware has failed"))
        })
    }
}

fn read(root: &Root, config: &LinuxConfig) -> TerminalHealth {
    let (battery_level, power) = supply::read(root);
    TerminalHealth {
        battery_level,
        power,
        network: network::read(root, &config.interfaces),
        storage_free_bytes: free_bytes(&config.disk),
        temperature_c: thermal::read(root),
        ..TerminalHealth::default()
    }
    .bounded()
}

/// What a process without privileges may still write.
fn free_bytes(path: &Path) -> Option<u64> {
    let disk = statvfs(path).ok()?;
    #[allow(clippy::useless_conversion, reason = "narrower on 32-bit systems")]
    let (blocks, size) = (u64::from(disk.blocks_available()), u64::from(disk.fragment_size()));
    Some(blocks.saturating_mul(size))
}
