//! Keys in files, and new key pairs: what needs aws-lc-rs. Objects in, objects out; no slots, no store.

pub mod export;
pub mod generate;
pub mod import;
