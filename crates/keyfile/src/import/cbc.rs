//! Ciphers of key files, all in CBC mode with PKCS#7 padding.

use aws_lc_rs::cipher::{Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::{FixedLength, IV_LEN_128_BIT};
use cbc::Decryptor;
use des::cipher::block_padding::Pkcs7;
use des::cipher::{BlockModeDecrypt, KeyIvInit};
use des::{TdesEde2, TdesEde3};

use super::error::{Fault, ImportError};
use slotfs_object::secret::SecretBytes;

/// A supported cipher. 3DES is weak, but refusing it would not protect the file any better, and the imported key is
/// sealed with AES.
#[derive(Clone, Copy)]
pub(super) enum Cipher {
    Aes(&'static Algorithm),
    /// Three keys, 24 bytes.
    TripleDes,
    /// Two keys, 16 bytes.
    TwoKeyTripleDes,
}

impl Cipher {
    /// Decrypts. The mode is not authenticated: a wrong key gives bad padding, or arbitrary bytes.
    pub(super) fn decrypt(
        self,
        key: &SecretBytes,
        iv: &[u8],
        ciphertext: &[u8],
    ) -> Result<SecretBytes, ImportError> {
        match self {
            Self::Aes(algorithm) => {
                let iv: [u8; IV_LEN_128_BIT] = iv.try_into().map_err(|_| bad_iv())?;
                let mut buffer = SecretBytes::from(ciphertext);
                UnboundCipherKey::new(algorithm, key.bytes())
                    .and_then(PaddedBlockDecryptingKey::cbc_pkcs7)
                    .and_then(|key| {
                        let context = DecryptionContext::Iv128(FixedLength::from(iv));
                        let plaintext = key.decrypt(buffer.bytes_mut(), context)?;
                        Ok(SecretBytes::from(&*plaintext))
                    })
                    .map_err(|_| ImportError::Password)
            }
            Self::TripleDes => des::<Decryptor<TdesEde3>>(key, iv, ciphertext),
            Self::TwoKeyTripleDes => des::<Decryptor<TdesEde2>>(key, iv, ciphertext),
        }
    }
}

fn des<Mode: BlockModeDecrypt + KeyIvInit>(
    key: &SecretBytes,
    iv: &[u8],
    ciphertext: &[u8],
) -> Result<SecretBytes, ImportError> {
    let mut buffer = SecretBytes::from(ciphertext);
    Mode::new_from_slices(key.bytes(), iv)
        .map_err(|_| bad_iv())?
        .decrypt_padded::<Pkcs7>(buffer.bytes_mut())
        .map(SecretBytes::from)
        .map_err(|_| ImportError::Password)
}

fn bad_iv() -> ImportError {
    ImportError::fault("encryption's initial vector", Fault::Value)
}
