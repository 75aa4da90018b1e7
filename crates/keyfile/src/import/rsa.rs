//! RSA keys: PKCS#1 to PKCS#11 (section 6.1), numbers big-endian without leading zeros.

use pkcs1::{RsaPrivateKeyRef, RsaPublicKeyRef};
use pkcs8::ObjectIdentifier;
use x509_cert::der::asn1::{AnyRef, UintRef};
use x509_cert::der::{Decode, Encode};

use super::arithmetic::Number;
use super::error::ImportError;
use super::spki;
use slotfs_object::new::Naming;
use slotfs_object::pkcs11::{
    CKA_COEFFICIENT, CKA_DECRYPT, CKA_ENCRYPT, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_MODULUS,
    CKA_MODULUS_BITS, CKA_PRIME_1, CKA_PRIME_2, CKA_PRIVATE_EXPONENT, CKA_PUBLIC_EXPONENT,
    CKA_PUBLIC_KEY_INFO, CKA_SIGN, CKA_SIGN_RECOVER, CKA_UNWRAP, CKA_VERIFY, CKA_VERIFY_RECOVER,
    CKA_WRAP, CKK_RSA,
};
use slotfs_object::secret::SecretBytes;
use slotfs_object::template;
use slotfs_object::{Attribute, Object};

/// `rsaEncryption`, RFC 8017.
pub(super) const OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

const WHAT: &str = "RSA private key";

const MIN_BITS: usize = 1024;
const MAX_BITS: usize = 8192;

/// RFC 8017 appendix A.1: the parameters are NULL. Some writers leave them out.
pub(super) fn check_parameters(parameters: Option<AnyRef<'_>>) -> Result<(), ImportError> {
    match parameters {
        None => Ok(()),
        Some(parameters) if parameters.is_null() => Ok(()),
        Some(_) => Err(ImportError::Parameters),
    }
}

/// A private key of `RSAPrivateKey` DER; `beside` is the public key that its PKCS#8 file also holds.
pub(super) fn private(
    der: &[u8],
    beside: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let key = RsaPrivateKeyRef::from_der(der).map_err(ImportError::der(WHAT))?;
    of_key(&key, beside, naming)
}

fn of_key(
    key: &RsaPrivateKeyRef<'_>,
    beside: Option<&[u8]>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    if key.other_prime_infos.is_some() {
        return Err(ImportError::RsaPrimes);
    }
    let public = key.public_key();
    check_public(&public)?;
    check_private(key)?;
    let public_der = public.to_der().map_err(ImportError::der(WHAT))?;
    if beside.is_some_and(|beside| beside != public_der) {
        return Err(ImportError::Inconsistent);
    }
    let usage = &[CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_UNWRAP];
    let mut object = template::private_key(CKK_RSA, usage, naming)?;
    put_public(&mut object, &public);
    template::put_bytes(&mut object, CKA_PUBLIC_KEY_INFO, &info(&public_der)?);
    for (number, value) in [
        (CKA_PRIVATE_EXPONENT, key.private_exponent),
        (CKA_PRIME_1, key.prime1),
        (CKA_PRIME_2, key.prime2),
        (CKA_EXPONENT_1, key.exponent1),
        (CKA_EXPONENT_2, key.exponent2),
        (CKA_COEFFICIENT, key.coefficient),
    ] {
        let value = Attribute::Secret(SecretBytes::from(value.as_bytes()));
        object.attributes.insert(number, value);
    }
    Ok(object)
}

/// The numbers of a private key without those that follow from them, big-endian.
pub(super) struct OfPrimes<'a> {
    pub(super) modulus: &'a [u8],
    pub(super) public_exponent: &'a [u8],
    pub(super) private_exponent: &'a [u8],
    pub(super) prime1: &'a [u8],
    pub(super) prime2: &'a [u8],
    pub(super) coefficient: &'a [u8],
}

/// A private key of numbers that are not in DER.
pub(super) fn of_primes(key: &OfPrimes<'_>, naming: &Naming) -> Result<Object, ImportError> {
    // Before any arithmetic: sizes bound its time.
    let public = public_of(key.modulus, key.public_exponent)?;
    check_public(&public)?;
    if [
        key.private_exponent,
        key.prime1,
        key.prime2,
        key.coefficient,
    ]
    .iter()
    .any(|number| number.len() > key.modulus.len())
    {
        return Err(ImportError::Inconsistent);
    }
    let exponent = Number::new(key.private_exponent);
    let modulo = |prime| {
        exponent
            .modulo(&Number::new(prime).minus_one())
            .big_endian()
    };
    let (exponent1, exponent2) = (modulo(key.prime1), modulo(key.prime2));
    let number = |bytes| UintRef::new(bytes).map_err(ImportError::der(WHAT));
    let key = RsaPrivateKeyRef {
        modulus: public.modulus,
        public_exponent: public.public_exponent,
        private_exponent: number(key.private_exponent)?,
        prime1: number(key.prime1)?,
        prime2: number(key.prime2)?,
        exponent1: number(exponent1.bytes())?,
        exponent2: number(exponent2.bytes())?,
        coefficient: number(key.coefficient)?,
        other_prime_infos: None,
    };
    of_key(&key, None, naming)
}

/// A public key of numbers that are not in DER.
pub(super) fn of_numbers(
    modulus: &[u8],
    exponent: &[u8],
    naming: &Naming,
) -> Result<Object, ImportError> {
    let der = public_of(modulus, exponent)?
        .to_der()
        .map_err(ImportError::der("RSA public key"))?;
    public(&der, naming)
}

fn public_of<'a>(
    modulus: &'a [u8],
    exponent: &'a [u8],
) -> Result<RsaPublicKeyRef<'a>, ImportError> {
    let number = |bytes| UintRef::new(bytes).map_err(ImportError::der("RSA public key"));
    Ok(RsaPublicKeyRef {
        modulus: number(modulus)?,
        public_exponent: number(exponent)?,
    })
}

/// The SPKI of a private key object's public half: its modulus and public exponent.
pub(super) fn info_of_private(object: &Object) -> Option<Vec<u8>> {
    let number = |number| match object.attributes.get(&number) {
        Some(Attribute::Bytes(bytes)) => UintRef::new(bytes).ok(),
        _ => None,
    };
    let key = RsaPublicKeyRef {
        modulus: number(CKA_MODULUS)?,
        public_exponent: number(CKA_PUBLIC_EXPONENT)?,
    };
    info(&key.to_der().ok()?).ok()
}

/// A public key of `RSAPublicKey` DER.
pub(super) fn public(der: &[u8], naming: &Naming) -> Result<Object, ImportError> {
    let key = RsaPublicKeyRef::from_der(der).map_err(ImportError::der("RSA public key"))?;
    check_public(&key)?;
    let usage = &[CKA_ENCRYPT, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP];
    let mut object = template::public_key(CKK_RSA, usage, naming)?;
    put_public(&mut object, &key);
    let bits = bits(key.modulus.as_bytes()) as u64;
    template::put_number(&mut object, CKA_MODULUS_BITS, bits);
    template::put_bytes(&mut object, CKA_PUBLIC_KEY_INFO, &info(der)?);
    Ok(object)
}

fn put_public(object: &mut Object, key: &RsaPublicKeyRef<'_>) {
    template::put_bytes(object, CKA_MODULUS, key.modulus.as_bytes());
    template::put_bytes(object, CKA_PUBLIC_EXPONENT, key.public_exponent.as_bytes());
}

/// `der` is `RSAPublicKey`.
fn info(der: &[u8]) -> Result<Vec<u8>, ImportError> {
    spki::encode(OID, Some(AnyRef::NULL), der)
}

/// Size, and what no modulus or exponent can be: an even number, an exponent of 1.
fn check_public(key: &RsaPublicKeyRef<'_>) -> Result<(), ImportError> {
    let (modulus, exponent) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    let bits = bits(modulus);
    if !(MIN_BITS..=MAX_BITS).contains(&bits) {
        return Err(ImportError::RsaBits(bits));
    }
    if is_even(modulus) {
        return Err(ImportError::RsaNumber("modulus"));
    }
    let below = Number::new(exponent).is_below(&Number::new(modulus));
    if is_even(exponent) || exponent == [1] || !below {
        return Err(ImportError::RsaNumber("public exponent"));
    }
    Ok(())
}

/// Whether the parts belong together (RFC 8017 section 3.2). The attack this stops: one signature with a
/// wrong part of the Chinese remainder form gives the primes away (Boneh, DeMillo, Lipton 1997). That
/// the primes are prime is not checked.
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
    // Sizes first: they also bound what the arithmetic below works on.
    let in_range = d.is_below(&n)
        && p.is_below(&n)
        && q.is_below(&n)
        && dp.is_below(&p)
        && dq.is_below(&q)
        && qinv.is_below(&p);
    let (p1, q1) = (p.minus_one(), q.minus_one());
    let together = in_range
        && p.times(&q).equals(&n)
        && d.modulo(&p1).equals(&dp)
        && d.modulo(&q1).equals(&dq)
        && e.times(&dp).modulo(&p1).is_one()
        && e.times(&dq).modulo(&q1).is_one()
        && q.times(&qinv).modulo(&p).is_one();
    together.then_some(()).ok_or(ImportError::Inconsistent)
}

fn is_even(number: &[u8]) -> bool {
    number.last().is_none_or(|byte| byte & 1 == 0)
}

/// Bits of a number without leading zero bytes; 0 has none.
fn bits(number: &[u8]) -> usize {
    match number.first() {
        None => 0,
        Some(first) => number.len() * 8 - first.leading_zeros() as usize,
    }
}
