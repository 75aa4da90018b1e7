//! Power loss, torn writes, kill -9 and failing disks (docs/architecture.md, "At rest": "no answer precedes durability").
//!
//! Each operation runs once undisturbed over the [disk](crate::disk) to count what it writes and syncs. Then it
//! runs again for each point, dies there, and what the disk would hold afterwards is put into a fresh folder
//! and looked at with the real binary: what was acknowledged is there, nothing is half, the store is clean.
//!
//! Points are sampled evenly so that all of it takes about as long as the rest of the suite;
//! `SLOTFS_CRASH_ALL=1` tries every one. With `--no-capture` each test prints its line of docs/crashes.md.

mod at_each_point;
mod base;
mod check;
mod destroyed;
mod disk_faults;
mod points;
mod random;
mod read_only;
mod run;
mod secrets;
