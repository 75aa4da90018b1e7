//! Why a file was not imported, and what to do about it.

use std::fmt;

use pkcs8::ObjectIdentifier;
use x509_cert::der;

use super::MAX_FILE_BYTES;
use super::foreign::{DSA_KEY, KINDS};
use slotfs_object::new::NewError;

/// Why a file was not imported. Holds nothing of the file but algorithm identifiers, sizes and offsets.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file of no bytes.
    #[error("the file is empty")]
    EmptyFile,
    /// More than [`MAX_FILE_BYTES`].
    #[error(
        "the file has {0} bytes, more than the {MAX_FILE_BYTES} that an object's file may have"
    )]
    FileTooLarge(usize),
    /// Neither PEM nor DER.
    #[error("the file is neither PEM nor DER")]
    Unrecognised,
    /// What one of several PEM blocks, or lines, fails by: its number and line, from 1.
    #[error("block {block} (line {line}): {error}")]
    Block {
        /// The number of the block.
        block: usize,
        /// The line where it begins.
        line: usize,
        /// Why it is not imported.
        error: Box<ImportError>,
    },
    /// A PEM block without its end.
    #[error("the PEM block has no END line: the file is cut short")]
    PemCutShort,
    /// An END line that names something else than the BEGIN line, or is malformed.
    #[error("the PEM block does not end with the END line of its BEGIN line")]
    PemEnd,
    /// Nothing between BEGIN and END.
    #[error("the PEM block is empty")]
    PemEmpty,
    /// A BEGIN line that is none.
    #[error("a BEGIN or END line of PEM is malformed, or does not stand on a line of its own")]
    PemBegin,
    /// Bad characters or padding inside a PEM block.
    #[error("the base64 of the PEM block is malformed: bad characters or padding")]
    PemBase64,
    /// A file under a password, and no password.
    #[error("the file is encrypted, and no password for it was given")]
    Encrypted,
    /// A private key under a password in openssl's own, old way: its cipher, and whether openssl 3 has that in its
    /// legacy provider alone.
    #[error("the private key is encrypted in the traditional way by {0}, which is not read")]
    EncryptedTraditional(&'static str, bool),
    /// Encryption, key derivation or a MAC of an algorithm that is not read.
    #[error("the file is protected by {}, which is not read", algorithm(.0))]
    Cipher(ObjectIdentifier, Container),
    /// The password does not open it.
    #[error("the password does not open the file: it is another one, or the file is damaged")]
    Password,
    /// The password is not UTF-8, which PKCS#12 needs.
    #[error("the password is not text in UTF-8")]
    PasswordText,
    /// More key derivation than one file may cost, rounds; and what to do.
    #[error("the file asks for more than {0} rounds of key derivation")]
    Work(u64, &'static str),
    /// A store without anything.
    #[error("the PKCS#12 store holds neither a key nor a certificate")]
    Nothing,
    /// A store of which nothing can be imported.
    #[error("the PKCS#12 store holds nothing that is imported: {}", list(.0))]
    NothingElse(Vec<LeftOut>),
    /// A known kind of entry of a store that is not imported: its name, and what to do.
    #[error("it is {0}, which is not imported")]
    Entry(&'static str, &'static str),
    /// One id for several keys, or several certificates without a key.
    #[error("the file holds {0} objects that -id could be for")]
    SeveralForId(usize),
    /// A known kind of file that is not imported: its name, and what to do.
    #[error("the file is {0}, which is not imported")]
    NotImported(&'static str, &'static str),
    /// DER that is not the structure it must be: what it should be, what is wrong, the offset.
    #[error("the {what} {fault}{}", at(.offset))]
    Der {
        /// The structure being read.
        what: &'static str,
        /// What is wrong with it.
        fault: Fault,
        /// Offset in the structure, bytes, when known.
        offset: Option<u32>,
    },
    /// A date that RFC 5280 does not allow.
    #[error(
        "a date of the certificate does not have the form of RFC 5280 section 4.1.2.5: UTC, to the second"
    )]
    CertificateDate,
    /// DER of no form that is known.
    #[error("the file is DER, but neither a key nor a certificate nor a store of them")]
    OtherDer,
    /// An algorithm that slotfs has no key type for.
    #[error("keys of algorithm {} are not imported", algorithm(.0))]
    Algorithm(ObjectIdentifier),
    /// Algorithm parameters that the algorithm does not have.
    #[error("the key's algorithm parameters are not those of its algorithm")]
    Parameters,
    /// An EC key that does not say its curve.
    #[error("the EC key does not name its curve")]
    NoCurve,
    /// An EC key that describes its curve by numbers instead of naming it.
    #[error("the EC key spells out its curve instead of naming it")]
    ExplicitCurve,
    /// A curve that slotfs does not know.
    #[error("the curve {0} is none of P-256, P-384, P-521 and secp256k1")]
    Curve(ObjectIdentifier),
    /// An EC private key of a size or value that its curve does not have.
    #[error("the private value is not one of the curve {0}")]
    PrivateValue(&'static str),
    /// A public key that is not an uncompressed point, or not whole bytes of the right number.
    #[error("the public key does not have the form that its algorithm asks for")]
    PublicKeyForm,
    /// A point that does not satisfy its curve's equation.
    #[error("the public key is not a point of the curve {0}")]
    NotOnCurve(&'static str),
    /// A compressed EC point.
    #[error("the public key is a compressed point")]
    Compressed,
    /// Not a size of RSA keys, bits.
    #[error("the RSA modulus has {0} bits, not 1024 to 8192")]
    RsaBits(usize),
    /// An RSA modulus that is a multiple of two, or an exponent out of range.
    #[error("the RSA {0} is not a possible one")]
    RsaNumber(&'static str),
    /// More than two primes.
    #[error("the RSA key has more than two primes")]
    RsaPrimes,
    /// Parts of a key that do not belong together.
    #[error("the parts of the key do not belong together: it is damaged, or mixed from several")]
    Inconsistent,
    /// What any new object can fail by.
    #[error(transparent)]
    New(#[from] NewError),
}

/// What is wrong with DER.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Ends before it should.
    #[error("is cut short")]
    CutShort,
    /// Goes on after its end.
    #[error("has bytes after its end")]
    TrailingData,
    /// BER that DER forbids: long lengths, leading zeros, indefinite lengths.
    #[error("is not canonical DER")]
    NotCanonical,
    /// A negative number, a version of no meaning, a date that is none.
    #[error("holds a number or date that cannot be there")]
    Value,
    /// Another structure.
    #[error("does not have the form of one")]
    Structure,
}

/// What is under a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// A private key in PKCS#8.
    Pkcs8,
    /// A PKCS#12 store.
    Pkcs12,
}

/// One entry of a store that is not imported, where others are.
#[derive(Debug)]
pub struct LeftOut {
    /// Its number in the store, from 1.
    pub entry: usize,
    /// Why.
    pub why: ImportError,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry {}: {}", self.entry, self.why)
    }
}

/// The first few of them.
fn list(left_out: &[LeftOut]) -> String {
    const SHOWN: usize = 4;
    let mut texts: Vec<String> = left_out
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    if let Some(more @ 1..) = left_out.len().checked_sub(SHOWN) {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}

const COPY_AGAIN: &str = "copy the file from its source again";
const OTHER_SOURCE: &str = "it is damaged or was never right; get it from its source again";
const CONVERT: &str = "rewrite it with 'openssl pkcs8 -topk8 -v2 aes256 -in FILE -out NEWFILE', which asks for the \
     password";
const CONVERT_LEGACY: &str = "rewrite it with 'openssl pkcs8 -provider legacy -provider default -topk8 -v2 aes256 \
     -in FILE -out NEWFILE', which asks for the password";
const TAKE_OUT: &str = "take its keys and certificates out with 'openssl pkcs12 -in FILE -aes256 -out NEWFILE' and \
     import that";
const TAKE_OUT_LEGACY: &str = "take its keys and certificates out with 'openssl pkcs12 -provider legacy -provider \
     default -in FILE -aes256 -out NEWFILE' and import that";

impl ImportError {
    /// A key of the one algorithm that every format has and slotfs does not.
    pub(super) const DSA: Self = Self::NotImported(DSA_KEY.0, DSA_KEY.1);

    /// This of one of several blocks.
    pub(super) fn in_block(self, block: usize, line: usize) -> Self {
        Self::Block {
            block,
            line,
            error: Box::new(self),
        }
    }

    /// What to do about it, for the line after the message; without full stop. `FILE` and `NEWFILE` stand for names;
    /// what is in quotes is a command.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::EmptyFile
            | Self::PemBegin
            | Self::PemCutShort
            | Self::PemEnd
            | Self::PemEmpty
            | Self::PemBase64 => COPY_AGAIN,
            Self::FileTooLarge(_) => "store large data encrypted elsewhere and its key here",
            Self::Unrecognised => {
                "keys are PEM or DER (PKCS#8, SPKI, X.509, PKCS#12), or of OpenSSH; with -type aes, generic or data \
                 any bytes are taken as they are"
            }
            Self::Block { error, .. } => return error.hint(),
            Self::Encrypted => "give it with -filepasswordfile PATH",
            Self::EncryptedTraditional(_, false) => CONVERT,
            Self::EncryptedTraditional(_, true) => CONVERT_LEGACY,
            Self::Cipher(oid, container) => match (container, is_legacy(oid)) {
                (Container::Pkcs8, false) => CONVERT,
                (Container::Pkcs8, true) => CONVERT_LEGACY,
                (Container::Pkcs12, false) => TAKE_OUT,
                (Container::Pkcs12, true) => TAKE_OUT_LEGACY,
            },
            Self::Password => "give the password that the file was written with",
            Self::PasswordText => "write the password file in UTF-8",
            Self::Work(_, advice) => advice,
            Self::Nothing => "export the key or certificate into it again",
            Self::NothingElse(left_out) => left_out.first()?.why.hint()?,
            Self::SeveralForId(_) => "leave -id out; each key then gets an id of its own",
            Self::NotImported(_, hint) | Self::Entry(_, hint) => hint,
            Self::Der {
                what: "certificate",
                fault: Fault::NotCanonical,
                ..
            } => "RFC 5280 section 4.1 asks for DER; its issuer can issue it anew",
            Self::Der {
                what: "certificate",
                fault: Fault::Value | Fault::Structure,
                ..
            } => "it breaks RFC 5280 section 4.1; its issuer can issue it anew",
            Self::OtherDer => "-type data stores its bytes",
            Self::Der { fault, .. } => match fault {
                Fault::CutShort => COPY_AGAIN,
                Fault::TrailingData => "remove what follows the object",
                Fault::NotCanonical | Fault::Value | Fault::Structure => OTHER_SOURCE,
            },
            Self::CertificateDate => "its issuer can issue it anew; -type data stores its bytes",
            Self::Algorithm(_) => KINDS,
            Self::NoCurve => {
                "it is meant to be read with parameters from elsewhere; export it as PKCS#8"
            }
            Self::ExplicitCurve => {
                "rewrite it with 'openssl pkey -in FILE -ec_param_enc named_curve -out NEWFILE', or a public key \
                 with 'openssl pkey -pubin -in FILE -ec_param_enc named_curve -pubout -out NEWFILE'"
            }
            Self::Compressed => {
                "rewrite it with 'openssl pkey -in FILE -ec_conv_form uncompressed -out NEWFILE', or a public key \
                 with 'openssl pkey -pubin -in FILE -ec_conv_form uncompressed -pubout -out NEWFILE'"
            }
            Self::Curve(_) => "make the key on one of these",
            Self::RsaBits(_) => "make a key of 2048 bits or more",
            Self::RsaPrimes => "make a key of two primes",
            Self::Parameters
            | Self::PublicKeyForm
            | Self::PrivateValue(_)
            | Self::NotOnCurve(_)
            | Self::RsaNumber(_)
            | Self::Inconsistent => OTHER_SOURCE,
            Self::New(error) => return error.hint(),
        })
    }

    /// Turns an error of the `der` crate, read while reading `what`, into one without the bytes that some
    /// of its kinds carry.
    pub(super) fn der(what: &'static str) -> impl Fn(der::Error) -> Self {
        move |error| Self::Der {
            what,
            fault: fault(error.kind()),
            offset: error.position().map(u32::from),
        }
    }
}

fn fault(kind: der::ErrorKind) -> Fault {
    use der::ErrorKind as Kind;
    match kind {
        Kind::Incomplete { .. } => Fault::CutShort,
        Kind::TrailingData { .. } => Fault::TrailingData,
        Kind::Noncanonical { .. } | Kind::IndefiniteLength | Kind::SetOrdering => {
            Fault::NotCanonical
        }
        Kind::Value { .. } | Kind::DateTime => Fault::Value,
        // The kind is non-exhaustive; what is left says that something else stands there.
        _ => Fault::Structure,
    }
}

fn at(offset: &Option<u32>) -> String {
    match offset {
        Some(offset) => format!(" (byte {offset})"),
        None => String::new(),
    }
}

/// Whether openssl 3 has an algorithm in its legacy provider alone: RC2, RC4, single DES. Of what has no name here it
/// may be so.
fn is_legacy(oid: &ObjectIdentifier) -> bool {
    let known = NAMES.iter().find(|row| row.0 == *oid);
    known.is_none_or(|row| row.2)
}

/// An algorithm's name where one is likely to be met, else its identifier.
fn algorithm(oid: &ObjectIdentifier) -> String {
    match NAMES.iter().find(|row| row.0 == *oid) {
        Some((_, name, _)) => (*name).to_owned(),
        None => oid.to_string(),
    }
}

/// Algorithms that are met and not read: their names, and whether openssl 3 has them in its legacy provider alone.
const NAMES: &[(ObjectIdentifier, &str, bool)] = &[
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.6"),
        "HMAC-MD5",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.8"),
        "HMAC-SHA-224",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.12"),
        "HMAC-SHA-512/224",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.13"),
        "HMAC-SHA-512/256",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.5"),
        "SHA-512/224",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.6"),
        "SHA-512/256",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.7"),
        "SHA3-224",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.8"),
        "SHA3-256",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.9"),
        "SHA3-384",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.10"),
        "SHA3-512",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.392.200011.61.1.1.1.3"),
        "Camellia",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.410.200046.1.1.2"),
        "ARIA",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.410.200046.1.1.7"),
        "ARIA",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.410.200046.1.1.12"),
        "ARIA",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.156.10197.1.104.2"),
        "SM4",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.410.200004.1.4"),
        "SEED",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3029.1.2"),
        "Blowfish",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113533.7.66.10"),
        "CAST5",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.188.7.1.1.2"),
        "IDEA",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"),
        "RSASSA-PSS",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"),
        "DSA",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.3.1"),
        "DH",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.10046.2.1"),
        "DH",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.1"),
        "MD2 and DES (PBES1)",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.3"),
        "MD5 and DES (PBES1)",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.4"),
        "MD2 and RC2 (PBES1)",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.6"),
        "MD5 and RC2 (PBES1)",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.10"),
        "SHA-1 and DES (PBES1)",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.11"),
        "SHA-1 and RC2 (PBES1)",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.14"),
        "PBMAC1",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.1"),
        "RC4",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.2"),
        "RC4 of 40 bits",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.5"),
        "RC2",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.6"),
        "RC2 of 40 bits",
        true,
    ),
    (ObjectIdentifier::new_unwrap("1.3.14.3.2.7"), "DES", true),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.3.2"),
        "RC2",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.3.4"),
        "RC4",
        true,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.840.113549.2.5"),
        "MD5",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11591.4.11"),
        "scrypt",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.392.200011.61.1.1.1.2"),
        "Camellia",
        false,
    ),
    (
        ObjectIdentifier::new_unwrap("1.2.392.200011.61.1.1.1.4"),
        "Camellia",
        false,
    ),
    (ObjectIdentifier::new_unwrap("1.3.101.111"), "X448", false),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448", false),
];
