//! What applications see, without sockets: PKCS#11 3.2 and docs/pkcs11.md.

#![allow(clippy::unwrap_used, clippy::panic)]

mod attacks;
mod derivations;
mod fixture;
mod garbage;
mod keys;
mod logins;
mod objects;
mod operations;
mod tokens;
mod verifications;
