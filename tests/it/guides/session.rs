//! The sessions of README.md run as pasted.

use std::process::Command;

use super::*;
use crate::fixture::{Store, is_mounted, run, unmount};

/// Where packages have the module.
const INSTALLED: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/libslotfs_pkcs11.so";

/// The blocks of a page that are marked as shell.
fn blocks(page: &str) -> Vec<String> {
    let blocks = page.split("\n```sh\n").skip(1);
    blocks
        .map(|block| block.split("\n```").next().unwrap().to_owned() + "\n")
        .collect()
}

/// The mounts that a session made below its folder.
fn mounts(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().path().join("hsm"))
        .filter(|point| is_mounted(point))
        .collect()
}

/// Unmounts what a session that failed has left below its folder.
struct Left(PathBuf);

impl Drop for Left {
    fn drop(&mut self) {
        for point in mounts(&self.0) {
            unmount(&point, "-uz");
        }
    }
}

/// The quick start, and the keys in use after it, one after the other in one shell. The quick start is the first block of
/// the page, with nothing above it but a title and one sentence.
#[test]
fn the_sessions_of_the_readme_run_as_pasted() {
    let page = read("README.md");
    let before = page.split("\n```sh\n").next().unwrap();
    assert!(
        before.lines().count() <= 14,
        "the quick start comes first: {before}"
    );
    let blocks = blocks(&page);
    assert_eq!(blocks.len(), 2, "{blocks:?}");
    assert!(blocks[1].contains(INSTALLED), "{}", blocks[1]);
    let store = Store::empty();
    let _left = Left(store.path("."));
    let program = Path::new(env!("CARGO_BIN_EXE_slotfs"));
    let folder = program.parent().unwrap();
    let module = crate::pkcs11::module();
    let script = format!(
        "set -euo pipefail; shopt -s expand_aliases\n{}",
        blocks.concat().replace(INSTALLED, module.to_str().unwrap())
    );
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    // `mktemp -d` of the session makes its folder below.
    bash.args(["-c", &script])
        .current_dir(store.path("."))
        .env("TMPDIR", store.path("."))
        .env("PATH", path)
        .env("SLOTFS_PROGRAM", program)
        .env("HOME", store.path("."))
        .env("XDG_CONFIG_HOME", store.path("config"))
        .env("LC_ALL", "C");
    for variable in [
        "SLOTFS_SOCKET",
        "SLOTFS_SPAWN",
        "SLOTFS_ACTIVE_SLOT",
        "CREDENTIALS_DIRECTORY",
        "INVOCATION_ID",
    ] {
        bash.env_remove(variable);
    }
    let out = run(&mut bash);
    let mounts = mounts(&store.path("."));
    let out = out.ok();
    assert!(mounts.is_empty(), "the session left its mount");
    assert_eq!(out.stdout.matches("payments").count(), 3, "{out:?}");
}
