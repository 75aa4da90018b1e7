//! The module as an application sees it, before a server that says what a test wants.
#![allow(clippy::undocumented_unsafe_blocks, missing_docs)]

mod arguments;
mod calls;
mod connections;
mod fake;
mod parameters;
