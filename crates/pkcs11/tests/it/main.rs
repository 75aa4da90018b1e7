//! The module as an application sees it, before a server that says what a test wants.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::undocumented_unsafe_blocks,
    clippy::unwrap_used
)]
#![allow(missing_docs)]

mod arguments;
mod calls;
mod connections;
mod deferred;
mod derivations;
mod fake;
mod parameters;
mod verifications;
