//! The MAC of a PKCS#12 store: whether the password is right and the store whole (RFC 7292 section 4 and appendix B).

use aws_lc_rs::{digest, hmac};
use pkcs8::ObjectIdentifier;
use x509_cert::der::Tag;
use zeroize::Zeroizing;

use super::super::elements::Elements;
use super::super::error::ImportError;
use super::super::pbes2::Work;
use crate::secret::{SecretBytes, wipe_stack};

/// Digests: their identifiers, and both things the library does with them.
const DIGESTS: &[(ObjectIdentifier, &digest::Algorithm, hmac::Algorithm)] = &[
    (
        ObjectIdentifier::new_unwrap("1.3.14.3.2.26"),
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
        &digest::SHA256,
        hmac::HMAC_SHA256,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
        &digest::SHA384,
        hmac::HMAC_SHA384,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
        &digest::SHA512,
        hmac::HMAC_SHA512,
    ),
];

/// Appendix B.3: the derived bytes are a key for a MAC.
const FOR_MAC: u8 = 3;

/// Checks the MAC over `safe`; `mac` are the elements of `MacData`.
pub(super) fn verify(
    mut mac: Elements<'_>,
    safe: &[u8],
    password: &SecretBytes,
    work: &mut Work,
    advice: &'static str,
) -> Result<(), ImportError> {
    let mut info = mac.sequence()?;
    let mut algorithm = info.sequence()?;
    let oid = algorithm.oid()?;
    let Some(&(_, digest, hmac)) = DIGESTS.iter().find(|row| row.0 == oid) else {
        return Err(ImportError::Cipher(oid, advice));
    };
    if !algorithm.is_finished() {
        algorithm.next(Tag::Null)?;
    }
    algorithm.end()?;
    let tag = info.next(Tag::OctetString)?;
    info.end()?;
    let salt = mac.next(Tag::OctetString)?;
    let rounds = match mac.is_finished() {
        true => 1,
        false => mac.number()?,
    };
    mac.end()?;
    let rounds = work.spend(rounds)?.get();
    let key = derive(digest, &bmp_string(password)?, salt, rounds);
    let outcome = hmac::verify(&hmac::Key::new(hmac, key.bytes()), safe, tag);
    wipe_stack();
    outcome.map_err(|_| ImportError::Password)
}

/// The tag over `safe` by SHA-256, one round and the salt 7, for [`crate::fuzzing`].
pub(in super::super) fn tag(safe: &[u8], password: &SecretBytes) -> Option<Vec<u8>> {
    let key = derive(&digest::SHA256, &bmp_string(password).ok()?, &[7], 1);
    Some(
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()), safe)
            .as_ref()
            .to_vec(),
    )
}

/// Appendix B.2 for as many bytes as the digest has, where steps 6 B and C have nothing to do.
fn derive(
    algorithm: &'static digest::Algorithm,
    password: &SecretBytes,
    salt: &[u8],
    rounds: u32,
) -> SecretBytes {
    let block = algorithm.block_len();
    let mut context = digest::Context::new(algorithm);
    context.update(&vec![FOR_MAC; block]);
    for part in [salt, password.bytes()] {
        // Repeated to whole blocks.
        let mut left = part.len().div_ceil(block) * block;
        while left > 0 {
            let take = left.min(part.len());
            context.update(&part[..take]);
            left -= take;
        }
    }
    let mut bytes = Zeroizing::new([0; digest::MAX_OUTPUT_LEN]);
    let bytes = &mut bytes[..algorithm.output_len()];
    bytes.copy_from_slice(context.finish().as_ref());
    for _ in 1..rounds {
        let next = digest::digest(algorithm, bytes);
        bytes.copy_from_slice(next.as_ref());
    }
    SecretBytes::from(&*bytes)
}

/// Appendix B.1: big-endian UTF-16 with a zero at the end.
fn bmp_string(password: &SecretBytes) -> Result<SecretBytes, ImportError> {
    let text = std::str::from_utf8(password.bytes()).map_err(|_| ImportError::PasswordText)?;
    let units = text.encode_utf16().count() + 1;
    let mut bytes = SecretBytes::new(vec![0; 2 * units]);
    for (pair, unit) in bytes
        .bytes_mut()
        .chunks_exact_mut(2)
        .zip(text.encode_utf16())
    {
        pair.copy_from_slice(&unit.to_be_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use data_encoding::HEXLOWER;

    use super::*;

    /// Values of `openssl kdf ... -kdfopt id:3 PKCS12KDF`.
    #[test]
    fn derives_what_openssl_derives() {
        let salt_of_150 = [vec![0; 149], vec![7]].concat();
        for (algorithm, password, salt, rounds, expected) in [
            (
                &digest::SHA256,
                "pass\u{e5b7}",
                &[1, 2, 3, 4, 5, 6, 7, 8][..],
                2048,
                "8d5744c329a6ce7f5258394cfc492680ff8d357556222faf101b840e3719fe96",
            ),
            (
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                "",
                &[1],
                1,
                "eeed761956c3302079b89279062e5745204f08e4",
            ),
            (
                &digest::SHA512,
                "x",
                &salt_of_150,
                3,
                "3c756b8f8c293a33ce345555de19d61d3557fd73fd3551e9516067a4146900f4\
                 7d407566eb8edeb140483b5421d9dca8679065b855709d2181c06dbb8745f3ef",
            ),
        ] {
            let password = bmp_string(&SecretBytes::from(password.as_bytes())).unwrap();
            let key = derive(algorithm, &password, salt, rounds);
            assert_eq!(HEXLOWER.encode(key.bytes()), expected);
        }
    }

    #[test]
    fn passwords_are_utf_16_with_an_end() {
        let of = |bytes: &[u8]| bmp_string(&SecretBytes::from(bytes)).map(|it| it.bytes().to_vec());
        assert_eq!(of(b"").unwrap(), [0, 0]);
        assert_eq!(
            of("a🔑".as_bytes()).unwrap(),
            [0, b'a', 0xd8, 0x3d, 0xdd, 0x11, 0, 0]
        );
        assert!(matches!(of(&[0xff]), Err(ImportError::PasswordText)));
    }
}
