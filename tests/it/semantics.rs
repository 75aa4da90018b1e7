//! DESIGN.md section 2, one test per claim; each quotes the sentence that it is about.

mod control;
mod handles;
mod incoming;
mod locked;
mod names;
mod read;
mod rename;
mod shared;
