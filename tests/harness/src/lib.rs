//! A whole site on one machine: simulated cloud, throw-away certificate authority, real agent
//! processes. The demo, the end-to-end tests and the benchmarks are written on it.
//!
//! It never fakes an answer: what it returns came from a process, a socket or a file.

mod agent;
mod relay;
mod rest;
mod site;

pub use agent::{Agent, Launch, agent_binary};
pub use relay::Relay;
pub use rest::{Answer, Rest};
pub use site::{EnrolmentOptions, Site, SiteOptions};
