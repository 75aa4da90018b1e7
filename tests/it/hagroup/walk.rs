//! Runs the walk of docs/hagroup.md unchanged, in an empty folder.

use std::path::Path;

use super::*;

#[test]
fn a_site_is_lost_and_comes_back() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hagroup.md");
    let page = std::fs::read_to_string(page).unwrap();
    let walk = page
        .split_once("\n## Losing a site, and coming back\n")
        .unwrap()
        .1;
    let walk = walk.split("\n## ").next().unwrap();
    let script: String = walk
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(script.lines().count() > 20, "{script}");
    let store = Store::empty();
    let folder = Path::new(env!("CARGO_BIN_EXE_slotfs")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script])
        .current_dir(store.path("."))
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env("HOME", store.path("."))
        .env("XDG_STATE_HOME", store.path(crate::fixture::STATE))
        .env_remove("SLOTFS_STORE")
        .env_remove("SLOTFS_ACTIVE_SLOT")
        .env_remove("CREDENTIALS_DIRECTORY");
    run(&mut bash).ok();
}
