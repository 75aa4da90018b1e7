//! The store's own cryptography: sealed blobs, what they are sealed under, and who may open a slot.
//!
//! Nothing here knows of files, SQLite or the kernel.

pub mod blob;
pub mod credential;
pub mod domain;
