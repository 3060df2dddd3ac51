#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hearth_fuzz::scrapes::lines::check_text(data));
