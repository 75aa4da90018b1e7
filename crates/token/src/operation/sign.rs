//! Digests, signatures and MACs. Data that gets hashed is not kept.

mod parameters;

use slotfs_crypto::edwards::{SIGNATURE_BYTES, Variant};
use slotfs_crypto::mac::{Cmac, Hmac, equal};
use slotfs_crypto::pq::ml_dsa::{Hedge, Representative};
use slotfs_crypto::{Error, Hash, Hasher};
use slotfs_object::pkcs11::{CKK_AES, CKK_GENERIC_SECRET, CKK_HKDF};
use slotfs_wire::Parameter;
use slotfs_wire::rv::{
    CKR_DATA_INVALID, CKR_DATA_LEN_RANGE, CKR_KEY_SIZE_RANGE, CKR_KEY_TYPE_INCONSISTENT,
    CKR_MECHANISM_INVALID, CKR_MECHANISM_PARAM_INVALID, CKR_SIGNATURE_INVALID,
    CKR_SIGNATURE_LEN_RANGE,
};
use zeroize::Zeroizing;

use super::{Key, Prepared, failed, no_parameter, reserve};
use crate::error::{Result, Rv};
use crate::mechanism::{Algorithm, hash};
use parameters::{edwards, mac_bytes, ml_dsa, pss};

/// A running digest.
pub(super) struct Digester {
    hash: Hash,
    hasher: Hasher,
}

impl Digester {
    pub(super) fn new(hash: Hash) -> Result<Self> {
        let hasher = Hasher::new(hash);
        Ok(Self { hash, hasher })
    }

    pub(super) fn bytes(&self) -> usize {
        self.hash.bytes()
    }

    pub(super) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.hasher.update(data);
        Ok(())
    }

    /// The digest, once.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let hasher = std::mem::replace(&mut self.hasher, Hasher::new(self.hash));
        out.extend_from_slice(&hasher.finish().map_err(|_| failed())?);
        Ok(())
    }
}

/// A running signature, verification, or MAC.
pub(super) struct Signer {
    key: Key,
    scheme: Scheme,
    input: Input,
}

/// How the input becomes a signature.
enum Scheme {
    /// PKCS#1 v1.5, over the `DigestInfo` of a hash or over the input itself.
    Pkcs1(Option<Hash>),
    /// RSA without padding.
    Raw,
    Pss {
        hash: Hash,
        mgf: Hash,
        salt_bytes: usize,
    },
    Ecdsa,
    /// Ed25519; with a context Ed25519ctx.
    Edwards(Vec<u8>),
    /// Ed25519ph.
    EdwardsPrehash(Vec<u8>),
    MlDsa(Hedge),
    HashMlDsa {
        hash: Hash,
        context: Vec<u8>,
        hedge: Hedge,
    },
    /// A MAC of so many bytes.
    Mac(usize),
}

/// The data so far.
enum Input {
    /// All of it: at least and at most so many bytes.
    Gathered(Zeroizing<Vec<u8>>, (usize, usize)),
    Hash(Hasher),
    Hmac(Hmac),
    Cmac(Cmac),
    Mu(Representative),
    Finished,
}

impl Signer {
    /// `signs`: whether the key is the private half, where there are halves.
    pub(super) fn new(
        algorithm: Algorithm,
        parameter: &Parameter,
        key: Key,
        signs: bool,
    ) -> Result<Self> {
        let (scheme, input) = match algorithm {
            Algorithm::RsaPkcs(hash) => {
                no_parameter(parameter)?;
                let modulus = modulus_bytes(&key, signs)?;
                let input = match hash {
                    Some(hash) => Input::Hash(Hasher::new(hash)),
                    None => Input::gathered(0, modulus - 11),
                };
                (Scheme::Pkcs1(hash), input)
            }
            Algorithm::RsaRaw => {
                no_parameter(parameter)?;
                (Scheme::Raw, Input::gathered(0, modulus_bytes(&key, signs)?))
            }
            Algorithm::RsaPss(fixed) => pss(fixed, parameter, modulus_bytes(&key, signs)?)?,
            Algorithm::Ecdsa(hash) => {
                no_parameter(parameter)?;
                match (&*key, signs) {
                    (Prepared::EcPrivate(_), true) | (Prepared::EcPublic(_), false) => {}
                    _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
                }
                let input = match hash {
                    Some(hash) => Input::Hash(Hasher::new(hash)),
                    // The leading bits of longer data are used, as FIPS 186-5 says of digests.
                    None => Input::gathered(1, 1024),
                };
                (Scheme::Ecdsa, input)
            }
            Algorithm::Eddsa => {
                match (&*key, signs) {
                    (Prepared::EdPrivate(_), true) | (Prepared::EdPublic(_), false) => {}
                    _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
                }
                edwards(parameter)?
            }
            Algorithm::MlDsa | Algorithm::HashMlDsa(_) => {
                match (&*key, signs) {
                    (Prepared::MlDsaPrivate(_), true) | (Prepared::MlDsaPublic(_), false) => {}
                    _ => return Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
                }
                ml_dsa(algorithm, parameter, &key)?
            }
            Algorithm::Hmac { hash, general } => {
                let value = key.secret(|key_type| is_hmac_key(key_type, hash))?;
                if value.is_empty() {
                    return Err(Rv(CKR_KEY_SIZE_RANGE));
                }
                let input = Input::Hmac(Hmac::new(hash, value));
                (
                    Scheme::Mac(mac_bytes(parameter, general, hash.bytes())?),
                    input,
                )
            }
            Algorithm::Cmac { general } => {
                let value = key.secret(|key_type| key_type == CKK_AES)?;
                let cmac = Cmac::new(value).map_err(|_| Rv(CKR_KEY_SIZE_RANGE))?;
                let bytes = mac_bytes(parameter, general, 16)?;
                (Scheme::Mac(bytes), Input::Cmac(cmac))
            }
            _ => return Err(Rv(CKR_MECHANISM_INVALID)),
        };
        Ok(Self { key, scheme, input })
    }

    /// Bytes that were gathered.
    pub(super) fn held_bytes(&self) -> usize {
        match &self.input {
            Input::Gathered(gathered, _) => gathered.capacity(),
            _ => 0,
        }
    }

    /// Bytes of a signature.
    pub(super) fn signature_bytes(&self) -> usize {
        match (&self.scheme, &*self.key) {
            (Scheme::Mac(bytes), _) => *bytes,
            (_, Prepared::RsaPrivate(key)) => key.modulus_bytes(),
            (_, Prepared::RsaPublic(key)) => key.modulus_bytes(),
            (_, Prepared::EcPrivate(key)) => 2 * key.curve().bytes(),
            (_, Prepared::EcPublic(key)) => 2 * key.curve().bytes(),
            (_, Prepared::MlDsaPrivate(key)) => key.set().signature_bytes(),
            (_, Prepared::MlDsaPublic(key)) => key.set().signature_bytes(),
            _ => SIGNATURE_BYTES,
        }
    }

    /// Whether the data may come in updates.
    pub(super) fn takes_parts(&self) -> bool {
        !matches!(
            (&self.scheme, &self.input),
            (Scheme::HashMlDsa { .. }, Input::Gathered(..))
        )
    }

    pub(super) fn update(&mut self, data: &[u8]) -> Result<()> {
        match &mut self.input {
            Input::Gathered(gathered, (_, most)) => {
                if data.len() > most.saturating_sub(gathered.len()) {
                    return Err(Rv(CKR_DATA_LEN_RANGE));
                }
                reserve(gathered, data.len());
                gathered.extend_from_slice(data);
            }
            Input::Hash(hasher) => hasher.update(data),
            Input::Hmac(hmac) => hmac.update(data),
            Input::Cmac(cmac) => cmac.update(data),
            Input::Mu(mu) => mu.update(data).map_err(|_| failed())?,
            Input::Finished => return Err(failed()),
        }
        Ok(())
    }

    /// What gets signed, or the whole MAC, once.
    fn input(&mut self) -> Result<Zeroizing<Vec<u8>>> {
        let made = match std::mem::replace(&mut self.input, Input::Finished) {
            Input::Gathered(gathered, (least, _)) if gathered.len() >= least => Ok(gathered),
            Input::Gathered(..) => return Err(Rv(CKR_DATA_LEN_RANGE)),
            Input::Hash(hasher) => hasher.finish().map(Zeroizing::new),
            Input::Hmac(hmac) => hmac.finish(),
            Input::Cmac(cmac) => cmac.finish(),
            Input::Mu(mu) => mu.finish().map(|mu| Zeroizing::new(mu.to_vec())),
            Input::Finished => return Err(failed()),
        };
        made.map_err(|_| failed())
    }

    /// Appends the signature to `out`.
    pub(super) fn sign(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let input = self.input()?;
        let signature = match (&self.scheme, &*self.key) {
            (Scheme::Mac(bytes), _) => {
                out.extend_from_slice(input.get(..*bytes).ok_or_else(failed)?);
                return Ok(());
            }
            (Scheme::Pkcs1(Some(hash)), Prepared::RsaPrivate(key)) => {
                key.sign_pkcs1_digest(*hash, &input)
            }
            (Scheme::Pkcs1(None), Prepared::RsaPrivate(key)) => key.sign_pkcs1_raw(&input),
            (Scheme::Raw, Prepared::RsaPrivate(key)) => {
                let signature = key.raw_private(&input);
                out.extend_from_slice(&signature.map_err(|_| Rv(CKR_DATA_INVALID))?);
                return Ok(());
            }
            (
                Scheme::Pss {
                    hash,
                    mgf,
                    salt_bytes,
                },
                Prepared::RsaPrivate(key),
            ) => key.sign_pss(*hash, *mgf, *salt_bytes, &input),
            (Scheme::Ecdsa, Prepared::EcPrivate(key)) => key.sign(&input),
            (Scheme::Edwards(context), Prepared::EdPrivate(key)) => {
                key.sign(&input, variant(context))
            }
            (Scheme::EdwardsPrehash(context), Prepared::EdPrivate(key)) => {
                key.sign_digest(&input, context)
            }
            (Scheme::MlDsa(hedge), Prepared::MlDsaPrivate(key)) => key.sign_mu(&input, *hedge),
            (
                Scheme::HashMlDsa {
                    hash,
                    context,
                    hedge,
                },
                Prepared::MlDsaPrivate(key),
            ) => key.sign_digest(*hash, &input, context, *hedge),
            _ => return Err(failed()),
        };
        let signature = signature.map_err(|error| match error {
            Error::BadLength | Error::TooLong => Rv(CKR_DATA_LEN_RANGE),
            Error::BadParameter => Rv(CKR_MECHANISM_PARAM_INVALID),
            _ => failed(),
        })?;
        out.extend_from_slice(&signature);
        Ok(())
    }

    /// Whether `signature` is one of the data.
    pub(super) fn verify(&mut self, signature: &[u8]) -> Result<()> {
        let input = self.input()?;
        if signature.len() != self.signature_bytes() {
            return Err(Rv(CKR_SIGNATURE_LEN_RANGE));
        }
        let is_valid = match (&self.scheme, &*self.key) {
            (Scheme::Mac(bytes), _) => equal(input.get(..*bytes).ok_or_else(failed)?, signature),
            (Scheme::Pkcs1(Some(hash)), Prepared::RsaPublic(key)) => {
                key.verify_pkcs1_digest(*hash, &input, signature)
            }
            (Scheme::Pkcs1(None), Prepared::RsaPublic(key)) => {
                key.verify_pkcs1_raw(&input, signature)
            }
            (Scheme::Raw, Prepared::RsaPublic(key)) => {
                key.raw_public(signature).is_ok_and(|block| {
                    let (zeros, end) = block.split_at(block.len().saturating_sub(input.len()));
                    zeros.iter().all(|byte| *byte == 0) && equal(end, &input)
                })
            }
            (
                Scheme::Pss {
                    hash,
                    mgf,
                    salt_bytes,
                },
                Prepared::RsaPublic(key),
            ) => {
                if input.len() != hash.bytes() {
                    return Err(Rv(CKR_DATA_LEN_RANGE));
                }
                key.verify_pss(*hash, *mgf, *salt_bytes, &input, signature)
            }
            (Scheme::Ecdsa, Prepared::EcPublic(key)) => key.verify(&input, signature),
            (Scheme::Edwards(context), Prepared::EdPublic(key)) => {
                key.verify(&input, variant(context), signature)
            }
            (Scheme::EdwardsPrehash(context), Prepared::EdPublic(key)) => {
                key.verify_digest(&input, context, signature)
            }
            (Scheme::MlDsa(_), Prepared::MlDsaPublic(key)) => key.verify_mu(&input, signature),
            (Scheme::HashMlDsa { hash, context, .. }, Prepared::MlDsaPublic(key)) => {
                key.verify_digest(*hash, &input, context, signature)
            }
            _ => return Err(failed()),
        };
        is_valid.then_some(()).ok_or(Rv(CKR_SIGNATURE_INVALID))
    }
}

impl Input {
    fn gathered(least: usize, most: usize) -> Self {
        Self::Gathered(Zeroizing::new(Vec::new()), (least, most))
    }
}

/// Bytes of the modulus of an RSA key of the right half.
fn modulus_bytes(key: &Prepared, signs: bool) -> Result<usize> {
    match (key, signs) {
        (Prepared::RsaPrivate(key), true) => Ok(key.modulus_bytes()),
        (Prepared::RsaPublic(key), false) => Ok(key.modulus_bytes()),
        _ => Err(Rv(CKR_KEY_TYPE_INCONSISTENT)),
    }
}

/// RFC 8032 has no Ed25519ctx without a context.
fn variant(context: &[u8]) -> Variant<'_> {
    match context {
        [] => Variant::Pure,
        context => Variant::Context(context),
    }
}

/// Whether keys of a type make HMACs with a hash: generic secrets, and keys made for it.
pub(crate) fn is_hmac_key(key_type: u32, hash: Hash) -> bool {
    matches!(key_type, CKK_GENERIC_SECRET | CKK_HKDF)
        || hash::of_key_type(key_type).is_some_and(|row| row.hash == hash)
}
