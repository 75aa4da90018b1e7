//! Why a file was not imported, and what to do about it.

use pkcs8::ObjectIdentifier;
use x509_cert::der;

use super::super::new::NewError;
use super::MAX_FILE_BYTES;

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
    /// More than one PEM block.
    #[error("the file holds {0} PEM blocks, and an import is one object")]
    SeveralBlocks(usize),
    /// EC parameters in a block of their own before the key's, as `openssl ecparam -genkey` writes.
    #[error("the file holds EC parameters in a PEM block of their own")]
    EcParameters,
    /// A PEM block without its end.
    #[error("the PEM block has no END line: the file is cut short")]
    PemCutShort,
    /// Text after the END line, or an END line that names something else than the BEGIN line.
    #[error("the PEM block does not end with the END line of its BEGIN line, or text follows it")]
    PemEnd,
    /// A BEGIN line that is none.
    #[error("the BEGIN line of the PEM block is malformed or does not stand on a line of its own")]
    PemBegin,
    /// Bad characters, line lengths or padding inside a PEM block.
    #[error("the base64 of the PEM block is malformed: bad characters, line lengths or padding")]
    PemBase64,
    /// A file under a password, and no password.
    #[error("the file is encrypted, and no password for it was given")]
    Encrypted,
    /// A private key under a password in openssl's own, old way.
    #[error("the private key is encrypted in the traditional way, which is not read")]
    EncryptedTraditional,
    /// Encryption, key derivation or a MAC of an algorithm that is not read, and what to do.
    #[error("the file is protected by {}, which is not read", algorithm(.0))]
    Cipher(ObjectIdentifier, &'static str),
    /// The password does not open it.
    #[error("the password does not open the file: it is another one, or the file is damaged")]
    Password,
    /// The password is not UTF-8, which PKCS#12 needs.
    #[error("the password is not text in UTF-8")]
    PasswordText,
    /// More key derivation than one file may cost, rounds.
    #[error("the file asks for more than {0} rounds of key derivation")]
    Work(u64),
    /// A store without anything.
    #[error("the PKCS#12 store holds neither a key nor a certificate")]
    Nothing,
    /// One id for several keys, or several certificates without a key.
    #[error("the PKCS#12 store holds {0} objects that -id could be for")]
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

const REENCODE: &str =
    "rewrite it with 'openssl pkey -in FILE -out NEWFILE', and -pubin -pubout for a public key";
const COPY_AGAIN: &str = "copy the file from its source again";

impl ImportError {
    /// What to do about it, for the line after the message; without full stop. `FILE` and `NEWFILE` stand for names.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::EmptyFile | Self::PemCutShort => COPY_AGAIN,
            Self::FileTooLarge(_) => "store large data encrypted elsewhere and its key here",
            Self::Unrecognised => {
                "keys are PEM or DER (PKCS#8, SPKI, X.509); with -type aes, generic or data the \
                 file's bytes are taken as they are"
            }
            Self::SeveralBlocks(_) => "put each block into a file of its own and import each",
            Self::EcParameters => "drop them with 'openssl pkey -in FILE -out NEWFILE'",
            Self::PemEnd => "remove what follows the END line",
            Self::PemBegin | Self::PemBase64 | Self::Parameters => REENCODE,
            Self::Encrypted => "give it with -filepasswordfile PATH",
            Self::EncryptedTraditional => {
                "rewrite it with 'openssl pkcs8 -topk8 -v2 aes256 -in FILE -out NEWFILE', which asks \
                 for the password"
            }
            Self::Cipher(_, advice) => advice,
            Self::Password => "see whether openssl opens it with the same password",
            Self::PasswordText => "write the password file in UTF-8",
            Self::Work(_) => {
                "rewrite it with fewer: -iter of 'openssl pkcs8' and 'openssl pkcs12', 600000 is plenty"
            }
            Self::Nothing => "see what 'openssl pkcs12 -info -in FILE -noout' says is in it",
            Self::SeveralForId(_) => "leave -id out; each key then gets an id of its own",
            Self::NotImported(_, hint) => hint,
            Self::Der { fault, .. } => match fault {
                Fault::CutShort => COPY_AGAIN,
                Fault::TrailingData => "remove what follows the object; an import is one object",
                Fault::NotCanonical => REENCODE,
                Fault::Value | Fault::Structure => {
                    "see whether 'openssl pkey -in FILE -noout' or 'openssl x509 -in FILE -noout' \
                     can read it"
                }
            },
            Self::Algorithm(_) => "slotfs has RSA, EC, Ed25519 and X25519 keys",
            Self::NoCurve => {
                "it is meant to be read with parameters from elsewhere; export it as PKCS#8"
            }
            Self::ExplicitCurve => {
                "rewrite it with 'openssl pkey -in FILE -ec_param_enc named_curve -out NEWFILE', and \
                 -pubin -pubout for a public key"
            }
            Self::Compressed => {
                "rewrite it with 'openssl ec -in FILE -conv_form uncompressed -out NEWFILE', and \
                 -pubin -pubout for a public key"
            }
            Self::Curve(_) => "make the key on one of these",
            Self::RsaBits(_) => "make a key of 2048 bits or more",
            Self::RsaPrimes => "make a key of two primes",
            Self::PrivateValue(_)
            | Self::PublicKeyForm
            | Self::NotOnCurve(_)
            | Self::RsaNumber(_)
            | Self::Inconsistent => {
                "see what 'openssl pkey -in FILE -check -noout' says and get the key from its \
                 source again"
            }
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

/// An algorithm's name where one is likely to be met, else its identifier.
fn algorithm(oid: &ObjectIdentifier) -> String {
    const NAMES: &[(ObjectIdentifier, &str)] = &[
        (
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"),
            "RSASSA-PSS",
        ),
        (ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"), "DSA"),
        (ObjectIdentifier::new_unwrap("1.2.840.113549.1.3.1"), "DH"),
        (
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.3"),
            "MD5 and DES (PBES1)",
        ),
        (
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.10"),
            "SHA-1 and DES (PBES1)",
        ),
        (
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.14"),
            "PBMAC1",
        ),
        (ObjectIdentifier::new_unwrap("1.2.840.113549.3.7"), "3DES"),
        (
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3"),
            "3DES",
        ),
        (
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.5"),
            "RC2",
        ),
        (
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.6"),
            "RC2 of 40 bits",
        ),
        (
            ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11591.4.11"),
            "scrypt",
        ),
        (ObjectIdentifier::new_unwrap("1.3.101.111"), "X448"),
        (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448"),
    ];
    match NAMES.iter().find(|row| row.0 == *oid) {
        Some((_, name)) => (*name).to_owned(),
        None => oid.to_string(),
    }
}
