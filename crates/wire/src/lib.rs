//! The messages between the PKCS#11 module in an application and the token server.
//!
//! A connection begins with a [`Preamble`] from each side, of a form that no version changes. Then the module sends
//! requests, and the server answers each one before it reads the next. Each message is a [`frame`]: a header (a
//! [`Request`] or a [`Reply`] in bincode) and data that no codec touches. Both run on one host, so numbers in attributes
//! are in its own byte order, as PKCS#11 has them in memory.

mod attribute;
pub mod frame;
mod mechanism;
pub mod numbers;
mod preamble;
mod reply;
mod request;
pub mod rv;
mod secret;

pub use attribute::{Got, NestedAttribute, RawAttribute, RawValue, Template};
pub use frame::{FrameError, MAX_DATA_BYTES, MAX_HEADER_BYTES};
pub use mechanism::{HkdfSalt, KdfPart, Mechanism, Oaep, Parameter};
pub use preamble::{PREAMBLE_BYTES, Preamble, VERSION};
pub use reply::{MechanismInfo, Reply, SessionInfo, SlotInfo, TokenInfo, Welcome};
pub use request::{
    ApplicationToken, Hello, MAX_SIGNATURE_BYTES, Message, MessagePart, Operation, Request,
    StoreId, Who,
};
pub use secret::Secret;
