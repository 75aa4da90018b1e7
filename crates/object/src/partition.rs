//! The properties of a partition that are in clear: its roles, how they log in, its version, its policies.

use std::fmt;
use std::str::FromStr;

use super::pkcs11::{CKO_PRIVATE_KEY, CKO_SECRET_KEY};

/// A role of a slot, lunacm's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Partition officer: domains, policies, reset.
    Po = 1,
    /// Crypto officer: objects.
    Co = 2,
    /// Crypto user: lists, reads public objects, never writes.
    Cu = 3,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Po, Self::Co, Self::Cu];

    /// lunacm's long name.
    pub fn long_name(self) -> &'static str {
        match self {
            Self::Po => "Partition SO",
            Self::Co => "Crypto Officer",
            Self::Cu => "Crypto User",
        }
    }

    /// The role with this number in the store.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| *role as u8 == number)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Po => "po",
            Self::Co => "co",
            Self::Cu => "cu",
        })
    }
}

impl FromStr for Role {
    type Err = String;
    /// The short name or lunacm's long one, in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| {
                let names = [role.to_string(), role.long_name().to_string()];
                names.iter().any(|name| name.eq_ignore_ascii_case(text))
            })
            .ok_or_else(|| "not a role: po, co or cu".to_owned())
    }
}

/// How roles log in to a slot. Stored as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// By a password.
    Password = 1,
    /// By M of N key shares.
    Quorum = 2,
}

impl SlotKind {
    /// The kind with this number in the store.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Password, Self::Quorum]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for SlotKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Password => "password",
            Self::Quorum => "quorum",
        })
    }
}

/// What a partition seals its blobs under: the vendor's V0 and V1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionVersion {
    /// The slot's domains.
    V0 = 0,
    /// The slot's active storage master key.
    V1 = 1,
}

impl PartitionVersion {
    /// The version with this number in the store.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::V0, Self::V1]
            .into_iter()
            .find(|version| *version as u8 == number)
    }
}

impl fmt::Display for PartitionVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "V{}", *self as u8)
    }
}

/// The origin of a domain. Stored in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainKind {
    /// A domain string.
    String = 1,
    /// A domain key file, the hardware's red key.
    KeyFile = 2,
}

impl DomainKind {
    /// The kind with this number in the store.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::String, Self::KeyFile]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for DomainKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::KeyFile => "key file",
        })
    }
}

/// What a slot allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// 0: private keys may be cloned.
    pub private_key_cloning: bool,
    /// 1: private keys may be wrapped; it and policy 0 exclude each other.
    pub private_key_wrapping: bool,
    /// 4: secret keys may be cloned.
    pub secret_key_cloning: bool,
    /// 5: secret keys may be wrapped.
    pub secret_key_wrapping: bool,
    /// 20: wrong passwords before a role locks.
    pub failed_logins: u32,
    /// 1000: a crypto user may clone private and secret objects. `None` in partitions that were made before there was such a
    /// policy: policies are bound into the header, and this one reads as on.
    pub crypto_user_cloning: Option<bool>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            private_key_cloning: true,
            private_key_wrapping: false,
            secret_key_cloning: true,
            secret_key_wrapping: false,
            failed_logins: 10,
            crypto_user_cloning: Some(false),
        }
    }
}

impl Policies {
    /// Whether an object of `class` may leave or enter the slot.
    pub fn allow_cloning(&self, class: u32) -> bool {
        match class {
            CKO_PRIVATE_KEY => self.private_key_cloning,
            CKO_SECRET_KEY => self.secret_key_cloning,
            _ => true,
        }
    }

    /// Whether a key of `class` may leave the slot wrapped by another key.
    pub fn allow_wrapping(&self, class: u32) -> bool {
        match class {
            CKO_PRIVATE_KEY => self.private_key_wrapping,
            CKO_SECRET_KEY => self.secret_key_wrapping,
            _ => false,
        }
    }

    /// Whether any class may not.
    pub fn restrict_cloning(&self) -> bool {
        !(self.private_key_cloning && self.secret_key_cloning)
    }

    /// Whether a crypto user may clone private and secret objects.
    pub fn allow_crypto_user_cloning(&self) -> bool {
        self.crypto_user_cloning.unwrap_or(true)
    }

    /// lunacm's word for a slot with these policies.
    pub fn mode(&self) -> &'static str {
        match (self.private_key_cloning, self.secret_key_cloning) {
            _ if self.private_key_wrapping => "Key Export Mode",
            (true, true) => "Cloning Mode",
            (false, false) => "No Backup Mode",
            (true, false) => "Cloning Mode, secret keys stay",
            (false, true) => "Cloning Mode, private keys stay",
        }
    }

    /// As they are stored: `number:value`, ascending, with commas. Policies 1 and 5 are left out while they are off, as in
    /// partitions that were made before keys could be wrapped.
    pub fn to_stored(self) -> String {
        let wrapping = |number, on| match on {
            true => format!("{number}:1,"),
            false => String::new(),
        };
        let of_users = self
            .crypto_user_cloning
            .map_or(String::new(), |on| format!(",1000:{}", u8::from(on)));
        format!(
            "0:{},{}4:{},{}20:{}{of_users}",
            u8::from(self.private_key_cloning),
            wrapping(1, self.private_key_wrapping),
            u8::from(self.secret_key_cloning),
            wrapping(5, self.secret_key_wrapping),
            self.failed_logins
        )
    }

    /// From [`Self::to_stored`]'s form; `None` for anything else.
    pub fn from_stored(text: &str) -> Option<Self> {
        let mut policies = Self {
            crypto_user_cloning: None,
            ..Self::default()
        };
        for part in text.split(',') {
            match part.split_once(':')? {
                ("0", value) => policies.private_key_cloning = switch(value)?,
                ("1", value) => policies.private_key_wrapping = switch(value)?,
                ("5", value) => policies.secret_key_wrapping = switch(value)?,
                ("4", value) => policies.secret_key_cloning = switch(value)?,
                ("20", value) => policies.failed_logins = value.parse().ok()?,
                ("1000", value) => policies.crypto_user_cloning = Some(switch(value)?),
                _ => return None,
            }
        }
        (policies.to_stored() == text).then_some(policies)
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}
