//! The pages for users are true to the code: docs/troubleshooting.md has every error, docs/glossary.md and README.md hold
//! what they say, and links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

mod commands;
mod containers;
mod errors;
mod links;
mod session;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[track_caller]
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The Rust files below some folders, sorted.
fn sources(folders: &[&str]) -> Vec<PathBuf> {
    fn add(path: PathBuf, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            for entry in fs::read_dir(&path).unwrap() {
                add(entry.unwrap().path(), found);
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        add(root().join(folder), &mut found);
    }
    found.sort();
    assert!(!found.is_empty(), "{folders:?} hold no source");
    found
}
