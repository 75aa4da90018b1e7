//! slotfs
pub mod blob;
pub mod codec;
pub mod object;
pub mod secret;
