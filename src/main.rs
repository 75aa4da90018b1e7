//! The slotfs command.

fn main() {}
