//! PKCS#12's own key derivation (RFC 7292 appendix B.2).

use aws_lc_rs::digest;
use zeroize::Zeroizing;

use slotfs_object::secret::SecretBytes;

/// The use of the derived bytes (appendix B.3).
#[derive(Clone, Copy)]
pub(in super::super) enum Purpose {
    Key = 1,
    InitialVector = 2,
    Mac = 3,
}

/// How many times `rounds` digests are computed to derive `size` bytes.
pub(in super::super) fn blocks(algorithm: &digest::Algorithm, size: usize) -> u64 {
    size.div_ceil(algorithm.output_len()) as u64
}

/// Derives `size` bytes; `password` is a form of [`super::super::password::Password::bmp`].
pub(in super::super) fn derive(
    algorithm: &'static digest::Algorithm,
    purpose: Purpose,
    password: &SecretBytes,
    salt: &[u8],
    rounds: u32,
    size: usize,
) -> SecretBytes {
    let block = algorithm.block_len();
    let diversifier = vec![purpose as u8; block];
    // Salt and password are repeated to whole blocks.
    let sizes = [salt, password.bytes()].map(|part| part.len().div_ceil(block) * block);
    let mut input = SecretBytes::new(vec![0; sizes[0] + sizes[1]]);
    let (salts, passwords) = input.bytes_mut().split_at_mut(sizes[0]);
    for (place, part) in [(salts, salt), (passwords, password.bytes())] {
        for (byte, value) in place.iter_mut().zip(part.iter().cycle()) {
            *byte = *value;
        }
    }
    let mut output = SecretBytes::new(vec![0; size]);
    let mut run = Zeroizing::new([0; digest::MAX_OUTPUT_LEN]);
    let run = &mut run[..algorithm.output_len()];
    for part in output.bytes_mut().chunks_mut(algorithm.output_len()) {
        let mut context = digest::Context::new(algorithm);
        context.update(&diversifier);
        context.update(input.bytes());
        run.copy_from_slice(context.finish().as_ref());
        for _ in 1..rounds {
            let next = digest::digest(algorithm, run);
            run.copy_from_slice(next.as_ref());
        }
        part.copy_from_slice(&run[..part.len()]);
        // Step 6 C: each block of the input plus the run, repeated, plus 1.
        for place in input.bytes_mut().chunks_exact_mut(block) {
            let mut carry = 1;
            let repeated = (0..block).rev().map(|index| run[index % run.len()]);
            for (byte, add) in place.iter_mut().rev().zip(repeated) {
                carry += u16::from(*byte) + u16::from(add);
                *byte = (carry & 0xff) as u8;
                carry >>= 8;
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use data_encoding::HEXLOWER;

    use super::super::super::password::Password;
    use super::*;

    /// Values of `openssl kdf ... -kdfopt id:N PKCS12KDF`.
    #[test]
    fn derives_what_openssl_derives() {
        let salt_of_150 = [vec![0; 149], vec![7]].concat();
        for (algorithm, purpose, password, salt, rounds, expected) in [
            (
                &digest::SHA256,
                Purpose::Mac,
                "pass\u{e5b7}",
                &[1, 2, 3, 4, 5, 6, 7, 8][..],
                2048,
                "8d5744c329a6ce7f5258394cfc492680ff8d357556222faf101b840e3719fe96",
            ),
            (
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                Purpose::Mac,
                "",
                &[1],
                1,
                "eeed761956c3302079b89279062e5745204f08e4",
            ),
            (
                &digest::SHA512,
                Purpose::Mac,
                "x",
                &salt_of_150,
                3,
                "3c756b8f8c293a33ce345555de19d61d3557fd73fd3551e9516067a4146900f4\
                 7d407566eb8edeb140483b5421d9dca8679065b855709d2181c06dbb8745f3ef",
            ),
            (
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                Purpose::Key,
                "x",
                &[1, 2, 3, 4, 5, 6, 7, 8],
                2048,
                "09d4ae05c64e1bdf1754a43fe15340b8786b7294f078b4d4",
            ),
            (
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                Purpose::InitialVector,
                "x",
                &[1, 2, 3, 4, 5, 6, 7, 8],
                2048,
                "b5ea05ff57f71071",
            ),
            (
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                Purpose::Key,
                "x",
                &[0xff; 8],
                3,
                "9ae9c79d3e7a518d658a0f637c8da0434741ad60e59c30fd92f40bd9aac8c6cc\
                 4c932feb932f2f6a6d4199d8757ff9c63fdca2f9ae84885b1a812c9c521f1dd9\
                 50aaefe2121a2457ada25017f16edd752f697682fc73833ce6c678ea59d42d14\
                 26b1b668",
            ),
        ] {
            let password = SecretBytes::from(password.as_bytes());
            let password = Password::new(&password);
            let password = &password.bmp().unwrap()[0];
            let size = expected.len() / 2;
            let key = derive(algorithm, purpose, password, salt, rounds, size);
            assert_eq!(HEXLOWER.encode(key.bytes()), expected);
        }
    }
}
