//! The PKCS#11 module of slotfs, `libslotfs_pkcs11.so`: it turns calls of the C interface into messages to the token
//! server, and holds no key, no cryptography and no store (docs/pkcs11.md).
//!
//! It runs inside any application. It starts no thread, changes nothing of the process, and keeps nothing that its
//! destruction at exit could take away from a late call.

mod client;
mod connection;
mod deferred;
mod door;
mod entry;
mod find;
mod general;
mod keys;
mod lists;
mod memory;
mod messages;
mod objects;
mod operations;
mod parameters;
mod pool;
mod sessions;
mod slots;
mod socket;
mod spawn;
mod state;
mod sys;
mod unsupported;
mod verify;

pub use lists::{C_GetFunctionList, C_GetInterface, C_GetInterfaceList};
