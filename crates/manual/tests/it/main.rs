//! The man pages by the tools that read them, and the completions in the shells that they are for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod completions;
mod pages;

use std::path::Path;
use std::process::{Command, Output};

/// All that is written, in a new folder.
fn written() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    slotfs_manual::write(&root, folder.path()).unwrap();
    folder
}

/// Runs a program that must succeed.
#[track_caller]
fn run(program: &str, args: &[&str]) -> Output {
    let out = Command::new(program).args(args).output();
    let out = out.unwrap_or_else(|why| panic!("{program}: {why}; scripts/check installs it"));
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {args:?}: {text}");
    out
}
