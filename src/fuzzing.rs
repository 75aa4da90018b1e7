//! What hostile input must never do, as functions over bytes: run by libFuzzer (`fuzz/`) and by
//! `tests/fuzz_corpus.rs` over the corpora, so that both ask the same of the same code (docs/fuzzing.md).
//!
//! Each takes any bytes at all and panics when a property does not hold. They live in the library because they call
//! what no other crate may see; what needs the inside of a module stands in a `fuzzing` of that module.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

mod blob;
mod key_file;
mod message;
mod payload;

pub(crate) use slotfs_object::fuzzing::Input;

/// One thing that is fuzzed.
pub type Target = fn(&[u8]);

/// Every target by name: that of its program in `fuzz/targets`, and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("blob", blob::run),
    ("command_line", command_line),
    ("control", crate::fs::fuzzing::run),
    ("header", header),
    ("key_file", key_file::run),
    ("message", message::run),
    ("payload", payload::run),
];

/// Runs one target over one input.
pub fn run(target: &str, data: &[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    let (_, run) = found.expect("no such target");
    run(data);
}

fn command_line(data: &[u8]) {
    match data.split_first() {
        Some((mode, rest)) if mode % 2 == 0 => crate::shell::fuzzing::run(rest),
        Some((_, rest)) => crate::cli::fuzzing::run(rest),
        None => {}
    }
}

fn header(data: &[u8]) {
    match data.split_first() {
        Some((mode, rest)) if mode % 2 == 0 => crate::hsm::fuzzing::run(rest),
        Some((_, rest)) => crate::credential::fuzzing::run(rest),
        None => {}
    }
}
