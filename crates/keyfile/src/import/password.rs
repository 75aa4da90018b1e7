//! The password of a key file, in the encoding of each key derivation.

use super::error::ImportError;
use slotfs_object::secret::SecretBytes;

/// A password and its encodings.
pub(super) struct Password<'a> {
    /// The bytes as given, for PBKDF2.
    pub(super) bytes: &'a SecretBytes,
    /// For PKCS#12's own derivation; `None` when the bytes are not UTF-8.
    bmp: Option<Vec<SecretBytes>>,
}

impl<'a> Password<'a> {
    pub(super) fn new(bytes: &'a SecretBytes) -> Self {
        Self {
            bytes,
            bmp: bmp_string(bytes).map(|form| match bytes.bytes() {
                [] => vec![form, SecretBytes::new(Vec::new())],
                _ => vec![form],
            }),
        }
    }

    /// The forms that the writer may have passed to PKCS#12's own derivation, the likely one first. An empty password has
    /// two forms, because some writers (GnuTLS with a null password) omit the final zero.
    pub(super) fn bmp(&self) -> Result<&[SecretBytes], ImportError> {
        self.bmp.as_deref().ok_or(ImportError::PasswordText)
    }

    /// Keeps only the form that was found to be right.
    pub(super) fn settle(&mut self, right: usize) {
        if let Some(forms) = &mut self.bmp {
            forms.swap(0, right);
            forms.truncate(1);
        }
    }
}

/// Big-endian UTF-16 with a final zero (RFC 7292 appendix B.1).
fn bmp_string(password: &SecretBytes) -> Option<SecretBytes> {
    let text = std::str::from_utf8(password.bytes()).ok()?;
    let units = text.encode_utf16().count() + 1;
    let mut bytes = SecretBytes::new(vec![0; 2 * units]);
    for (pair, unit) in bytes
        .bytes_mut()
        .chunks_exact_mut(2)
        .zip(text.encode_utf16())
    {
        pair.copy_from_slice(&unit.to_be_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn passwords_are_utf_16_with_an_end() {
        let of = |bytes: &[u8]| bmp_string(&SecretBytes::from(bytes)).map(|it| it.bytes().to_vec());
        assert_eq!(of(b"").unwrap(), [0, 0]);
        assert_eq!(
            of("a🔑".as_bytes()).unwrap(),
            [0, b'a', 0xd8, 0x3d, 0xdd, 0x11, 0, 0]
        );
        let not_text = SecretBytes::from([0xff].as_slice());
        let refused = Password::new(&not_text).bmp().map(<[_]>::len);
        assert!(matches!(refused, Err(ImportError::PasswordText)));
    }

    #[test]
    fn an_empty_password_has_two_forms_until_one_is_right() {
        let empty = SecretBytes::new(Vec::new());
        let mut password = Password::new(&empty);
        let sizes = |password: &Password<'_>| -> Vec<usize> {
            let forms = password.bmp().unwrap();
            forms.iter().map(|form| form.bytes().len()).collect()
        };
        assert_eq!(sizes(&password), [2, 0]);
        password.settle(1);
        assert_eq!(sizes(&password), [0]);
    }
}
