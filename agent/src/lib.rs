//! The daemon: store, link, shell and command line around the engine of `terminal-core`.

pub mod cli;
pub mod config;
pub mod downloads;
pub mod identity;
pub mod link;
pub mod schedule;
pub mod shell;
pub mod store;
mod sys;
pub mod uploads;
