//! Every input that the fuzzers found worth keeping, and every one that ever failed, through the same functions
//! (docs/fuzzing.md). No fuzzer is needed for it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};

use slotfs::fuzzing::{TARGETS, run};

/// The inputs kept for one target, with their files.
fn inputs(kind: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(kind)
        .join(target);
    let Ok(entries) = fs::read_dir(&folder) else {
        return Vec::new();
    };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let data = fs::read(&path).unwrap();
            (path, data)
        })
        .collect()
}

fn check(target: &str) {
    let corpus = inputs("corpus", target);
    assert!(
        corpus.len() >= 20,
        "fuzz/corpus/{target} is not there, or not what was committed"
    );
    for (path, data) in corpus.into_iter().chain(inputs("regressions", target)) {
        // What is under test says why; this says where.
        let _shown = Shown(&path);
        run(target, &data);
    }
}

/// Names the input when a property does not hold.
struct Shown<'a>(&'a Path);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input is {}", self.0.display());
        }
    }
}

#[test]
fn blob() {
    check("blob");
}

#[test]
fn command_line() {
    check("command_line");
}

#[test]
fn control() {
    check("control");
}

#[test]
fn header() {
    check("header");
}

#[test]
fn key_file() {
    check("key_file");
}

#[test]
fn message() {
    check("message");
}

#[test]
fn payload() {
    check("payload");
}

/// A target that is added gets a test here, a program and a corpus; nothing is kept for one that is gone.
#[test]
fn every_target_has_its_program_and_its_corpus() {
    let mut targets: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    targets.sort_unstable();
    assert_eq!(
        targets,
        [
            "blob",
            "command_line",
            "control",
            "header",
            "key_file",
            "message",
            "payload"
        ],
        "each has a test in this file"
    );
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| {
        let mut names: Vec<String> = fs::read_dir(fuzz.join(folder))
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .file_stem()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .to_owned()
            })
            .collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("targets"), targets);
    assert_eq!(names("corpus"), targets);
    for regressions in names("regressions") {
        assert!(
            targets.contains(&&*regressions),
            "fuzz/regressions/{regressions}"
        );
    }
}
