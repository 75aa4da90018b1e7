//! Import with a lower limit on key derivation, and stores of any content with the right MAC, for [`crate::fuzzing`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

use aws_lc_rs::digest::SHA256;
use aws_lc_rs::hmac::{self, HMAC_SHA256};

use super::password::Password;
use super::pkcs12::kdf::{Purpose, derive};
use super::work::Work;
use super::{ImportError, RawType, import_within};
use slotfs_object::Object;
use slotfs_object::new::Naming;
use slotfs_object::secret::SecretBytes;

/// The limit on rounds of key derivation: enough for openssl's files, and no input takes seconds.
const ROUNDS: u64 = 20_000;

/// [`super::import`] within [`ROUNDS`].
pub fn import_quickly(
    file: &SecretBytes,
    raw: Option<RawType>,
    naming: &Naming,
    password: Option<&SecretBytes>,
) -> Result<Vec<Object>, ImportError> {
    import_within(file, raw, naming, password, Work::of(ROUNDS)).map(|imported| imported.objects)
}

/// A PKCS#12 store around `safe`, the DER of an `AuthenticatedSafe` or any other bytes, with the right MAC.
pub fn store_around(safe: &[u8], password: &SecretBytes) -> Option<Vec<u8>> {
    const DATA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    const SHA256_OID: &[u8] = &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
    let tag = tag(safe, password)?;
    let octets = element(4, &[safe]);
    let content = element(0x30, &[DATA, &element(0xa0, &[&octets])]);
    let info = element(0x30, &[&element(0x30, &[SHA256_OID]), &element(4, &[&tag])]);
    let mac = element(0x30, &[&info, &[4, 1, 7], &[2, 1, 1]]);
    Some(element(0x30, &[&[2, 1, 3], &content, &mac]))
}

/// The tag over `safe` with SHA-256, one round and the salt 7.
fn tag(safe: &[u8], password: &SecretBytes) -> Option<Vec<u8>> {
    let password = Password::new(password);
    let form = password.bmp().ok()?.first()?;
    let key = derive(&SHA256, Purpose::Mac, form, &[7], 1, 32);
    let tag = hmac::sign(&hmac::Key::new(HMAC_SHA256, key.bytes()), safe);
    Some(tag.as_ref().to_vec())
}

/// One element of DER.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut der = vec![tag];
    match content.len() {
        0..128 => der.push(content.len() as u8),
        _ => {
            der.push(0x80 | length.len() as u8);
            der.extend_from_slice(length);
        }
    }
    der.extend(content);
    der
}
