//! Tests across the modules.

mod known;
mod round_trips;
mod wycheproof;
