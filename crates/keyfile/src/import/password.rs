//! A key file's password, as each key derivation takes it.

use super::error::ImportError;
use slotfs_object::secret::SecretBytes;

/// A password in its encodings.
pub(super) struct Password<'a> {
    /// The bytes that were given: for PBKDF2.
    pub(super) bytes: &'a SecretBytes,
    /// For PKCS#12's own derivation; `None` when they are not text.
    bmp: Option<Vec<SecretBytes>>,
}

impl<'a> Password<'a> {
    pub(super) fn new(bytes: &'a SecretBytes) -> Self {
        Self {
            bytes,
            bmp: bmp_strings(bytes),
        }
    }

    /// The forms that PKCS#12's own derivation may have been given, the likely one first. Of an empty password there
    /// are two: some writers (GnuTLS with a null password) leave out the zero at the end too.
    pub(super) fn bmp(&self) -> Result<&[SecretBytes], ImportError> {
        self.bmp.as_deref().ok_or(ImportError::PasswordText)
    }

    /// Leaves the one form that was found to be right.
    pub(super) fn settle(&mut self, right: usize) {
        if let Some(forms) = &mut self.bmp {
            forms.swap(0, right);
            forms.truncate(1);
        }
    }
}

fn bmp_strings(password: &SecretBytes) -> Option<Vec<SecretBytes>> {
    let mut forms = vec![bmp_string(password)?];
    if password.bytes().is_empty() {
        forms.push(SecretBytes::new(Vec::new()));
    }
    Some(forms)
}

/// RFC 7292 appendix B.1: big-endian UTF-16 with a zero at the end.
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
