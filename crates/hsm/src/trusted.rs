//! Keys that po trusts: `CKA_TRUSTED` of PKCS#11. The sealed header names them, so that neither the payload of a clone nor a
//! row that somebody writes makes a key trusted.

use sha2::{Digest, Sha256};

use super::amend::Change;
use super::header::TrustedKey;
use super::{Handle, Partition, Result, Role, SlotError, decode_own};
use slotfs_object::pkcs11::*;
use slotfs_object::usable::UsableKey;

/// The most keys that a slot trusts at once.
const MOST_TRUSTED: usize = 64;

/// The attributes that a key's value consists of.
const OF_THE_VALUE: &[u32] = &[
    CKA_VALUE,
    CKA_MODULUS,
    CKA_PUBLIC_EXPONENT,
    CKA_PRIVATE_EXPONENT,
    CKA_EC_PARAMS,
    CKA_EC_POINT,
    CKA_PARAMETER_SET,
];

/// The SHA-256 of what the key is, whatever it is called and may be used for.
fn value_of(key: &UsableKey) -> [u8; 32] {
    let object = key.described();
    let mut hash = Sha256::new();
    hash.update(b"slotfs 1 trusted key\0");
    hash.update(object.class.to_le_bytes());
    hash.update(object.key_type.unwrap_or(u32::MAX).to_le_bytes());
    for &number in OF_THE_VALUE {
        let bytes = key.secret(number).or_else(|| object.bytes(number));
        let Some(bytes) = bytes else { continue };
        hash.update(number.to_le_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}

impl Partition<'_> {
    /// Has the slot trust a key, or no longer. The partition officer's, who sees nothing of the key.
    ///
    /// # Errors
    /// [`SlotError::NotLoggedIn`], [`SlotError::RoleNeeded`], [`SlotError::NoSuchObject`], [`SlotError::TooManyTrusted`], or
    /// when the store cannot be written.
    pub fn set_trusted(&self, handle: Handle, trusted: bool) -> Result<()> {
        let slot = self.slot;
        self.hsm.again_if_changed(|| {
            let session = self.officer(&[Role::Po])?;
            let (entry, payload) = self.hsm.open_by_handle(&session, handle)?;
            let key = UsableKey::new(decode_own(slot, handle, payload.bytes())?);
            let (ouid, value) = (entry.ouid, value_of(&key));
            self.hsm.amend(&session, |Change { header, .. }| {
                header.trusted.retain(|it| it.ouid != ouid);
                if !trusted {
                    return Ok(());
                }
                if header.trusted.len() >= MOST_TRUSTED {
                    // Those that were destroyed make room.
                    let mut there = Vec::with_capacity(MOST_TRUSTED);
                    for it in &header.trusted {
                        if self.hsm.store.keeps(slot, it.ouid)? {
                            there.push(*it);
                        }
                    }
                    header.trusted = there;
                }
                if header.trusted.len() >= MOST_TRUSTED {
                    return Err(SlotError::TooManyTrusted(MOST_TRUSTED).at(slot));
                }
                header.trusted.push(TrustedKey { ouid, value });
                Ok(())
            })?;
            let now = match trusted {
                true => "trusted",
                false => "not trusted any more",
            };
            log::info!("slot {slot}: key {handle} ({ouid}) is {now}");
            Ok(())
        })
    }

    /// Whether po trusts the key `handle`.
    ///
    /// # Errors
    /// As [`Self::key`].
    pub fn is_trusted(&self, handle: Handle) -> Result<bool> {
        let session = self.reader()?;
        if session.header.trusted.is_empty() {
            return Ok(false);
        }
        let key = self.key(handle)?;
        let mut all = session.header.trusted.iter();
        let named = all.find(|it| it.ouid == key.described().ouid);
        Ok(named.is_some_and(|it| it.value == value_of(&key)))
    }
}
