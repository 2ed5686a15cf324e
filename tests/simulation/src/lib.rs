//! The real engine against a model of the cloud, the store and the hardware, in virtual time.
//!
//! One `u64` is one life: [`generate::plan`] makes a plan of it, [`life::live`] lives it and checks
//! it after every step, [`shrink::shrink`] takes away from a plan that fails what is not needed for
//! that. See README.md.

mod behaviour;
mod check;
pub mod cloud;
pub mod counters;
pub mod generate;
pub mod hardware;
pub mod life;
pub mod lives;
pub mod log;
pub mod plan;
mod queue;
pub mod rng;
pub mod shrink;
pub mod store;
pub mod world;
