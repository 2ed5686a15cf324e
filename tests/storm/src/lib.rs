//! A fleet that loses its cloud at once: thousands of real links, a million simulated ones.
//!
//! [`fleet`] is the real thing on one machine; [`simulated`] is the engine alone, in virtual time
//! and in numbers that no machine holds. Neither decides when a terminal connects, and neither
//! copies what does.

mod entropy;
pub mod fleet;
mod histogram;
pub mod million;
pub mod simulated;

pub use entropy::Jitter;
pub use histogram::Histogram;
