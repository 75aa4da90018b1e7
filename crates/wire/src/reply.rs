//! What the server answers.

use bincode::{Decode, Encode};

use crate::{ApplicationToken, Got};

/// An answer. It never says more about a failure than its CKR number; the server's log does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    /// A CKR number other than `CKR_OK`.
    Failed(u64),
    /// `CKR_OK`, with nothing to say.
    Done,
    /// To the first request.
    Welcome(Welcome),
    /// A number.
    Number(u64),
    /// A handle of a session or of an object.
    Handle(u64),
    /// Handles, slots or mechanisms. Of `C_DeriveKey` the key of its own template, and then the additional ones in the order
    /// of the parameter.
    Handles(Vec<u64>),
    /// The handles of a public and of a private key.
    Pair(u64, u64),
    /// A slot.
    Slot(SlotInfo),
    /// A token.
    Token(TokenInfo),
    /// A mechanism.
    Mechanism(MechanismInfo),
    /// A session.
    Session(SessionInfo),
    /// Attributes, one for each that was asked for, in that order.
    Attributes(Vec<Got>),
    /// An output of `bytes` bytes. The data is the output, or as much as a frame takes: the module asks for
    /// [`Request::More`](crate::Request::More). Without data where `room` was `None`: `bytes` is how much room it takes.
    Output {
        /// Its length.
        bytes: u64,
    },
    /// `CKR_BUFFER_TOO_SMALL`; the operation goes on.
    TooSmall {
        /// The room that it takes.
        bytes: u64,
    },
    /// The output of one call of a message-based operation: the data is the text, then the IV or nonce, then the tag.
    Message {
        /// Bytes of text.
        bytes: u64,
        /// Bytes of the IV or nonce as it was used.
        iv_bytes: u64,
        /// Bytes of the tag.
        tag_bytes: u64,
    },
    /// The new key; the data is the ciphertext.
    Encapsulated {
        /// The key's handle.
        key: u64,
        /// Bytes of the ciphertext.
        bytes: u64,
    },
    /// No key was derived, because one of several templates does not fit.
    NotDerived {
        /// A CKR number.
        number: u64,
        /// Which template: 0 for that of `C_DeriveKey` itself, and then in the order of the parameter.
        template: u64,
    },
}

/// The server accepts a connection. If a door was wanted, its descriptor comes with this message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// What further connections of the application present.
    pub application: ApplicationToken,
    /// Whether a descriptor comes with this message.
    pub has_door: bool,
}

/// `CK_SLOT_INFO`, without what is the same for every slot.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SlotInfo {
    /// At most 64 bytes of UTF-8.
    pub description: String,
    /// CKF flags.
    pub flags: u64,
}

/// `CK_TOKEN_INFO`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TokenInfo {
    /// At most 32 bytes of UTF-8.
    pub label: String,
    /// At most 16 bytes.
    pub model: String,
    /// At most 16 bytes.
    pub serial: String,
    /// CKF flags.
    pub flags: u64,
    /// Sessions of this application.
    pub sessions: u64,
    /// Read-write sessions of this application.
    pub rw_sessions: u64,
    /// Shortest and longest PIN, bytes.
    pub pin_bytes: (u64, u64),
}

/// `CK_MECHANISM_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MechanismInfo {
    /// `ulMinKeySize`
    pub min: u64,
    /// `ulMaxKeySize`
    pub max: u64,
    /// CKF flags.
    pub flags: u64,
}

/// `CK_SESSION_INFO`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SessionInfo {
    /// The slot.
    pub slot: u64,
    /// A CKS number.
    pub state: u64,
    /// CKF flags.
    pub flags: u64,
}
