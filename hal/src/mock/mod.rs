//! A simulated terminal.
