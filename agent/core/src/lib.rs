//! Decisions of the agent, free of I/O.
//!
//! [`protocol`] turns bytes into typed frames and back; [`engine`] turns events into effects.
//! Neither reads a clock, a random number, a file or a socket: time and entropy are arguments.
//! The manifest of this package is the wall: no tokio, no sled, no rand.

pub mod engine;
pub mod protocol;
