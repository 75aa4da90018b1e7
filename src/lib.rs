//! slotfs
pub mod blob;
pub mod codec;
pub mod credential;
pub mod domain;
pub mod error;
pub mod fs;
pub mod hsm;
pub mod object;
pub mod secret;
pub mod store;
