//! `CKA_ID` of objects that come together: what belongs to one key gets one.

use std::collections::BTreeSet;

use super::error::ImportError;
use super::spki;
use slotfs_object::pkcs11::{CKA_ID, CKA_PUBLIC_KEY_INFO, CKO_CERTIFICATE};
use slotfs_object::{Attribute, Object, template};

/// Gives the keys and their own certificates `id`, or where it is empty the key identifier of
/// [`spki::key_identifier`], which other certificates get in any case. Where there is no key, `id` is for the
/// certificate.
pub(super) fn assign(objects: &mut [Object], id: &[u8]) -> Result<(), ImportError> {
    let keys: BTreeSet<Vec<u8>> = objects
        .iter()
        .filter(|object| object.class != CKO_CERTIFICATE)
        .filter_map(info)
        .collect();
    let bearers = match keys.len() {
        0 => objects.len(),
        keys => keys,
    };
    if bearers > 1 && !id.is_empty() {
        return Err(ImportError::SeveralForId(bearers));
    }
    for object in objects {
        let Some(info) = info(object) else {
            continue;
        };
        let given = match keys.is_empty() || keys.contains(&info) {
            true => id,
            false => &[],
        };
        let id = match given {
            [] => spki::key_identifier(&info)?,
            given => given.to_vec(),
        };
        template::put_bytes(object, CKA_ID, &id);
    }
    Ok(())
}

/// The public key of a key or certificate.
pub(super) fn info(object: &Object) -> Option<Vec<u8>> {
    match object.attributes.get(&CKA_PUBLIC_KEY_INFO) {
        Some(Attribute::Bytes(info)) => Some(info.clone()),
        _ => None,
    }
}
