//! A PKCS#11 module and its sessions, as thin as can be: each method is one C call or the two of a single-part operation.

mod call;
mod mechanism;
pub mod soak;
pub mod vectors;

pub use call::{Module, Pair, Session, Template, ck, flag, number};
pub use cryptoki_sys as sys;
pub use mechanism::{Mechanism, Param};
