//! Import with a smaller limit of work, and stores of any content whose MAC is right, for [`crate::fuzzing`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

use super::pkcs12::mac;
use super::work::Work;
use super::{ImportError, RawType, import_within};
use slotfs_object::Object;
use slotfs_object::new::Naming;
use slotfs_object::secret::SecretBytes;

/// As many rounds of key derivation: openssl's own files fit, and no input takes seconds.
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

/// A PKCS#12 store around `safe`, the DER of an `AuthenticatedSafe` or anything else, with the MAC that it must have.
pub fn store_around(safe: &[u8], password: &SecretBytes) -> Option<Vec<u8>> {
    const DATA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
    const SHA256: &[u8] = &[6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
    let tag = mac::tag(safe, password)?;
    let octets = element(4, &[safe]);
    let content = element(0x30, &[DATA, &element(0xa0, &[&octets])]);
    let info = element(0x30, &[&element(0x30, &[SHA256]), &element(4, &[&tag])]);
    let mac = element(0x30, &[&info, &[4, 1, 7], &[2, 1, 1]]);
    Some(element(0x30, &[&[2, 1, 3], &content, &mac]))
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
