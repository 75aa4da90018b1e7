//! Attributes as they cross the socket: numbers and bytes, as the application has them in memory.

use bincode::{Decode, Encode};

use crate::Secret;

/// One `CK_ATTRIBUTE`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RawAttribute {
    /// Its CKA number.
    pub kind: u64,
    /// Its value.
    pub value: RawValue,
}

/// The value of a `CK_ATTRIBUTE`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RawValue {
    /// The bytes at `pValue`.
    Bytes(Secret),
    /// The attributes at `pValue`, of `CKA_WRAP_TEMPLATE`, `CKA_UNWRAP_TEMPLATE` and `CKA_DERIVE_TEMPLATE`.
    Template(Vec<NestedAttribute>),
}

/// An attribute inside a template inside an attribute. It holds no template: a decoder that followed templates into any
/// depth would run out of stack.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NestedAttribute {
    /// Its CKA number.
    pub kind: u64,
    /// The bytes at `pValue`.
    pub bytes: Secret,
}

/// Attributes in the order of the application.
pub type Template = Vec<RawAttribute>;

/// What `C_GetAttributeValue` answers for one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Got {
    /// Its value.
    Value(RawValue),
    /// The object has it and does not show it: `CKR_ATTRIBUTE_SENSITIVE`.
    Sensitive,
    /// The object does not have it: `CKR_ATTRIBUTE_TYPE_INVALID`.
    Invalid,
}

impl RawAttribute {
    /// An attribute of plain bytes.
    pub fn bytes(kind: u64, bytes: &[u8]) -> Self {
        let value = RawValue::Bytes(Secret::from(bytes));
        Self { kind, value }
    }
}
