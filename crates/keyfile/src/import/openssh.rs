//! OpenSSH's own forms of keys (PROTOCOL.key of its sources; RFC 4253 section 6.6). ssh-keygen converts neither the
//! private nor the public keys of Ed25519 to another form, so they are read here. Comments are dropped.

use ssh_key::private::{EcdsaKeypair, KeypairData, RsaKeypair};
use ssh_key::public::{EcdsaPublicKey, KeyData};
use ssh_key::{EcdsaCurve, Kdf, Mpint, PrivateKey, PublicKey};

use super::error::{Fault, ImportError};
use super::rsa::OfPrimes;
use super::work::Work;
use super::{curve25519, ec, rsa};
use slotfs_object::Object;
use slotfs_object::new::Naming;
use slotfs_object::secret::{SecretBytes, wipe_stack};

/// A round of bcrypt in rounds of PBKDF2: what takes about as long.
const ROUND_COST: u64 = 10_000;

/// The first words of public keys' lines.
const PUBLIC: &[&[u8]] = &[b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"];

/// Whether the binary form of a private key is under a password.
pub(super) fn is_encrypted(bytes: &[u8]) -> bool {
    PrivateKey::from_bytes(bytes).is_ok_and(|key| key.is_encrypted())
}

/// Whether a line of text is meant to be a public key.
pub(super) fn is_public(line: &[u8]) -> bool {
    PUBLIC.iter().any(|start| line.starts_with(start))
}

/// A private key of its binary form, without a password.
pub(super) fn private(bytes: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let key = PrivateKey::from_bytes(bytes).map_err(|_| structure("OpenSSH private key"))?;
    object(&key, naming)
}

/// A private key of its binary form, under a password.
pub(super) fn encrypted(
    bytes: &[u8],
    password: &SecretBytes,
    work: &mut Work,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let key = PrivateKey::from_bytes(bytes).map_err(|_| structure("OpenSSH private key"))?;
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
            curve25519::of_value(pair.private.as_ref(), &curve25519::ED25519, public, naming)
        }
        KeypairData::Ecdsa(pair) => of_ecdsa(pair, naming),
        KeypairData::Rsa(pair) => of_rsa(pair, naming),
        KeypairData::Dsa(_) => Err(ImportError::DSA),
        KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_) => Err(HARDWARE),
        // The type is non-exhaustive.
        _ => Err(structure("OpenSSH private key")),
    }
}

/// What `ssh-keygen -t ed25519-sk` writes.
const HARDWARE: ImportError = ImportError::NotImported(
    "a handle to a key in a hardware authenticator",
    "the key itself cannot leave the authenticator",
);

fn of_ecdsa(pair: &EcdsaKeypair, naming: &Naming) -> Result<Object, ImportError> {
    let public = Some(pair.public_key_bytes());
    ec::of_value(
        pair.private_key_bytes(),
        curve(pair.curve())?,
        public,
        naming,
    )
}

fn curve(curve: EcdsaCurve) -> Result<&'static ec::Curve, ImportError> {
    ec::curve_named(match curve {
        EcdsaCurve::NistP256 => "P-256",
        EcdsaCurve::NistP384 => "P-384",
        EcdsaCurve::NistP521 => "P-521",
    })
}

fn of_rsa(pair: &RsaKeypair, naming: &Naming) -> Result<Object, ImportError> {
    let key = pair.private();
    rsa::of_primes(
        &OfPrimes {
            modulus: positive(pair.public().n())?,
            public_exponent: positive(pair.public().e())?,
            private_exponent: positive(key.d())?,
            prime1: positive(key.p())?,
            prime2: positive(key.q())?,
            coefficient: positive(key.iqmp())?,
        },
        naming,
    )
}

/// A public key of its line of text.
pub(super) fn public(line: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    const WHAT: &str = "OpenSSH public key";
    let text = str::from_utf8(line).map_err(|_| structure(WHAT))?;
    let key = PublicKey::from_openssh(text).map_err(|_| structure(WHAT))?;
    match key.key_data() {
        KeyData::Ed25519(key) => curve25519::public(&key.0, &curve25519::ED25519, naming),
        KeyData::Ecdsa(key) => {
            let point: &EcdsaPublicKey = key;
            ec::public(point.as_sec1_bytes(), curve(point.curve())?, naming)
        }
        KeyData::Rsa(key) => rsa::of_numbers(positive(key.n())?, positive(key.e())?, naming),
        KeyData::Dsa(_) => Err(ImportError::DSA),
        KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => Err(HARDWARE),
        // The type is non-exhaustive.
        _ => Err(structure(WHAT)),
    }
}

fn positive(number: &Mpint) -> Result<&[u8], ImportError> {
    number.as_positive_bytes().ok_or(ImportError::Der {
        what: "OpenSSH key",
        fault: Fault::Value,
        offset: None,
    })
}

fn structure(what: &'static str) -> ImportError {
    ImportError::Der {
        what,
        fault: Fault::Structure,
        offset: None,
    }
}
