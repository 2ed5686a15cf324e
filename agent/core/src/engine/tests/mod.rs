//! The rules of the protocol, one by one: `grep -rn "Rule 8"` finds what guards rule 8.
//!
//! `world` is the harness; every step of every test is checked by `check`.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test asks about one variant of many")]

mod check;
mod effects;
mod samples;
mod store;
mod world;

mod handover;
