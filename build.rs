//! Tells the program which commit and which features it is built from, for `slotfs --version`.
//!
//! The commit is `$SLOTFS_COMMIT`, else that of `.cargo_vcs_info.json` (a packed crate), else HEAD of the git folder beside
//! Cargo.toml, whose files are read here: no git program is needed. It runs again only when one of these changed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SLOTFS_COMMIT");
    let commit = given().or_else(packed).or_else(head);
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo:rustc-env=SLOTFS_COMMIT={commit}");
    let features = env::var("CARGO_CFG_FEATURE").unwrap_or_default();
    println!("cargo:rustc-env=SLOTFS_FEATURES={features}");
}

/// A commit that a packager gives.
fn given() -> Option<String> {
    let text = env::var("SLOTFS_COMMIT").ok()?;
    is_commit(&text).then_some(text)
}

/// The commit in the file that `cargo package` writes.
fn packed() -> Option<String> {
    let text = watched(Path::new(".cargo_vcs_info.json"))?;
    let (_, after) = text.split_once("\"sha1\"")?;
    let hex = after.split('"').nth(1)?;
    is_commit(hex).then(|| hex.to_owned())
}

/// The commit that is checked out.
fn head() -> Option<String> {
    let mut git = PathBuf::from(".git");
    // In another worktree of a repository it is a file that names the folder.
    if git.is_file() {
        let text = watched(&git)?;
        git = PathBuf::from(text.strip_prefix("gitdir:")?.trim());
    }
    let head = watched(&git.join("HEAD"))?;
    let Some(name) = head.strip_prefix("ref:").map(str::trim) else {
        return Some(head.trim().to_owned()).filter(|it| is_commit(it));
    };
    // A worktree shares the branches of its repository.
    let shared = fs::read_to_string(git.join("commondir")).ok();
    let shared = shared.map_or_else(|| git.clone(), |text| git.join(text.trim()));
    // Refs in one file, unless a newer one has a file of its own.
    let all = watched(&shared.join("packed-refs")).unwrap_or_default();
    let packed = all.lines().find_map(|line| {
        let (commit, of) = line.split_once(' ')?;
        (of == name).then(|| commit.to_owned())
    });
    let own = watched(&shared.join(name)).map(|text| text.trim().to_owned());
    if own.is_none() {
        // The next commit makes the file; its folder is there, or the one above it.
        let made_in = shared.join(name);
        if let Some(folder) = made_in.ancestors().skip(1).find(|it| it.is_dir()) {
            println!("cargo:rerun-if-changed={}", folder.to_string_lossy());
        }
    }
    own.or(packed).filter(|it| is_commit(it))
}

/// Reads a file, and has cargo look at it before later builds. A file that is not there is not named: cargo would run this
/// at every build.
fn watched(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    println!("cargo:rerun-if-changed={}", path.to_string_lossy());
    Some(text)
}

/// Whether a text is a commit's name, whole or shortened.
fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
