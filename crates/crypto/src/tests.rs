//! Tests across the modules.

mod round_trips;
mod wycheproof;
