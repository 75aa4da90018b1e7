//! A store of several hosts (docs/cluster.md): real etcd members, killed, cut off and filled; real mounts on hosts of their own.
//!
//! "Acknowledged" is what these tests go by: the tool ended with 0 for that file. After each fault every acknowledged
//! object is compared through a mount that nothing happened to.
//!
//! Each test runs its own members, three of them, and removes them at its end. Tests of cuts need root: each host has a
//! network namespace.

mod certificates;
mod counting;
mod cuts;
mod doubt;
mod fixture;
mod guards;
mod history;
mod killed;
mod large;
mod members;
mod moves;
mod network;
mod paused;
mod proxy;
mod reset;
mod scale;
mod silent;
mod turns;
mod whole;
mod writers;
