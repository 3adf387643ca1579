//! `otlp_parts` of `targets.rs`, driven by libFuzzer.
#![no_main]

use millrace_fuzz_targets as targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::run(targets::otlp_parts, data));
