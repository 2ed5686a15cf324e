//! The target `manifest` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| terminal_fuzz::manifest(data));
