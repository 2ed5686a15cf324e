//! End-to-end tests live in `tests/`: a real agent process, the simulated cloud, TLS between.
