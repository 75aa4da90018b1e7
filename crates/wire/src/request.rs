//! What the module asks.

use bincode::{Decode, Encode};

use crate::{Mechanism, Secret, Template};

/// What an application is known by after its first connection: random bytes from the server.
pub type ApplicationToken = [u8; 16];

/// The store's file, as `stat` identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StoreId {
    /// `st_dev`
    pub device: u64,
    /// `st_ino`
    pub inode: u64,
}

/// Who `CKU_USER` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Who {
    /// The crypto officer.
    #[default]
    Co,
    /// The crypto user (`user=cu` in the configuration).
    Cu,
}

/// The first request of every connection.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// The store that the module means; the server refuses another one.
    pub store: StoreId,
    /// The application, for every connection but its first.
    pub application: Option<ApplicationToken>,
    /// Who logs in as `CKU_USER`; of the first connection.
    pub user: Who,
    /// Whether the server is to send a door with its answer.
    pub wants_door: bool,
}

/// The longest signature that is looked at, bytes. No mechanism has one of a tenth of that.
pub const MAX_SIGNATURE_BYTES: usize = 64 << 10;

/// Which of a session's operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Operation {
    /// `C_EncryptInit` and what follows it.
    Encrypt,
    /// `C_DecryptInit` …
    Decrypt,
    /// `C_DigestInit` …
    Digest,
    /// `C_SignInit` …
    Sign,
    /// `C_SignRecoverInit` …
    SignRecover,
    /// `C_VerifyInit` …
    Verify,
    /// `C_VerifyRecoverInit` …
    VerifyRecover,
    /// `C_MessageEncryptInit` …
    MessageEncrypt,
    /// `C_MessageDecryptInit` …
    MessageDecrypt,
    /// `C_MessageSignInit` …
    MessageSign,
    /// `C_MessageVerifyInit` …
    MessageVerify,
    /// `C_VerifySignatureInit` …: a verification whose signature comes first. A session has one of this kind or of
    /// [`Self::Verify`].
    VerifySignature,
}

impl Operation {
    /// Its flag (`CKF_SIGN` …): of the mechanisms that have it, and of `C_SessionCancel`.
    pub fn flag(self) -> u64 {
        use crate::numbers::*;
        match self {
            Self::Encrypt => CKF_ENCRYPT,
            Self::Decrypt => CKF_DECRYPT,
            Self::Digest => CKF_DIGEST,
            Self::Sign => CKF_SIGN,
            Self::SignRecover => CKF_SIGN_RECOVER,
            Self::Verify | Self::VerifySignature => CKF_VERIFY,
            Self::VerifyRecover => CKF_VERIFY_RECOVER,
            Self::MessageEncrypt => CKF_MESSAGE_ENCRYPT,
            Self::MessageDecrypt => CKF_MESSAGE_DECRYPT,
            Self::MessageSign => CKF_MESSAGE_SIGN,
            Self::MessageVerify => CKF_MESSAGE_VERIFY,
        }
    }
}

/// The parameter of one message of a message-based operation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// No parameter.
    None,
    /// `CK_GCM_MESSAGE_PARAMS`.
    Gcm {
        /// The IV; what the generator fills in counts as zero here.
        iv: Vec<u8>,
        /// `ulIvFixedBits`
        fixed_bits: u64,
        /// A CKG number of the IV's generator.
        generator: u64,
        /// The tag, for decryption.
        tag: Vec<u8>,
        /// `ulTagBits`
        tag_bits: u64,
    },
    /// `CK_CCM_MESSAGE_PARAMS`.
    Ccm {
        /// `ulDataLen`
        data_bytes: u64,
        /// The nonce.
        nonce: Vec<u8>,
        /// `ulNonceFixedBits`
        fixed_bits: u64,
        /// A CKG number of the nonce's generator.
        generator: u64,
        /// The MAC, for decryption.
        mac: Vec<u8>,
        /// `ulMACLen`
        mac_bytes: u64,
    },
}

/// Which function of a message-based operation was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum MessagePart {
    /// `C_EncryptMessage` and its like: all at once.
    Whole,
    /// `C_EncryptMessageBegin` …: the data is the associated data.
    Begin,
    /// `C_EncryptMessageNext` … without `CKF_END_OF_MESSAGE`.
    Next,
    /// `C_EncryptMessageNext` … with `CKF_END_OF_MESSAGE`.
    Last,
    /// One of them with arguments that make no sense: it ends the message, as every error does.
    Abort,
}

/// A request. Sessions and objects are handles. `room` is how many bytes the application's buffer has, `None` where its
/// pointer is null: then the reply is the length alone. In most requests "data" is that of the frame.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// The first one: [`Reply::Welcome`](crate::Reply::Welcome).
    Hello(Hello),
    /// `C_Finalize`: the application ends with all it has.
    Finalize,
    /// A call that does nothing, for measurements.
    Ping,
    /// `C_GetSlotList`: [`Reply::Handles`](crate::Reply::Handles).
    Slots {
        /// `tokenPresent`
        with_token: bool,
    },
    /// `C_GetSlotInfo`
    SlotInfo {
        /// The slot.
        slot: u64,
    },
    /// `C_GetTokenInfo`
    TokenInfo {
        /// The slot.
        slot: u64,
    },
    /// `C_GetMechanismList`: [`Reply::Handles`](crate::Reply::Handles).
    Mechanisms {
        /// The slot.
        slot: u64,
    },
    /// `C_GetMechanismInfo`
    MechanismInfo {
        /// The slot.
        slot: u64,
        /// The mechanism.
        mechanism: u64,
    },
    /// `C_InitToken`
    InitToken {
        /// The slot.
        slot: u64,
        /// po's password; `None` for a null pointer.
        pin: Option<Secret>,
        /// Padded with blanks.
        label: [u8; 32],
    },
    /// `C_InitPIN`
    InitPin {
        /// The session.
        session: u64,
        /// The new PIN.
        pin: Option<Secret>,
    },
    /// `C_SetPIN`
    SetPin {
        /// The session.
        session: u64,
        /// The old PIN.
        old: Option<Secret>,
        /// The new PIN.
        new: Option<Secret>,
    },
    /// `C_OpenSession`: [`Reply::Handle`](crate::Reply::Handle).
    OpenSession {
        /// The slot.
        slot: u64,
        /// Flags, `CKF_SERIAL_SESSION` among them.
        flags: u64,
    },
    /// `C_CloseSession`
    CloseSession {
        /// The session.
        session: u64,
    },
    /// `C_CloseAllSessions`
    CloseAllSessions {
        /// The slot.
        slot: u64,
    },
    /// `C_GetSessionInfo`
    SessionInfo {
        /// The session.
        session: u64,
    },
    /// `C_SessionCancel`, and the `C_…Init` functions with a null mechanism.
    Cancel {
        /// The session.
        session: u64,
        /// CKF flags of the operations.
        flags: u64,
    },
    /// `C_Login` and `C_LoginUser`
    Login {
        /// The session.
        session: u64,
        /// A CKU number.
        user: u64,
        /// `None` for a null pointer.
        pin: Option<Secret>,
        /// Of `C_LoginUser`.
        name: Option<Vec<u8>>,
    },
    /// `C_Logout`
    Logout {
        /// The session.
        session: u64,
    },
    /// `C_CreateObject`: [`Reply::Handle`](crate::Reply::Handle).
    CreateObject {
        /// The session.
        session: u64,
        /// The new object.
        template: Template,
    },
    /// `C_CopyObject`: [`Reply::Handle`](crate::Reply::Handle).
    CopyObject {
        /// The session.
        session: u64,
        /// The object.
        object: u64,
        /// What the copy has otherwise.
        template: Template,
    },
    /// `C_DestroyObject`
    DestroyObject {
        /// The session.
        session: u64,
        /// The object.
        object: u64,
    },
    /// `C_GetObjectSize`: [`Reply::Number`](crate::Reply::Number).
    ObjectSize {
        /// The session.
        session: u64,
        /// The object.
        object: u64,
    },
    /// `C_GetAttributeValue`: [`Reply::Attributes`](crate::Reply::Attributes).
    GetAttributes {
        /// The session.
        session: u64,
        /// The object.
        object: u64,
        /// CKA numbers.
        kinds: Vec<u64>,
    },
    /// `C_SetAttributeValue`
    SetAttributes {
        /// The session.
        session: u64,
        /// The object.
        object: u64,
        /// The new values.
        template: Template,
    },
    /// `C_FindObjectsInit`
    FindInit {
        /// The session.
        session: u64,
        /// What the objects have.
        template: Template,
    },
    /// `C_FindObjects`: [`Reply::Handles`](crate::Reply::Handles).
    Find {
        /// The session.
        session: u64,
        /// `ulMaxObjectCount`
        most: u64,
    },
    /// `C_FindObjectsFinal`
    FindFinal {
        /// The session.
        session: u64,
    },
    /// `C_EncryptInit` and its like. The data is the signature of `C_VerifySignatureInit`.
    Start {
        /// The session.
        session: u64,
        /// Which operation.
        operation: Operation,
        /// The mechanism.
        mechanism: Mechanism,
        /// The key; 0 for digests.
        key: u64,
    },
    /// `C_Encrypt` and its like; with the signature `C_Verify`. The data ends what earlier [`Self::Piece`]s began.
    Whole {
        /// The session.
        session: u64,
        /// Which operation.
        operation: Operation,
        /// Room for the output; ignored by `C_Verify`.
        room: Option<u64>,
        /// Of `C_Verify`.
        signature: Vec<u8>,
    },
    /// A part of the data of a [`Self::Whole`] that is too long for a frame.
    Piece {
        /// The session.
        session: u64,
        /// Which operation.
        operation: Operation,
    },
    /// `C_EncryptUpdate` and its like. The module calls it for each part of data that is too long for a frame.
    Update {
        /// The session.
        session: u64,
        /// Which operation.
        operation: Operation,
        /// Room for the output.
        room: Option<u64>,
    },
    /// `C_EncryptFinal` and its like; the data is the signature of `C_VerifyFinal`.
    Final {
        /// The session.
        session: u64,
        /// Which operation.
        operation: Operation,
        /// Room for the output.
        room: Option<u64>,
    },
    /// More of an output that is too long for a frame: its data from `offset` on.
    More {
        /// The session.
        session: u64,
        /// Which operation.
        operation: Operation,
        /// Bytes that the module has.
        offset: u64,
    },
    /// `C_DigestKey`
    DigestKey {
        /// The session.
        session: u64,
        /// The key.
        key: u64,
    },
    /// One call of a message-based operation. The data is the associated data, the first `aad_bytes` of it, and the text.
    Message {
        /// The session.
        session: u64,
        /// Which operation.
        operation: Operation,
        /// Which function.
        part: MessagePart,
        /// Its parameter.
        parameter: Message,
        /// Bytes of associated data.
        aad_bytes: u64,
        /// Room for the output.
        room: Option<u64>,
        /// Of `C_VerifyMessage`.
        signature: Vec<u8>,
    },
    /// `C_GenerateKey`: [`Reply::Handle`](crate::Reply::Handle).
    GenerateKey {
        /// The session.
        session: u64,
        /// The mechanism.
        mechanism: Mechanism,
        /// The new key.
        template: Template,
    },
    /// `C_GenerateKeyPair`: [`Reply::Pair`](crate::Reply::Pair), the public key first.
    GenerateKeyPair {
        /// The session.
        session: u64,
        /// The mechanism.
        mechanism: Mechanism,
        /// The new public key.
        public: Template,
        /// The new private key.
        private: Template,
    },
    /// `C_WrapKey`
    WrapKey {
        /// The session.
        session: u64,
        /// The mechanism.
        mechanism: Mechanism,
        /// The wrapping key.
        wrapping: u64,
        /// The key that is wrapped.
        key: u64,
        /// Room for the output.
        room: Option<u64>,
    },
    /// `C_UnwrapKey`: [`Reply::Handle`](crate::Reply::Handle). The data is the wrapped key.
    UnwrapKey {
        /// The session.
        session: u64,
        /// The mechanism.
        mechanism: Mechanism,
        /// The unwrapping key.
        unwrapping: u64,
        /// The new key.
        template: Template,
    },
    /// `C_DeriveKey`: [`Reply::Handle`](crate::Reply::Handle), with additional keys in the mechanism's parameter
    /// [`Reply::Handles`](crate::Reply::Handles) or [`Reply::NotDerived`](crate::Reply::NotDerived).
    DeriveKey {
        /// The session.
        session: u64,
        /// The mechanism.
        mechanism: Mechanism,
        /// The base key.
        base: u64,
        /// The new key.
        template: Template,
    },
    /// `C_EncapsulateKey`: [`Reply::Encapsulated`](crate::Reply::Encapsulated).
    Encapsulate {
        /// The session.
        session: u64,
        /// The mechanism.
        mechanism: Mechanism,
        /// The public key.
        public: u64,
        /// The new key.
        template: Template,
        /// Room for the ciphertext.
        room: Option<u64>,
    },
    /// `C_DecapsulateKey`: [`Reply::Handle`](crate::Reply::Handle). The data is the ciphertext.
    Decapsulate {
        /// The session.
        session: u64,
        /// The mechanism.
        mechanism: Mechanism,
        /// The private key.
        private: u64,
        /// The new key.
        template: Template,
    },
    /// `C_SeedRandom`; the data is the seed.
    SeedRandom {
        /// The session.
        session: u64,
    },
    /// `C_GenerateRandom`
    Random {
        /// The session.
        session: u64,
        /// How many bytes, at most [`MAX_DATA_BYTES`](crate::MAX_DATA_BYTES).
        bytes: u64,
    },
    /// `slotfs login`: opens a slot until [`Self::CloseSlot`], also without an application. A password, or key shares one
    /// after the other: [`Reply::Number`](crate::Reply::Number) of shares that are still missing.
    OpenSlot {
        /// The slot.
        slot: u64,
        /// A CKU number: 0 for po, 1 for co, 0x80000001 for cu.
        user: u64,
        /// A password or a key share.
        secret: Secret,
    },
    /// `slotfs logout`: closes what [`Self::OpenSlot`] opened; [`Reply::Number`](crate::Reply::Number), 1 if it was open.
    CloseSlot {
        /// The slot.
        slot: u64,
        /// A CKU number.
        user: u64,
    },
    /// [`Self::Start`], and [`Self::Whole`] unless that fails.
    StartWhole {
        /// The session.
        session: u64,
        /// Which operation.
        operation: Operation,
        /// The mechanism.
        mechanism: Mechanism,
        /// The key; 0 for digests.
        key: u64,
        /// Room for the output; ignored by `C_Verify`.
        room: Option<u64>,
        /// Of `C_Verify`.
        signature: Vec<u8>,
    },
}
