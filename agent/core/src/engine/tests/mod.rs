//! The rules of the protocol, one by one: `grep -rn "Rule 8"` finds what guards rule 8.
//!
//! `world` is the harness; every step of every test is checked by `check`.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test asks about one variant of many")]

mod check;
mod conversation;
mod effects;
mod samples;
mod store;
mod world;

mod attempts;
mod bounds;
mod cancelling;
mod configuration;
mod deadlines;
mod enrolment;
mod epochs;
mod expiry;
mod exploration;
mod frames;
mod handover;
mod link;
mod local;
mod ownership;
mod probation;
mod queueing;
mod recovery;
mod renewal;
mod reports;
mod restarts;
mod schedule;
mod status;
mod stopping;
