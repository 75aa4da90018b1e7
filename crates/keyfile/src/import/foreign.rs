//! Files that slotfs recognises by label, text or structure and does not import. Each gets a name and a hint.

use x509_cert::der::Tag;

use super::elements::{Elements, context};
use super::error::ImportError;

/// A kind of file, and what the user can do with it.
type Kind = (&'static str, &'static str);

pub(super) const KINDS: &str = "slotfs supports RSA, EC, Ed25519 and X25519 keys";
pub(super) const DSA: ImportError = ImportError::Unsupported(DSA_KEY.0, DSA_KEY.1);

const DSA_KEY: Kind = ("a DSA key", KINDS);
const PARAMETERS: Kind = (
    "a file with DSA or Diffie-Hellman parameters and no key",
    "remove the parameters from the file: a slot holds keys and certificates",
);
const REQUEST: Kind = (
    "a certificate request",
    "import the certificate that the issuer returns",
);
const REVOCATIONS: Kind = (
    "a certificate revocation list",
    "slots hold certificates, not revocation lists; -type data stores its bytes",
);
const OPENPGP: Kind = (
    "an OpenPGP key or message",
    "slotfs does not support OpenPGP; -type data stores its bytes",
);
const JAVA: Kind = (
    "a Java key store of type JKS or JCEKS",
    "store its keys as PKCS#12 with the program that made it",
);
const TRUSTED: Kind = (
    "an OpenSSL trusted certificate",
    "rewrite it with 'openssl x509 -in FILE -out NEWFILE'",
);
const EC_PARAMETERS: Kind = (
    "a file with EC parameters and no key",
    "import the file of the key",
);
const DOMAIN_KEY: Kind = (
    "a domain key file",
    "use it with -domainkey of 'partition init'; a domain is not an object",
);
const UNKNOWN_LABEL: Kind = (
    "a PEM block with an unknown label",
    "supported labels are PRIVATE KEY, ENCRYPTED PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY, OPENSSH PRIVATE KEY, \
     PUBLIC KEY, RSA PUBLIC KEY, CERTIFICATE, PKCS7 and PKCS12",
);
const PUTTY: Kind = (
    "a PuTTY private key",
    "rewrite it with 'puttygen FILE -O private-openssh-new -o NEWFILE'",
);
const SSH2: Kind = (
    "an SSH2 public key",
    "rewrite it with 'ssh-keygen -i -f FILE > NEWFILE'",
);
const JSON: Kind = (
    "a JSON file, such as a JWK,",
    "write the key as PKCS#8, PEM or DER, with the program that made it",
);
const BASE64: Kind = (
    "base64 without BEGIN and END lines",
    "decode it with 'base64 -d FILE > NEWFILE'",
);
const MESSAGE: Kind = (
    "a PKCS#7 message without certificates",
    "import the certificates or keys that it was made of",
);

/// Labels of PEM blocks.
const LABELS: &[(&[u8], Kind)] = &[
    (b"TRUSTED CERTIFICATE", TRUSTED),
    (b"CERTIFICATE REQUEST", REQUEST),
    (b"NEW CERTIFICATE REQUEST", REQUEST),
    (b"X509 CRL", REVOCATIONS),
    (b"DSA PRIVATE KEY", DSA_KEY),
    (b"EC PARAMETERS", EC_PARAMETERS),
    (b"DSA PARAMETERS", PARAMETERS),
    (b"DH PARAMETERS", PARAMETERS),
    (b"X9.42 DH PARAMETERS", PARAMETERS),
    (b"PGP PRIVATE KEY BLOCK", OPENPGP),
    (b"PGP PUBLIC KEY BLOCK", OPENPGP),
    (b"PGP MESSAGE", OPENPGP),
    (b"SLOTFS DOMAIN KEY", DOMAIN_KEY),
];

/// The first bytes of other files.
const BEGINNINGS: &[(&[u8], Kind)] = &[
    (b"PuTTY-User-Key-File-", PUTTY),
    (b"---- BEGIN SSH2 PUBLIC KEY ----", SSH2),
    (b"\xfe\xed\xfe\xed", JAVA),
    (b"\xce\xce\xce\xce", JAVA),
    (b"{", JSON),
    // A SEQUENCE of 256 bytes or more.
    (b"MII", BASE64),
];

/// Ciphers of OpenSSL's traditional encryption: names in `DEK-Info`, and whether openssl 3 has the cipher only in its
/// legacy provider.
const TRADITIONAL: &[(&str, bool)] = &[
    ("AES-128-CBC", false),
    ("AES-192-CBC", false),
    ("AES-256-CBC", false),
    ("DES-EDE3-CBC", false),
    ("DES-EDE-CBC", false),
    ("CAMELLIA-128-CBC", false),
    ("CAMELLIA-192-CBC", false),
    ("CAMELLIA-256-CBC", false),
    ("ARIA-256-CBC", false),
    ("DES-CBC", true),
    ("DES-CFB", true),
    ("RC2-CBC", true),
    ("RC2-40-CBC", true),
    ("RC2-64-CBC", true),
    ("BF-CBC", true),
    ("CAST5-CBC", true),
    ("IDEA-CBC", true),
    ("SEED-CBC", true),
];

fn unsupported((what, hint): Kind) -> ImportError {
    ImportError::Unsupported(what, hint)
}

/// The error of a PEM block whose label is not imported. It does not show the label, which may be any text between two
/// dashes.
pub(super) fn error_of_label(label: &[u8]) -> ImportError {
    let known = LABELS.iter().find(|row| row.0 == label);
    unsupported(known.map_or(UNKNOWN_LABEL, |row| row.1))
}

/// The error of a file that is not DER and has no PEM block.
pub(super) fn error_of_beginning(file: &[u8]) -> ImportError {
    let start = file.trim_ascii_start();
    let known = BEGINNINGS.iter().find(|row| start.starts_with(row.0));
    known.map_or(ImportError::UNRECOGNISED, |row| unsupported(row.1))
}

/// The error of a PEM block whose headers (RFC 1421) announce OpenSSL's traditional encryption.
pub(super) fn error_of_headers(headers: &[&[u8]]) -> Option<ImportError> {
    let value = |name: &[u8]| {
        let mut values = headers.iter().filter_map(|line| line.strip_prefix(name));
        values.next().map(<[u8]>::trim_ascii)
    };
    if !value(b"Proc-Type:")?.ends_with(b"ENCRYPTED") {
        return None;
    }
    let cipher = value(b"DEK-Info:").and_then(|info| info.split(|byte| *byte == b',').next());
    let known = TRADITIONAL
        .iter()
        .find(|row| cipher == Some(row.0.as_bytes()));
    let (name, is_legacy) = *known.unwrap_or(&("an unknown cipher", true));
    Some(ImportError::EncryptedTraditional(name, is_legacy))
}

/// The error of DER that has a known structure and is neither a key nor a certificate.
pub(super) fn error_of_der(der: &[u8]) -> Option<ImportError> {
    const INTEGER: Tag = Tag::Integer;
    const SEQUENCE: Tag = Tag::Sequence;
    let kind = match &tags(der)?[..] {
        // OpenSSL's own form: version, p, q, g, public key, private key.
        [INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER] => DSA_KEY,
        [INTEGER, INTEGER] | [INTEGER, INTEGER, INTEGER] => PARAMETERS,
        [SEQUENCE, SEQUENCE, Tag::BitString] => {
            let mut outer = Elements::of_sequence(der, "DER file").ok()?;
            match &tags(outer.element(SEQUENCE).ok()?)?[..] {
                [INTEGER, SEQUENCE, SEQUENCE] | [INTEGER, SEQUENCE, SEQUENCE, _] => REQUEST,
                [SEQUENCE, SEQUENCE, time, ..] | [INTEGER, SEQUENCE, SEQUENCE, time, ..]
                    if matches!(time, Tag::UtcTime | Tag::GeneralizedTime) =>
                {
                    REVOCATIONS
                }
                _ => return None,
            }
        }
        [Tag::ObjectIdentifier, inside] if *inside == context(0) => MESSAGE,
        _ => return None,
    };
    Some(unsupported(kind))
}

/// The tags of the elements of the single SEQUENCE that `der` holds.
fn tags(der: &[u8]) -> Option<Vec<Tag>> {
    let mut inside = Elements::of_sequence(der, "DER file").ok()?;
    let mut tags = Vec::new();
    while !inside.is_finished() {
        let tag = inside.peek()?;
        inside.next(tag).ok()?;
        tags.push(tag);
    }
    Some(tags)
}
