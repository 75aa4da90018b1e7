//! docs/mount.md, one test per claim; each quotes the sentence that it is about.

mod aliases;
mod control;
mod gone;
mod handles;
mod hostile_names;
mod incoming;
mod locked;
mod names;
mod ouid;
mod public;
mod read;
mod rename;
mod resize;
mod revisions;
mod shared;
mod staging;
mod trash;
