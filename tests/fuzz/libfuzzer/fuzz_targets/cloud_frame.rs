//! The target `cloud_frame` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| terminal_fuzz::cloud_frame(data));
