//! What people have and slotfs does not import: known by label, text or structure, to be named with a way out.

use x509_cert::der::Tag;

use super::elements::{Elements, context};
use super::error::ImportError;

/// PEM labels: what each is, and what to do.
const LABELS: &[(&[u8], &str, &str)] = &[
    (
        b"TRUSTED CERTIFICATE",
        "an OpenSSL trusted certificate",
        "rewrite it with 'openssl x509 -in FILE -out NEWFILE'",
    ),
    (b"CERTIFICATE REQUEST", REQUEST.0, REQUEST.1),
    (b"NEW CERTIFICATE REQUEST", REQUEST.0, REQUEST.1),
    (b"X509 CRL", REVOCATIONS.0, REVOCATIONS.1),
    (b"DSA PRIVATE KEY", DSA_KEY.0, DSA_KEY.1),
    (
        b"EC PARAMETERS",
        "EC parameters without a key",
        "import the file of the key",
    ),
    (b"DSA PARAMETERS", PARAMETERS.0, PARAMETERS.1),
    (b"DH PARAMETERS", PARAMETERS.0, PARAMETERS.1),
    (b"X9.42 DH PARAMETERS", PARAMETERS.0, PARAMETERS.1),
    (b"PGP PRIVATE KEY BLOCK", OPENPGP.0, OPENPGP.1),
    (b"PGP PUBLIC KEY BLOCK", OPENPGP.0, OPENPGP.1),
    (b"PGP MESSAGE", OPENPGP.0, OPENPGP.1),
    (
        b"SLOTFS DOMAIN KEY",
        "a domain key file",
        "it is what -domainkey of 'partition init' asks for; a domain is no object",
    ),
];

pub(super) const KINDS: &str = "slotfs has RSA, EC, Ed25519 and X25519 keys";
pub(super) const DSA_KEY: (&str, &str) = ("a DSA key", KINDS);
const PARAMETERS: (&str, &str) = (
    "parameters of DSA or Diffie-Hellman, without a key",
    "take them out of the file: a slot holds keys and certificates",
);
const REQUEST: (&str, &str) = (
    "a certificate request",
    "import the certificate that comes back from it",
);
const REVOCATIONS: (&str, &str) = (
    "a certificate revocation list",
    "slots hold certificates, not revocation lists; -type data stores its bytes",
);
const OPENPGP: (&str, &str) = (
    "an OpenPGP key or message",
    "slotfs has no OpenPGP keys; -type data stores its bytes",
);

/// How text or bytes of other kinds begin: what each is, and what to do.
const BEGINNINGS: &[(&[u8], &str, &str)] = &[
    (
        b"PuTTY-User-Key-File-",
        "a PuTTY private key",
        "rewrite it with 'puttygen FILE -O private-openssh-new -o NEWFILE'",
    ),
    (
        b"---- BEGIN SSH2 PUBLIC KEY ----",
        "an SSH2 public key",
        "rewrite it with 'ssh-keygen -i -f FILE > NEWFILE'",
    ),
    (b"\xfe\xed\xfe\xed", JAVA.0, JAVA.1),
    (b"\xce\xce\xce\xce", JAVA.0, JAVA.1),
    (
        b"{",
        "JSON, perhaps a JWK",
        "write the key as PKCS#8, PEM or DER, with the program that made it",
    ),
    // A SEQUENCE of 256 bytes or more.
    (
        b"MII",
        "base64 without BEGIN and END lines",
        "decode it with 'base64 -d FILE > NEWFILE'",
    ),
];
const JAVA: (&str, &str) = (
    "a Java key store of the kind JKS or JCEKS",
    "store its keys as PKCS#12 with the program that made it",
);

/// openssl's old encryption: names in `DEK-Info`, and whether openssl 3 keeps the cipher apart.
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

/// Of a PEM block of a label that is not imported. The label itself is not shown: it may be anything that stands
/// between two dashes.
pub(super) fn of_label(label: &[u8]) -> ImportError {
    match LABELS.iter().find(|row| row.0 == label) {
        Some((_, what, hint)) => ImportError::NotImported(what, hint),
        None => ImportError::NotImported(
            "a PEM block of a label that slotfs does not know",
            "PRIVATE KEY, ENCRYPTED PRIVATE KEY, RSA PRIVATE KEY, EC PRIVATE KEY, OPENSSH PRIVATE KEY, PUBLIC KEY, \
             RSA PUBLIC KEY, CERTIFICATE, PKCS7 and PKCS12 are known",
        ),
    }
}

/// Of a file that is neither DER nor has a PEM block.
pub(super) fn of_beginning(file: &[u8]) -> ImportError {
    let start = file.trim_ascii_start();
    match BEGINNINGS.iter().find(|row| start.starts_with(row.0)) {
        Some((_, what, hint)) => ImportError::NotImported(what, hint),
        None => ImportError::Unrecognised,
    }
}

/// Of a PEM block with headers of RFC 1421: the old encryption, or nothing to object to.
pub(super) fn of_headers(headers: &[&[u8]]) -> Option<ImportError> {
    let value = |name: &[u8]| {
        let mut values = headers.iter().filter_map(|line| line.strip_prefix(name));
        values.next().map(<[u8]>::trim_ascii)
    };
    let kind = value(b"Proc-Type:")?;
    if !kind.ends_with(b"ENCRYPTED") {
        return None;
    }
    let cipher = value(b"DEK-Info:").and_then(|info| info.split(|byte| *byte == b',').next());
    let known = TRADITIONAL
        .iter()
        .find(|row| cipher.is_some_and(|cipher| cipher == row.0.as_bytes()));
    let (name, apart) = *known.unwrap_or(&("a cipher that slotfs does not know", true));
    Some(ImportError::EncryptedTraditional(name, apart))
}

/// Of DER that has the structure of something else than a key or certificate.
pub(super) fn of_der(der: &[u8]) -> Option<ImportError> {
    let tags = tags(der)?;
    let (what, hint) = match &tags[..] {
        // Version, p, q, g, public key, private key (openssl's own form).
        [Tag::Integer, ..] if tags.len() == 6 && tags.iter().all(|tag| *tag == Tag::Integer) => {
            DSA_KEY
        }
        [Tag::Integer, Tag::Integer] | [Tag::Integer, Tag::Integer, Tag::Integer] => PARAMETERS,
        [Tag::Sequence, Tag::Sequence, Tag::BitString] => {
            let mut outer = Elements::of_sequence(der, "DER file").ok()?;
            match &self::tags(outer.element(Tag::Sequence).ok()?)?[..] {
                [Tag::Integer, Tag::Sequence, Tag::Sequence]
                | [Tag::Integer, Tag::Sequence, Tag::Sequence, _] => REQUEST,
                [Tag::Sequence, Tag::Sequence, time, ..]
                | [Tag::Integer, Tag::Sequence, Tag::Sequence, time, ..]
                    if matches!(time, Tag::UtcTime | Tag::GeneralizedTime) =>
                {
                    REVOCATIONS
                }
                _ => return None,
            }
        }
        [Tag::ObjectIdentifier, inside] if *inside == context(0) => (
            "a PKCS#7 message without certificates",
            "import the certificates or keys that it was made of",
        ),
        _ => return None,
    };
    Some(ImportError::NotImported(what, hint))
}

/// The tags of the elements in a SEQUENCE, when it is nothing else from its first byte to its last.
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
