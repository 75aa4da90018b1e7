//! OpenSSH's own formats of keys (PROTOCOL.key of its sources; RFC 4253 section 6.6). ssh-keygen cannot convert Ed25519
//! keys to another format. Comments are dropped.

use ssh_key::private::KeypairData;
use ssh_key::public::KeyData;
use ssh_key::{EcdsaCurve, Kdf, Mpint, PrivateKey, PublicKey};

use super::error::{Fault, ImportError};
use super::foreign::DSA;
use super::work::Work;
use super::{curve25519, ec, rsa};
use slotfs_object::Object;
use slotfs_object::new::Naming;
use slotfs_object::secret::{SecretBytes, wipe_stack};

/// The rounds of PBKDF2 that take as long as one round of bcrypt.
const ROUND_COST: u64 = 10_000;

/// The beginnings of lines that hold a public key.
const BEGINNINGS: &[&[u8]] = &[b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"];

const PRIVATE: &str = "OpenSSH private key";
const PUBLIC: &str = "OpenSSH public key";

/// The files of `ssh-keygen -t ed25519-sk`.
const HARDWARE: ImportError = ImportError::Unsupported(
    "a handle to a key in a hardware authenticator",
    "the key itself cannot leave the authenticator",
);

/// Whether the binary form of a private key is encrypted.
pub(super) fn is_encrypted(bytes: &[u8]) -> bool {
    read(bytes).is_ok_and(|key| key.is_encrypted())
}

/// Whether a line of text is meant to be a public key.
pub(super) fn is_public(line: &[u8]) -> bool {
    BEGINNINGS.iter().any(|start| line.starts_with(start))
}

fn read(bytes: &[u8]) -> Result<PrivateKey, ImportError> {
    PrivateKey::from_bytes(bytes).map_err(|_| ImportError::fault(PRIVATE, Fault::Structure))
}

/// A private key of its binary form, not encrypted.
pub(super) fn private(bytes: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    object(&read(bytes)?, naming)
}

/// A private key of its binary form, encrypted.
pub(super) fn encrypted(
    bytes: &[u8],
    password: &SecretBytes,
    work: &mut Work,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let key = read(bytes)?;
    if let Kdf::Bcrypt { rounds, .. } = key.kdf() {
        work.spend(u64::from(*rounds) * ROUND_COST)?;
    }
    let opened = key.decrypt(password.bytes());
    wipe_stack();
    object(&opened.map_err(|_| ImportError::Password)?, naming)
}

fn object(key: &PrivateKey, naming: &Naming) -> Result<Object, ImportError> {
    match key.key_data() {
        KeypairData::Ed25519(pair) => {
            let public = Some(pair.public.0.as_slice());
            curve25519::private_of_value(
                pair.private.as_ref(),
                &curve25519::ED25519,
                public,
                naming,
            )
        }
        KeypairData::Ecdsa(pair) => {
            let public = Some(pair.public_key_bytes());
            let curve = curve(pair.curve());
            ec::private_of_value(pair.private_key_bytes(), curve, public, naming)
        }
        KeypairData::Rsa(pair) => {
            let (public, private) = (pair.public(), pair.private());
            let numbers = [
                positive(public.n())?,
                positive(public.e())?,
                positive(private.d())?,
                positive(private.p())?,
                positive(private.q())?,
                positive(private.iqmp())?,
            ];
            rsa::private_of_numbers(numbers, naming)
        }
        KeypairData::Dsa(_) => Err(DSA),
        KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_) => Err(HARDWARE),
        // The enum is non-exhaustive.
        _ => Err(ImportError::fault(PRIVATE, Fault::Structure)),
    }
}

/// A public key of its line of text.
pub(super) fn public(line: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let wrong = || ImportError::fault(PUBLIC, Fault::Structure);
    let text = str::from_utf8(line).map_err(|_| wrong())?;
    let key = PublicKey::from_openssh(text).map_err(|_| wrong())?;
    match key.key_data() {
        KeyData::Ed25519(key) => curve25519::public(&key.0, &curve25519::ED25519, naming),
        KeyData::Ecdsa(key) => ec::public(key.as_sec1_bytes(), curve(key.curve()), naming),
        KeyData::Rsa(key) => rsa::public_of_numbers(positive(key.n())?, positive(key.e())?, naming),
        KeyData::Dsa(_) => Err(DSA),
        KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => Err(HARDWARE),
        // The enum is non-exhaustive.
        _ => Err(wrong()),
    }
}

fn curve(curve: EcdsaCurve) -> &'static ec::Curve {
    match curve {
        EcdsaCurve::NistP256 => &ec::P256,
        EcdsaCurve::NistP384 => &ec::P384,
        EcdsaCurve::NistP521 => &ec::P521,
    }
}

fn positive(number: &Mpint) -> Result<&[u8], ImportError> {
    let bytes = number.as_positive_bytes();
    bytes.ok_or(ImportError::fault("OpenSSH key", Fault::Value))
}
