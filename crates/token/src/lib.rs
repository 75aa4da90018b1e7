//! PKCS#11 semantics over the HSM: slots, sessions, logins, objects, searches, operations, mechanisms. It knows nothing of
//! sockets: a server calls [`Application::answer`] with each request, and can be tested as a library.
//!
//! One [`Provider`] serves every application of one store. An [`Application`] is what one `C_Initialize` makes. Its
//! sessions, session objects and logins end with it.

mod access;
mod application;
mod assemble;
mod attributes;
mod copy;
mod create;
mod error;
mod find;
mod index;
mod info;
mod login;
mod make;
mod material;
mod mechanism;
mod memory;
mod operate;
mod operation;
mod owned;
mod peer;
mod pins;
mod provider;
mod refusal;
mod session;
mod show;
#[cfg(test)]
mod testing;
mod wrap;

pub use application::Application;
pub use memory::Owner;
pub use peer::Peer;
pub use provider::{Options, Provider};
