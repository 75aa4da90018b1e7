//! Why a file was not imported, and what the user can do about it.

use std::fmt;

use pkcs8::ObjectIdentifier;
use x509_cert::der;

use super::MAX_FILE_BYTES;
use super::foreign::KINDS;
use super::names::{is_legacy, name};
use slotfs_object::new::NewError;

/// Why a file was not imported. Holds nothing of the file except algorithm identifiers, sizes and offsets.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file of no bytes.
    #[error("the file is empty")]
    EmptyFile,
    /// More than [`MAX_FILE_BYTES`].
    #[error("the file has {0} bytes; the limit is {MAX_FILE_BYTES}")]
    FileTooLarge(usize),
    /// A file with a fault that needs no further data: the message, and the hint.
    #[error("{0}")]
    Refused(&'static str, &'static str),
    /// A known kind of file, or of entry in a store, that slotfs does not support: its name, and the hint.
    #[error("{0} cannot be imported")]
    Unsupported(&'static str, &'static str),
    /// The error of one of several PEM blocks, or lines.
    #[error("block {block} (line {line}): {error}")]
    Block {
        /// The number of the block, from 1.
        block: usize,
        /// The line where it begins, from 1.
        line: usize,
        /// Why it was not imported.
        error: Box<ImportError>,
    },
    /// An encrypted file, and no password.
    #[error("the file is encrypted and no password was given")]
    Encrypted,
    /// A private key in OpenSSL's traditional encryption: its cipher, and whether openssl 3 has the cipher only in
    /// its legacy provider.
    #[error(
        "the private key is encrypted in OpenSSL's traditional format with {0}, which is not supported"
    )]
    EncryptedTraditional(&'static str, bool),
    /// Encryption, key derivation or a MAC of an algorithm that is not supported.
    #[error("the file is protected with {}, which is not supported", name(.0))]
    Cipher(ObjectIdentifier, Container),
    /// The password does not open the file.
    #[error("the password is wrong, or the file is damaged")]
    Password,
    /// The password is not UTF-8, which PKCS#12 needs.
    #[error("the password is not valid UTF-8")]
    PasswordText,
    /// More rounds of key derivation than the limit, which is given.
    #[error("the file needs more than {0} rounds of key derivation")]
    Work(u64, Container),
    /// A store in which nothing can be imported.
    #[error("the PKCS#12 store holds nothing that can be imported: {}", list(.0))]
    NothingElse(Vec<LeftOut>),
    /// One id for several keys, or for several certificates without a key.
    #[error("-id could apply to {0} objects in the file")]
    SeveralForId(usize),
    /// DER that is not the structure it should be.
    #[error("the {what} {fault}{}", at(.offset))]
    Der {
        /// The structure being read.
        what: &'static str,
        /// What is wrong with it.
        fault: Fault,
        /// Offset in the structure, bytes, if known.
        offset: Option<u32>,
    },
    /// An algorithm that slotfs has no key type for.
    #[error("keys of algorithm {} are not supported", name(.0))]
    Algorithm(ObjectIdentifier),
    /// A curve that slotfs does not know.
    #[error("curve {0} is not supported; P-256, P-384, P-521 and secp256k1 are")]
    Curve(ObjectIdentifier),
    /// A private value that does not exist on the curve, or has the wrong size.
    #[error("the private value is not valid on curve {0}")]
    PrivateValue(&'static str),
    /// A point that does not satisfy the curve's equation.
    #[error("the public key is not a point on curve {0}")]
    NotOnCurve(&'static str),
    /// Not a size of RSA keys, bits.
    #[error("the RSA modulus has {0} bits; 1024 to 8192 are supported")]
    RsaBits(usize),
    /// An even RSA modulus, or a public exponent that is even or out of range.
    #[error("the RSA {0} is not valid")]
    RsaNumber(&'static str),
    /// An error of new objects in general.
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
    /// A negative number, an unknown version, an impossible date.
    #[error("holds an invalid number or date")]
    Value,
    /// Another structure.
    #[error("has the wrong structure")]
    Structure,
}

/// The kind of an encrypted file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// A private key in PKCS#8.
    Pkcs8,
    /// A PKCS#12 store.
    Pkcs12,
    /// A private key in OpenSSH's format.
    OpenSsh,
}

/// An entry that was not imported, of a store from which others were.
#[derive(Debug)]
pub struct LeftOut {
    /// Its number in the store, from 1.
    pub(super) entry: usize,
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
    let shown = left_out.iter().take(SHOWN);
    let mut texts: Vec<String> = shown.map(ToString::to_string).collect();
    if let Some(more @ 1..) = left_out.len().checked_sub(SHOWN) {
        texts.push(format!("and {more} more"));
    }
    texts.join("; ")
}

const COPY_AGAIN: &str = "copy the file from its source again";
const OTHER_SOURCE: &str = "get the file from its source again; this one is damaged or invalid";
const CONVERT: &str = "rewrite it with 'openssl pkcs8 -topk8 -v2 aes256 -in FILE -out NEWFILE', which asks for the \
     password";
const CONVERT_LEGACY: &str = "rewrite it with 'openssl pkcs8 -provider legacy -provider default -topk8 -v2 aes256 \
     -in FILE -out NEWFILE', which asks for the password";
pub(super) const EXTRACT: &str = "extract its keys and certificates with 'openssl pkcs12 -in FILE -aes256 -out NEWFILE' and \
     import that";
const EXTRACT_LEGACY: &str = "extract its keys and certificates with 'openssl pkcs12 -provider legacy -provider \
     default -in FILE -aes256 -out NEWFILE' and import that";

/// Errors without data, each with its message and hint.
impl ImportError {
    pub(super) const UNRECOGNISED: Self = Self::Refused(
        "the file is neither PEM nor DER",
        "supported are PEM and DER (PKCS#8, SPKI, X.509, PKCS#12) and OpenSSH keys; -type aes, generic or data \
         imports any bytes as they are",
    );
    pub(super) const OTHER_DER: Self = Self::Refused(
        "the file is DER, but not a key, a certificate or a store of them",
        "-type data stores its bytes",
    );
    pub(super) const PEM_BEGIN: Self = Self::Refused(
        "a PEM BEGIN or END line is malformed, or not on a line of its own",
        COPY_AGAIN,
    );
    pub(super) const PEM_CUT_SHORT: Self = Self::Refused(
        "the PEM block has no END line: the file is cut short",
        COPY_AGAIN,
    );
    pub(super) const PEM_END: Self = Self::Refused(
        "the END line of the PEM block does not match its BEGIN line",
        COPY_AGAIN,
    );
    pub(super) const PEM_EMPTY: Self = Self::Refused("the PEM block is empty", COPY_AGAIN);
    pub(super) const PEM_BASE64: Self = Self::Refused(
        "the base64 of the PEM block is malformed: bad characters or padding",
        COPY_AGAIN,
    );
    pub(super) const EMPTY_STORE: Self = Self::Refused(
        "the PKCS#12 store holds neither a key nor a certificate",
        "export the key or certificate again",
    );
    pub(super) const CERTIFICATE_DATE: Self = Self::Refused(
        "a date in the certificate does not follow RFC 5280 section 4.1.2.5 (UTC, with seconds)",
        "ask the issuer for a new certificate; -type data stores its bytes",
    );
    pub(super) const PARAMETERS: Self = Self::Refused(
        "the algorithm parameters do not fit the algorithm of the key",
        OTHER_SOURCE,
    );
    pub(super) const PUBLIC_KEY_FORM: Self = Self::Refused(
        "the public key does not have the form that its algorithm requires",
        OTHER_SOURCE,
    );
    pub(super) const INCONSISTENT: Self = Self::Refused(
        "the parts of the key do not match: it is damaged, or mixed from several keys",
        OTHER_SOURCE,
    );
    pub(super) const RSA_PRIMES: Self = Self::Refused(
        "the RSA key has more than two primes",
        "generate a key with two primes",
    );
    pub(super) const NO_CURVE: Self = Self::Refused(
        "the EC key does not name its curve",
        "export it as PKCS#8, which names the curve",
    );
    pub(super) const EXPLICIT_CURVE: Self = Self::Refused(
        "the EC key has explicit curve parameters instead of a named curve",
        "rewrite it with 'openssl pkey -in FILE -ec_param_enc named_curve -out NEWFILE', or a public key with \
         'openssl pkey -pubin -in FILE -ec_param_enc named_curve -pubout -out NEWFILE'",
    );
    pub(super) const COMPRESSED: Self = Self::Refused(
        "the public key is a compressed point",
        "rewrite it with 'openssl pkey -in FILE -ec_conv_form uncompressed -out NEWFILE', or a public key with \
         'openssl pkey -pubin -in FILE -ec_conv_form uncompressed -pubout -out NEWFILE'",
    );
}

impl ImportError {
    /// What the user can do, for the line after the message; without full stop. `FILE` and `NEWFILE` stand for names;
    /// text in quotes is a command.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::EmptyFile => COPY_AGAIN,
            Self::FileTooLarge(_) => "encrypt large data, store it elsewhere and keep its key here",
            Self::Refused(_, hint) | Self::Unsupported(_, hint) => hint,
            Self::Block { error, .. } => return error.hint(),
            Self::Encrypted => "give the password with -filepasswordfile PATH",
            Self::EncryptedTraditional(_, false) => CONVERT,
            Self::EncryptedTraditional(_, true) => CONVERT_LEGACY,
            Self::Cipher(oid, container) => match (container, is_legacy(oid)) {
                (Container::Pkcs12, false) => EXTRACT,
                (Container::Pkcs12, true) => EXTRACT_LEGACY,
                (Container::Pkcs8 | Container::OpenSsh, false) => CONVERT,
                (Container::Pkcs8 | Container::OpenSsh, true) => CONVERT_LEGACY,
            },
            Self::Password => "give the password that the file was encrypted with",
            Self::PasswordText => "write the password file in UTF-8",
            Self::Work(_, container) => match container {
                Container::Pkcs8 => {
                    "rewrite it with 'openssl pkcs8 -topk8 -v2 aes256 -iter 600000 -in FILE -out NEWFILE'"
                }
                Container::Pkcs12 => {
                    "write it again with fewer rounds, such as -iter 600000 of openssl pkcs12 -export"
                }
                Container::OpenSsh => {
                    "change it with 'ssh-keygen -p -a 100 -f FILE', which asks for the password"
                }
            },
            Self::NothingElse(left_out) => left_out.first()?.why.hint()?,
            Self::SeveralForId(_) => "omit -id; each key then gets an id of its own",
            Self::Der {
                what: "certificate",
                fault: Fault::NotCanonical | Fault::Value | Fault::Structure,
                ..
            } => "it does not follow RFC 5280 section 4.1; ask the issuer for a new certificate",
            Self::Der { fault, .. } => match fault {
                Fault::CutShort => COPY_AGAIN,
                Fault::TrailingData => "remove the bytes after the object",
                Fault::NotCanonical | Fault::Value | Fault::Structure => OTHER_SOURCE,
            },
            Self::Algorithm(_) => KINDS,
            Self::Curve(_) => "generate the key on one of these curves",
            Self::RsaBits(_) => "generate a key of 2048 bits or more",
            Self::PrivateValue(_) | Self::NotOnCurve(_) | Self::RsaNumber(_) => OTHER_SOURCE,
            Self::New(error) => return error.hint(),
        })
    }

    /// Adds number and line of the block that failed, in a file of several.
    pub(super) fn in_block(self, place: Option<(usize, usize)>) -> Self {
        let Some((block, line)) = place else {
            return self;
        };
        let error = Box::new(self);
        Self::Block { block, line, error }
    }

    /// A fault in `what` at no known offset.
    pub(super) const fn fault(what: &'static str, fault: Fault) -> Self {
        let offset = None;
        Self::Der {
            what,
            fault,
            offset,
        }
    }

    /// An error of the `der` crate from reading `what`, without the bytes that some of its kinds carry.
    pub(super) fn der(what: &'static str) -> impl Fn(der::Error) -> Self {
        use der::ErrorKind as Kind;
        move |error| Self::Der {
            what,
            fault: match error.kind() {
                Kind::Incomplete { .. } => Fault::CutShort,
                Kind::TrailingData { .. } => Fault::TrailingData,
                Kind::Noncanonical { .. } | Kind::IndefiniteLength | Kind::SetOrdering => {
                    Fault::NotCanonical
                }
                Kind::Value { .. } | Kind::DateTime => Fault::Value,
                // The enum is non-exhaustive; its other kinds mean another element than expected.
                _ => Fault::Structure,
            },
            offset: error.position().map(u32::from),
        }
    }
}

fn at(offset: &Option<u32>) -> String {
    match offset {
        Some(offset) => format!(" (byte {offset})"),
        None => String::new(),
    }
}
