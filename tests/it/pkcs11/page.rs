//! The session and the recipes of docs/pkcs11.md run as pasted, one after the other in one shell.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fixture::{run, write_private};

/// The commands of the page: its blocks marked `sh` and nothing else. Those with a word after it need what is not here: a
/// host to log in to, or an OpenSSL provider.
fn blocks(page: &str) -> Vec<&str> {
    let marked = page.split("\n```sh\n").skip(1);
    let all = marked.filter_map(|block| block.split_once("```").map(|(block, _)| block));
    all.collect()
}

#[test]
fn the_session_and_the_recipes_run_as_pasted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/pkcs11.md")).unwrap();
    let blocks = blocks(&page);
    assert!(blocks.len() >= 7, "only {} blocks were found", blocks.len());
    let installed = blocks.concat().matches("export MODULE=").count();
    assert_eq!(installed, 1, "the page says once where the module is");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    write_private(&path("askpass"), "#!/bin/sh\necho correct horse\n");
    run(Command::new("chmod").arg("700").arg(path("askpass"))).ok();
    let mut script = "set -euo pipefail\n".to_owned();
    for line in blocks.concat().lines() {
        // Where it is installed.
        script += &match line.strip_prefix("export MODULE=") {
            Some(_) => format!("export MODULE={}\n", super::module().display()),
            None => format!("{line}\n"),
        };
    }
    let program = Path::new(env!("CARGO_BIN_EXE_slotfs"));
    let programs = program.parent().unwrap().display();
    let search = std::env::var("PATH").unwrap_or_default();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{programs}:{search}"))
        // `mktemp -d` of the session.
        .env("TMPDIR", folder.path())
        .env("SLOTFS_PROGRAM", program)
        .env("HOME", folder.path())
        .env("XDG_STATE_HOME", path("state"))
        .env("XDG_CONFIG_HOME", path("config"))
        .env("SSH_ASKPASS", path("askpass"))
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("LC_ALL", "C")
        .env_remove("SLOTFS_SOCKET")
        .env_remove("SLOTFS_SPAWN")
        .env_remove("INVOCATION_ID");
    let out = run(&mut bash).ok();
    assert_eq!(out.stdout.matches("Verified OK").count(), 2, "{out:?}");
    // The server ends by itself when its store is gone with the folder.
}
