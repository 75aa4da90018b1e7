//! docs/watching.md: `.slotfs/metrics`, `slotfs status`, what inotify sees, and the recipes.

mod exposition;
mod inotify;
mod metrics;
mod recipes;
mod status;
