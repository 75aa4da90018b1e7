//! `CKA_ID` of the objects of one file: a key and its certificates share one id.

use std::collections::BTreeSet;

use super::error::ImportError;
use super::spki;
use slotfs_object::pkcs11::{CKA_ID, CKA_PUBLIC_KEY_INFO, CKO_CERTIFICATE};
use slotfs_object::{Attribute, Object};

/// Sets `CKA_ID`: `id` for the keys and their own certificates, or for the certificate of a file without keys. Other
/// certificates, and all objects when `id` is empty, get [`spki::key_identifier`].
pub(super) fn assign(objects: &mut [Object], id: &[u8]) -> Result<(), ImportError> {
    let keys: BTreeSet<Vec<u8>> = objects
        .iter()
        .filter(|object| object.class != CKO_CERTIFICATE)
        .filter_map(|object| public_key(object).map(<[u8]>::to_vec))
        .collect();
    let bearers = match keys.len() {
        0 => objects.len(),
        keys => keys,
    };
    if bearers > 1 && !id.is_empty() {
        return Err(ImportError::SeveralForId(bearers));
    }
    for object in objects {
        let Some(info) = public_key(object) else {
            continue;
        };
        let takes_id = keys.is_empty() || keys.contains(info);
        let id = match id.is_empty() || !takes_id {
            true => spki::key_identifier(info)?,
            false => id.to_vec(),
        };
        object.set(CKA_ID, Attribute::Bytes(id));
    }
    Ok(())
}

/// The public key of a key or certificate.
pub(super) fn public_key(object: &Object) -> Option<&[u8]> {
    object.bytes(CKA_PUBLIC_KEY_INFO)
}
