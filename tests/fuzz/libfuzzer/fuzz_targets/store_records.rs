//! The target `store_records` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| terminal_fuzz::store_records(data));
