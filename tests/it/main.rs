//! Tests of what a user sees: real stores, real mounts, real tools. docs/architecture.md names the pages with the contract.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
#[cfg(feature = "etcd")]
mod cluster;
mod commands;
mod configuration;
mod crash;
mod disk;
mod fixture;
mod flat;
mod formats;
mod golden;
mod guides;
mod hagroup;
mod hostile;
mod judge;
mod kinds;
mod lifecycle;
mod limits;
mod load;
mod logs;
mod model;
mod namespace;
mod older;
mod own_mount;
mod pkcs11;
mod promises;
mod replaced;
mod scripts;
mod sealed_header;
mod secrets;
mod semantics;
mod serve;
mod system;
mod terminal;
mod tools;
mod walks;
mod watching;
mod who;
