#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| slotfs::fuzzing::run("message", data));
