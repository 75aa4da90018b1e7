//! The rules, with a real store and no mount: within seconds after a change. What tools see of them is in the tests of the
//! root package.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clone;
mod columns;
mod damage;
mod domains;
mod fixture;
mod group;
mod lists;
mod login;
mod logins;
mod older;
mod policies;
mod revisions;
mod roles;
mod schema_3;
mod secrets;
#[path = "../../../../tests/it/fixture/shared.rs"]
mod shared;
mod shares;
mod smk;
mod tokens;
mod trash;
mod trusted;
mod without_types;
