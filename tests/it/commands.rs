//! The commands: their arguments, output and exit statuses.

mod archive;
mod clone;
mod domains;
mod environment;
mod export;
mod generate;
mod grammar;
mod guarded;
mod import;
mod keys;
mod lunacm;
mod output;
mod partition;
mod prompt;
mod roles;
mod shell;
mod store;
mod tables;
mod version;

use crate::fixture::Store;

/// Exit statuses (docs/commands.md, "How a command ends").
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const LOGIN: i32 = 3;
const STORE: i32 = 4;

/// One slot with one AES key.
fn one_slot() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 1);
    store
}
