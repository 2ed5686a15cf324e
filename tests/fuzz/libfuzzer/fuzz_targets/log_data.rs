//! The target `log_data` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| terminal_fuzz::log_data(data));
