//! docs/security.md names the tests of each promise. These tests exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The functions of every Rust file below a folder.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for line in text.lines() {
                if let Some(rest) = line.trim_start().strip_prefix("fn ") {
                    let name = rest.split(['(', '<']).next().unwrap();
                    found.insert(name.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_promise_has_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut there = BTreeSet::new();
    functions(&root.join("src"), &mut there);
    functions(&root.join("crates"), &mut there);
    functions(&root.join("tests"), &mut there);
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let promises = page
        .split("\n## ")
        .find(|part| part.starts_with("Promises"));
    let mut rows = 0;
    for row in promises
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("| "))
    {
        let tests = row.trim_end_matches('|').rsplit_once('|').unwrap().1.trim();
        if tests == "held by" || tests.starts_with("---") {
            continue;
        }
        rows += 1;
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "a promise without a test: {row}");
        for name in names {
            assert!(there.contains(name), "there is no test {name}: {row}");
        }
    }
    assert!(rows > 20, "only {rows} promises were found");
}

/// The paths that a page names in backquotes: `crates/store/src/lib.rs`, `src/{cli,shell}/`.
fn named_paths(page: &str) -> Vec<String> {
    const FOLDERS: [&str; 8] = [
        "src/",
        "crates/",
        "tests/",
        "scripts/",
        "docs/",
        "fuzz/",
        "examples/",
        "benches/",
    ];
    let is_path = |text: &&str| {
        FOLDERS.iter().any(|folder| text.starts_with(folder))
            && !text.contains([' ', '*', '<', '"', '\n'])
    };
    let quoted = page.split('`').skip(1).step_by(2).filter(is_path);
    let each = |text: &str| match text.split_once('{').zip(text.split_once('}')) {
        Some(((before, _), (upto, after))) => upto[before.len() + 1..]
            .split(',')
            .map(|part| format!("{before}{part}{after}"))
            .collect(),
        None => vec![text.to_owned()],
    };
    quoted.flat_map(each).collect()
}

/// What fuzzers make is not in the repository.
const MADE: [&str; 2] = ["fuzz/found", "fuzz/artifacts"];

#[test]
fn every_file_that_a_page_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<_> = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "md"))
        .collect();
    pages.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|page| root.join(page)));
    let mut named = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for path in named_paths(&text) {
            named += 1;
            let is_there = root.join(&path).exists() || MADE.contains(&path.as_str());
            assert!(is_there, "{} names {path}", page.display());
        }
    }
    assert!(named > 50, "only {named} paths were found");
}
