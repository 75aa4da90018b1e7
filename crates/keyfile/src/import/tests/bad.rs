//! Files that are refused: `tests/keys/bad`.

use super::*;

/// Messages without offsets, and the files of `tests/keys/bad` that get them.
const BAD: &[(&str, &[&str])] = &[
    (
        "the file is DER, but not a key, a certificate or a store of them",
        &["time-stamp-request.der"],
    ),
    (
        "a PEM BEGIN or END line is malformed, or not on a line of its own",
        &[
            "pem-begin-after-text.pem",
            "pem-end-without-begin.pem",
            "pem-label-of-two-lines.pem",
        ],
    ),
    (
        "a date in the certificate does not follow RFC 5280 section 4.1.2.5 (UTC, with seconds)",
        &[
            "certificate-of-another-zone.der",
            "certificate-on-february-30.der",
        ],
    ),
    (
        "keys of algorithm DSA are not supported",
        &["dsa.pem", "dsa.pub.pem"],
    ),
    ("keys of algorithm Ed448 are not supported", &["ed448.pem"]),
    (
        "keys of algorithm RSASSA-PSS are not supported",
        &["rsa-pss.pem"],
    ),
    (
        "the EC key does not name its curve",
        &[
            "ec-algorithm-without-curve.der",
            "ec-no-curve.der",
            "ec-no-curve.pem",
        ],
    ),
    (
        "the EC key has explicit curve parameters instead of a named curve",
        &[
            "ec-explicit-curve-traditional.pem",
            "ec-explicit-curve.pem",
            "ec-explicit-curve.pub.pem",
        ],
    ),
    (
        "the EC private key holds an invalid number or date",
        &["ec-version-2.der"],
    ),
    (
        "the OpenSSH private key has the wrong structure",
        &["ssh.pem"],
    ),
    (
        "the OpenSSH public key has the wrong structure",
        &["openssh-cut.pub.txt"],
    ),
    (
        "the END line of the PEM block does not match its BEGIN line",
        &[
            "pem-end-of-another-label.pem",
            "pem-text-on-the-end-line.pem",
        ],
    ),
    (
        "the PEM block has no END line: the file is cut short",
        &["pem-cut-in-begin.pem", "pem-no-end.pem"],
    ),
    ("the PEM block is empty", &["pem-empty.pem"]),
    (
        "the PKCS#8 private key has bytes after its end",
        &["pem-trailing-byte-in-der.pem"],
    ),
    (
        "the PKCS#8 private key holds an invalid number or date",
        &["pkcs8-version-0-with-public-key.der", "pkcs8-version-2.der"],
    ),
    (
        "the RSA key has more than two primes",
        &["rsa-three-primes.der"],
    ),
    (
        "the RSA modulus has 0 bits; 1024 to 8192 are supported",
        &["rsa-modulus-zero.der", "rsa-modulus-zero.pub.der"],
    ),
    (
        "the RSA modulus has 1016 bits; 1024 to 8192 are supported",
        &["rsa-1016-bits.pem", "rsa-1016-bits.pub.pem"],
    ),
    (
        "the RSA modulus has 8200 bits; 1024 to 8192 are supported",
        &["rsa-8200-bits.pub.der"],
    ),
    ("the RSA modulus is not valid", &["rsa-modulus-even.der"]),
    (
        "the RSA private key holds an invalid number or date",
        &[
            "rsa-modulus-negative.der",
            "rsa-version-1-of-two-primes.der",
            "rsa-version-2.der",
        ],
    ),
    (
        "the RSA public exponent is not valid",
        &[
            "rsa-exponent-1.der",
            "rsa-exponent-above-modulus.der",
            "rsa-exponent-even.der",
        ],
    ),
    (
        "the base64 of the PEM block is malformed: bad characters or padding",
        &[
            "pem-padding-bits-set.pem",
            "pem-padding-in-the-middle.pem",
            "pem-padding-missing.pem",
        ],
    ),
    (
        "the certificate is cut short",
        &["certificate-without-subject.der"],
    ),
    (
        "the certificate is not canonical DER",
        &[
            "certificate-signed-part-of-indefinite-length.der",
            "certificate-length-in-name.der",
        ],
    ),
    (
        "curve 1.3.36.3.3.2.8.1.1.7 is not supported; P-256, P-384, P-521 and secp256k1 are",
        &["ec-brainpool.pem"],
    ),
    (
        "a file with EC parameters and no key cannot be imported",
        &["ec-parameters-without-a-key.pem"],
    ),
    (
        "a JSON file, such as a JWK, cannot be imported",
        &["json.txt"],
    ),
    (
        "a DSA key cannot be imported",
        &[
            "dsa-traditional.der",
            "dsa-traditional.pem",
            "openssh-dsa.pem",
            "openssh-dsa.pub.txt",
        ],
    ),
    (
        "a Java key store of type JKS or JCEKS cannot be imported",
        &["java.jks"],
    ),
    (
        "a PEM block with an unknown label cannot be imported",
        &["pem-unknown-label.pem"],
    ),
    (
        "a PKCS#7 file without certificates cannot be imported",
        &["pkcs7-without-certificates.der"],
    ),
    (
        "a PKCS#7 message without certificates cannot be imported",
        &["pkcs7-data.der"],
    ),
    ("a PuTTY private key cannot be imported", &["putty.ppk"]),
    (
        "a certificate request cannot be imported",
        &["certificate-request.der", "certificate-request.pem"],
    ),
    (
        "a certificate revocation list cannot be imported",
        &["revocations.der", "revocations.pem"],
    ),
    ("a domain key file cannot be imported", &["domain-key.pem"]),
    ("an OpenPGP key or message cannot be imported", &["pgp.asc"]),
    (
        "an OpenSSL trusted certificate cannot be imported",
        &["certificate-trusted.pem"],
    ),
    ("an SSH2 public key cannot be imported", &["ssh2.pub.txt"]),
    (
        "base64 without BEGIN and END lines cannot be imported",
        &["base64-without-lines.txt"],
    ),
    (
        "the file is neither PEM nor DER",
        &[
            "hexadecimal.txt",
            "openssh-and-text.pub.txt",
            "pem-utf-16-cut.pem",
            "zeros.bin",
        ],
    ),
    (
        "a file with DSA or Diffie-Hellman parameters and no key cannot be imported",
        &[
            "dh-parameters.der",
            "dsa-parameters.der",
            "dsa-parameters.pem",
        ],
    ),
    (
        "the algorithm parameters do not fit the algorithm of the key",
        &["ed25519-with-parameters.der"],
    ),
    (
        "the parts of the key do not match: it is damaged, or mixed from several keys",
        &[
            "ec-curve-differs-inside.der",
            "ec-public-key-of-another-key.der",
            "ec-public-keys-differ.der",
            "ed25519-public-key-of-another-key.der",
            "rsa-coefficient-changed.der",
            "rsa-exponent-1-changed.der",
            "rsa-exponent-2-of-another-key.der",
            "rsa-exponent-of-another-key.der",
            "rsa-modulus-of-another-key.der",
            "rsa-prime-one.der",
            "rsa-prime-zero.der",
            "rsa-primes-swapped.der",
            "rsa-private-exponent-changed.der",
            "rsa-private-exponent-zero.der",
        ],
    ),
    (
        "the private key is encrypted in OpenSSL's traditional format with AES-256-CBC, which is not supported",
        &["encrypted-traditional.pem"],
    ),
    (
        "the private key is encrypted in OpenSSL's traditional format with DES-CBC, which is not supported",
        &["encrypted-traditional-des.pem"],
    ),
    (
        "the private value is not valid on curve Ed25519",
        &["ed25519-of-31-bytes.der", "ed25519-of-33-bytes.der"],
    ),
    (
        "the private value is not valid on curve P-256",
        &[
            "ec-value-empty.der",
            "ec-value-is-the-order.der",
            "ec-value-zero.der",
        ],
    ),
    (
        "the public key (SPKI) has the wrong structure",
        &["pem-label-of-another-form.pem"],
    ),
    (
        "the public key does not have the form that its algorithm requires",
        &[
            "ec-point-of-another-curve.der",
            "ed25519-of-31-bytes.pub.der",
            "ed25519-unused-bits.pub.der",
        ],
    ),
    (
        "the public key is a compressed point",
        &["ec-compressed-point.pub.pem"],
    ),
    (
        "the public key is not a point on curve P-256",
        &["ec-point-not-on-curve.pub.der"],
    ),
];

#[test]
fn every_bad_file_is_refused_for_what_is_wrong_with_it() {
    let files = files(&keys().join("bad"));
    let mut said_of = BTreeMap::new();
    for (name, content) in &files {
        let error = import(content, None, &naming()).unwrap_err();
        assert!(error.hint().is_some(), "{name}");
        let said = error.to_string();
        let said = said.split(" (byte ").next().unwrap_or_default();
        said_of.insert(name.as_str(), said.to_owned());
    }
    let expected: BTreeMap<&str, String> = BAD
        .iter()
        .flat_map(|(says, names)| names.iter().map(|name| (*name, (*says).to_owned())))
        .collect();
    for (name, said) in &said_of {
        assert_eq!(expected.get(name), Some(said), "{name}");
    }
    assert_eq!(said_of.len(), expected.len());
}
