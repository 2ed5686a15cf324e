//! The daemon: store, link, shell and command line around the engine of `terminal-core`.

pub mod link;
pub mod store;
pub mod uploads;
