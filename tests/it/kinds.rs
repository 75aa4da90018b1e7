//! The kinds of partition (docs/kinds.md): quorum slots, V1 slots, what clones between them, policies.

mod matrix;
mod policies;
mod quorum;
mod v1;

use crate::fixture::{Mount, Out, Store};

pub const FAILED: i32 = 1;
pub const USAGE: i32 = 2;
pub const LOGIN: i32 = 3;

/// Initialises a slot under the domain `red`, of any kind: its shares go to `shares-N`.
#[track_caller]
pub fn init(store: &Store, slot: u32, quorum: Option<&str>, version: u8) {
    store.domain("red");
    let how = match quorum {
        Some(quorum) => format!("-quorum {quorum} -shares shares-{slot}"),
        None => format!("--password-file {slot}={}", store.password_file(slot)),
    };
    store
        .run(&format!(
            "partition init -slot {slot} -label slot{slot} -domainkey red.pem -version {version} {how}"
        ))
        .ok();
}

/// Options that present these shares of a folder with a set of `of`.
pub fn shares(place: &str, folder: &str, of: usize, which: &[usize]) -> String {
    let options: Vec<String> = which
        .iter()
        .map(|index| format!("--share-file {place}={folder}/share-{index}-of-{of}"))
        .collect();
    options.join(" ")
}

/// How co logs in to a slot that [`init`] made.
pub fn login(store: &Store, slot: u32) -> String {
    match store.path(format!("shares-{slot}")).exists() {
        true => shares(&slot.to_string(), &format!("shares-{slot}"), 3, &[1, 2]),
        false => format!("--password-file {slot}=pw-{slot}"),
    }
}

/// Runs a command on a slot as co.
#[track_caller]
pub fn run_in(store: &Store, slot: u32, line: &str) -> Out {
    store.run(&format!("{line} -slot {slot} {}", login(store, slot)))
}

/// Generates AES keys; their handles are 1 and up where the slot was empty.
#[track_caller]
pub fn aes(store: &Store, slot: u32, count: u32) {
    let line = format!("object generate -type aes -bits 256 -label key -count {count}");
    run_in(store, slot, &line).ok();
}

/// Mounts the store, logged in to these slots.
#[track_caller]
pub fn mount(store: &Store, slots: &[u32]) -> Mount {
    let logins: Vec<String> = slots
        .iter()
        .map(|slot| format!("--login {slot} {}", login(store, *slot)))
        .collect();
    let logins = logins.join(" ");
    let mount = store.start_at("mnt", &[], &logins.split_whitespace().collect::<Vec<_>>());
    mount.announce_rejections();
    mount
}
