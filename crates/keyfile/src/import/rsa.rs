//! RSA keys: PKCS#1 to PKCS#11 (section 6.1). Numbers are big-endian without leading zeros.

use pkcs1::{RsaPrivateKeyRef, RsaPublicKeyRef};
use pkcs8::ObjectIdentifier;
use x509_cert::der::asn1::{AnyRef, UintRef};
use x509_cert::der::{Decode, Encode};

use super::arithmetic::Number;
use super::elements::oid;
use super::error::ImportError;
use super::spki;
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKA_COEFFICIENT, CKA_DECRYPT, CKA_ENCRYPT, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_MODULUS,
    CKA_MODULUS_BITS, CKA_PRIME_1, CKA_PRIME_2, CKA_PRIVATE_EXPONENT, CKA_PUBLIC_EXPONENT,
    CKA_PUBLIC_KEY_INFO, CKA_SIGN, CKA_SIGN_RECOVER, CKA_UNWRAP, CKA_VERIFY, CKA_VERIFY_RECOVER,
    CKA_WRAP, CKK_RSA, CKO_PRIVATE_KEY, CKO_PUBLIC_KEY,
};
use slotfs_object::secret::SecretBytes;
use slotfs_object::template;
use slotfs_object::{Attribute, Object};

/// `rsaEncryption`, RFC 8017.
pub(super) const OID: ObjectIdentifier = oid("1.2.840.113549.1.1.1");

const PRIVATE: &str = "RSA private key";
const PUBLIC: &str = "RSA public key";

const MIN_BITS: usize = 1024;
const MAX_BITS: usize = 8192;

/// A private key of `RSAPrivateKey` DER; `beside` is the public key that its PKCS#8 file also holds.
pub(super) fn private(
    der: &[u8],
    beside: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let key = RsaPrivateKeyRef::from_der(der).map_err(ImportError::der(PRIVATE))?;
    private_object(&key, beside, naming)
}

fn private_object(
    key: &RsaPrivateKeyRef<'_>,
    beside: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    if key.other_prime_infos.is_some() {
        return Err(ImportError::RSA_PRIMES);
    }
    let public = key.public_key();
    check_public(&public)?;
    check_private(key)?;
    let public_der = public.to_der().map_err(ImportError::der(PRIVATE))?;
    if beside.is_some_and(|beside| beside != public_der) {
        return Err(ImportError::INCONSISTENT);
    }
    let usage = &[CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_UNWRAP];
    let mut object = template::key(CKO_PRIVATE_KEY, CKK_RSA, usage, naming)?;
    set_public(&mut object, &public, &public_der)?;
    for (number, value) in [
        (CKA_PRIVATE_EXPONENT, key.private_exponent),
        (CKA_PRIME_1, key.prime1),
        (CKA_PRIME_2, key.prime2),
        (CKA_EXPONENT_1, key.exponent1),
        (CKA_EXPONENT_2, key.exponent2),
        (CKA_COEFFICIENT, key.coefficient),
    ] {
        let value = SecretBytes::from(value.as_bytes());
        object.set(number, Attribute::Secret(value));
    }
    Ok(object)
}

/// A private key of its numbers, big-endian, without the two exponents that follow from them.
pub(super) fn private_of_numbers(
    [
        modulus,
        public_exponent,
        private_exponent,
        prime1,
        prime2,
        coefficient,
    ]: [&[u8]; 6],
    naming: &Naming,
) -> Result<Object, ImportError> {
    // Checked before any arithmetic: sizes bound its time.
    let public = public_key_of(modulus, public_exponent)?;
    check_public(&public)?;
    let secrets = [private_exponent, prime1, prime2, coefficient];
    if secrets.iter().any(|number| number.len() > modulus.len()) {
        return Err(ImportError::INCONSISTENT);
    }
    let exponent = Number::new(private_exponent);
    let modulo = |prime| exponent.modulo(&Number::new(prime).minus_one());
    let exponents = [prime1, prime2].map(|prime| modulo(prime).big_endian());
    let number = |bytes| UintRef::new(bytes).map_err(ImportError::der(PRIVATE));
    let key = RsaPrivateKeyRef {
        modulus: public.modulus,
        public_exponent: public.public_exponent,
        private_exponent: number(private_exponent)?,
        prime1: number(prime1)?,
        prime2: number(prime2)?,
        exponent1: number(exponents[0].bytes())?,
        exponent2: number(exponents[1].bytes())?,
        coefficient: number(coefficient)?,
        other_prime_infos: None,
    };
    private_object(&key, None, naming)
}

/// A public key of its numbers, big-endian.
pub(super) fn public_of_numbers(
    modulus: &[u8],
    exponent: &[u8],
    naming: &Naming,
) -> Result<Object, ImportError> {
    let key = public_key_of(modulus, exponent)?;
    public(&key.to_der().map_err(ImportError::der(PUBLIC))?, naming)
}

fn public_key_of<'a>(
    modulus: &'a [u8],
    exponent: &'a [u8],
) -> Result<RsaPublicKeyRef<'a>, ImportError> {
    let number = |bytes| UintRef::new(bytes).map_err(ImportError::der(PUBLIC));
    Ok(RsaPublicKeyRef {
        modulus: number(modulus)?,
        public_exponent: number(exponent)?,
    })
}

/// The SPKI of a private key object's public half: its modulus and public exponent.
pub(super) fn info_of_private(object: &Object) -> Option<Vec<u8>> {
    let exponent = object.bytes(CKA_PUBLIC_EXPONENT)?;
    let key = public_key_of(object.bytes(CKA_MODULUS)?, exponent).ok()?;
    info(&key.to_der().ok()?).ok()
}

/// A public key of `RSAPublicKey` DER.
pub(super) fn public(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let key = RsaPublicKeyRef::from_der(der).map_err(ImportError::der(PUBLIC))?;
    check_public(&key)?;
    let usage = &[CKA_ENCRYPT, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP];
    let mut object = template::key(CKO_PUBLIC_KEY, CKK_RSA, usage, naming)?;
    set_public(&mut object, &key, der)?;
    let bits = bits(key.modulus.as_bytes()) as u64;
    object.set(CKA_MODULUS_BITS, Attribute::Number(bits));
    Ok(object)
}

/// Sets the attributes that both halves have; `der` is `key`.
fn set_public(
    object: &mut Object,
    key: &RsaPublicKeyRef<'_>,
    der: &[u8],
) -> Result<(), ImportError> {
    let bytes = |number: UintRef<'_>| Attribute::Bytes(number.as_bytes().to_vec());
    object.set(CKA_MODULUS, bytes(key.modulus));
    object.set(CKA_PUBLIC_EXPONENT, bytes(key.public_exponent));
    object.set(CKA_PUBLIC_KEY_INFO, Attribute::Bytes(info(der)?));
    Ok(())
}

/// `der` is `RSAPublicKey`.
fn info(der: &[u8]) -> Result<Vec<u8>, ImportError> {
    spki::encode(OID, Some(AnyRef::NULL), der)
}

/// Whether the numbers may be those of a key, before any arithmetic: sizes bound its time.
pub(super) fn check_sizes(modulus: &[u8], exponent: &[u8]) -> Result<(), ImportError> {
    check_public(&public_key_of(modulus, exponent)?)
}

/// Checks the size, and refuses impossible numbers: an even modulus, an exponent that is even, 1, or not below the
/// modulus.
fn check_public(key: &RsaPublicKeyRef<'_>) -> Result<(), ImportError> {
    let (modulus, exponent) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    let bits = bits(modulus);
    if !(MIN_BITS..=MAX_BITS).contains(&bits) {
        return Err(ImportError::RsaBits(bits));
    }
    if is_even(modulus) {
        return Err(ImportError::RsaNumber("modulus"));
    }
    let is_below = Number::new(exponent).is_below(&Number::new(modulus));
    if is_even(exponent) || exponent == [1] || !is_below {
        return Err(ImportError::RsaNumber("public exponent"));
    }
    Ok(())
}

/// Whether the parts match (RFC 8017 section 3.2). This stops an attack: one signature made with a wrong part of the
/// Chinese remainder form reveals the primes (Boneh, DeMillo, Lipton 1997). It does not check that the primes are
/// prime.
fn check_private(key: &RsaPrivateKeyRef<'_>) -> Result<(), ImportError> {
    let [n, e, d, p, q, dp, dq, qinv] = [
        key.modulus,
        key.public_exponent,
        key.private_exponent,
        key.prime1,
        key.prime2,
        key.exponent1,
        key.exponent2,
        key.coefficient,
    ]
    .map(|number| Number::new(number.as_bytes()));
    // Sizes first: they bound the numbers of the arithmetic below.
    let in_range = d.is_below(&n)
        && p.is_below(&n)
        && q.is_below(&n)
        && dp.is_below(&p)
        && dq.is_below(&q)
        && qinv.is_below(&p);
    let (p1, q1) = (p.minus_one(), q.minus_one());
    let matches = in_range
        && p.times(&q) == n
        && d.modulo(&p1) == dp
        && d.modulo(&q1) == dq
        && e.times(&dp).modulo(&p1).is_one()
        && e.times(&dq).modulo(&q1).is_one()
        && q.times(&qinv).modulo(&p).is_one();
    matches.then_some(()).ok_or(ImportError::INCONSISTENT)
}

fn is_even(number: &[u8]) -> bool {
    number.last().is_none_or(|byte| byte & 1 == 0)
}

/// The length in bits of a number without leading zero bytes; 0 has none.
fn bits(number: &[u8]) -> usize {
    let first = number.first().map_or(0, |first| first.leading_zeros());
    number.len() * 8 - first as usize
}
