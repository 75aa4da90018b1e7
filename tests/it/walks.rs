//! Runs each script of docs/backup.md unchanged, in an empty folder.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fixture::{Store, is_mounted, run, unmount};

/// The fenced scripts of a part of the page, one after the other.
fn scripts(part: &str) -> String {
    part.split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

/// What every walk begins with, and each walk by its heading.
fn page() -> (String, Vec<(String, String)>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/backup.md");
    let page = fs::read_to_string(path).unwrap();
    let walks = page.split_once("\n## Walks\n").unwrap().1;
    let (before, walks) = walks.split_once("\n### ").unwrap();
    let walks = walks
        .split("\n### ")
        .map(|walk| {
            let (heading, text) = walk.split_once('\n').unwrap();
            (heading.to_owned(), scripts(text))
        })
        .collect();
    (scripts(before), walks)
}

#[track_caller]
fn walk(heading: &str) {
    let (before, walks) = page();
    let (_, script) = walks
        .iter()
        .find(|(there, _)| there == heading)
        .unwrap_or_else(|| panic!("docs/backup.md has no walk {heading:?}"));
    let store = Store::empty();
    let folder = Path::new(env!("CARGO_BIN_EXE_slotfs")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &format!("{before}{script}")])
        .current_dir(store.path("."))
        .env("PATH", path)
        .env("LC_ALL", "C")
        .env("SLOTFS_STORE", store.relative())
        .env_remove("SLOTFS_ACTIVE_SLOT")
        .env_remove("CREDENTIALS_DIRECTORY");
    let out = run(&mut bash);
    // Whatever became of it: the script leaves its mount for who reads on.
    let point = store.path("hsm");
    let left = is_mounted(&point) && !unmount(&point, "-u");
    out.ok();
    assert!(!left, "the mount could not be unmounted");
}

macro_rules! walks {
    ($($name:ident: $heading:literal,)+) => {
        $(#[test]
        fn $name() {
            walk($heading);
        })+

        /// No walk of the page is without its test.
        #[test]
        fn every_walk_is_walked() {
            let headings: Vec<String> = page().1.into_iter().map(|(heading, _)| heading).collect();
            assert_eq!(headings, [$($heading),+]);
        }
    };
}

walks! {
    a_password_slot_with_cp: "A password slot, with cp",
    a_password_slot_with_rsync: "A password slot, with rsync",
    a_password_slot_with_tar: "A password slot, with tar",
    a_quorum_slot: "A quorum slot",
    a_v1_slot_with_its_smk: "A V1 slot with its storage master key",
    a_v1_slot_without_its_smk: "A V1 slot without its storage master key",
    many_outside_few_inside: "Many keys outside, a few inside",
    retiring_an_smk: "Retiring a storage master key",
    from_v0_to_v1: "From V0 to V1",
    the_whole_store: "The whole store, of every kind",
    an_older_backup: "An older backup in the place of the store",
    the_password_of_co_is_lost: "The password of co or cu",
    the_password_of_po_is_lost: "The password of po",
    some_shares_are_lost: "Some shares",
    too_many_shares_are_lost: "More shares than may be lost",
    the_domain_is_lost: "The domain",
    a_secret_has_leaked: "A password, a share, or a copy of the store has leaked",
    the_store_is_damaged: "A damaged store",
}
