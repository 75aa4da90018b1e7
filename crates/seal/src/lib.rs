//! The cryptography of slotfs: sealed blobs, the keys that blobs are sealed under, and the credentials that open a slot.
//!
//! It knows neither files nor SQLite nor the kernel.

pub mod blob;
pub mod credential;
pub mod domain;
mod primitives;
