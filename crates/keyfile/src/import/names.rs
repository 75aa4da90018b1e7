//! Names of algorithms that key files use and slotfs does not support, for error messages.

use pkcs8::ObjectIdentifier;

use super::elements::oid;

/// The name of an algorithm; the identifier of an algorithm without a name here.
pub(super) fn name(algorithm: &ObjectIdentifier) -> String {
    match NAMES.iter().find(|row| row.0 == *algorithm) {
        Some((_, name, _)) => (*name).to_owned(),
        None => algorithm.to_string(),
    }
}

/// Whether openssl 3 has the algorithm only in its legacy provider. Assumed of an algorithm without a name here.
pub(super) fn is_legacy(algorithm: &ObjectIdentifier) -> bool {
    let known = NAMES.iter().find(|row| row.0 == *algorithm);
    known.is_none_or(|row| row.2)
}

/// Identifier, name, and whether openssl 3 has the algorithm only in its legacy provider.
const NAMES: &[(ObjectIdentifier, &str, bool)] = &[
    (oid("1.2.156.10197.1.104.2"), "SM4", false),
    (oid("1.2.392.200011.61.1.1.1.2"), "Camellia", false),
    (oid("1.2.392.200011.61.1.1.1.3"), "Camellia", false),
    (oid("1.2.392.200011.61.1.1.1.4"), "Camellia", false),
    (oid("1.2.410.200004.1.4"), "SEED", true),
    (oid("1.2.410.200046.1.1.2"), "ARIA", false),
    (oid("1.2.410.200046.1.1.7"), "ARIA", false),
    (oid("1.2.410.200046.1.1.12"), "ARIA", false),
    (oid("1.2.840.10040.4.1"), "DSA", false),
    (oid("1.2.840.10046.2.1"), "DH", false),
    (oid("1.2.840.113533.7.66.10"), "CAST5", true),
    (oid("1.2.840.113549.1.1.10"), "RSASSA-PSS", false),
    (oid("1.2.840.113549.1.3.1"), "DH", false),
    (oid("1.2.840.113549.1.5.1"), "MD2 and DES (PBES1)", true),
    (oid("1.2.840.113549.1.5.3"), "MD5 and DES (PBES1)", true),
    (oid("1.2.840.113549.1.5.4"), "MD2 and RC2 (PBES1)", true),
    (oid("1.2.840.113549.1.5.6"), "MD5 and RC2 (PBES1)", true),
    (oid("1.2.840.113549.1.5.10"), "SHA-1 and DES (PBES1)", true),
    (oid("1.2.840.113549.1.5.11"), "SHA-1 and RC2 (PBES1)", true),
    (oid("1.2.840.113549.1.5.14"), "PBMAC1", false),
    (oid("1.2.840.113549.1.12.1.1"), "RC4", true),
    (oid("1.2.840.113549.1.12.1.2"), "40-bit RC4", true),
    (oid("1.2.840.113549.1.12.1.5"), "RC2", true),
    (oid("1.2.840.113549.1.12.1.6"), "40-bit RC2", true),
    (oid("1.2.840.113549.2.5"), "MD5", false),
    (oid("1.2.840.113549.2.6"), "HMAC-MD5", false),
    (oid("1.2.840.113549.2.8"), "HMAC-SHA-224", false),
    (oid("1.2.840.113549.2.12"), "HMAC-SHA-512/224", false),
    (oid("1.2.840.113549.2.13"), "HMAC-SHA-512/256", false),
    (oid("1.2.840.113549.3.2"), "RC2", true),
    (oid("1.2.840.113549.3.4"), "RC4", true),
    (oid("1.3.6.1.4.1.188.7.1.1.2"), "IDEA", true),
    (oid("1.3.6.1.4.1.3029.1.2"), "Blowfish", true),
    (oid("1.3.6.1.4.1.11591.4.11"), "scrypt", false),
    (oid("1.3.14.3.2.7"), "DES", true),
    (oid("1.3.101.111"), "X448", false),
    (oid("1.3.101.113"), "Ed448", false),
    (oid("2.16.840.1.101.3.4.2.5"), "SHA-512/224", false),
    (oid("2.16.840.1.101.3.4.2.6"), "SHA-512/256", false),
    (oid("2.16.840.1.101.3.4.2.7"), "SHA3-224", false),
    (oid("2.16.840.1.101.3.4.2.8"), "SHA3-256", false),
    (oid("2.16.840.1.101.3.4.2.9"), "SHA3-384", false),
    (oid("2.16.840.1.101.3.4.2.10"), "SHA3-512", false),
];
