//! Tests across the modules.

mod known;
mod refusals;
mod round_trips;
mod threads;
mod wycheproof;
