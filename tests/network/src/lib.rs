//! Bad networks: namespaces, packet loss, black holes and an impairing proxy around the real agent.
//!
//! A case is a site of its own: the simulated cloud, a real agent process, and between them either
//! a network of the kernel's ([`namespaces`]) or a TCP proxy ([`proxy`]). Something goes wrong; the
//! agent must notice within the documented deadlines, say why, come back without haste, and lose
//! or repeat nothing.

pub mod cases;
pub mod figures;
pub mod impostor;
pub mod namespaces;
pub mod pace;
pub mod proxy;
pub mod run;
mod settled;
pub mod stage;
pub mod story;
