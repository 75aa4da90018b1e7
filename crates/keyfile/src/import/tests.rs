//! Real files, made by `tests/keys/make.py` with openssl.

#![allow(clippy::unwrap_used, clippy::panic)]

mod encrypted;
mod several;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::*;
use slotfs_object::codec;
use slotfs_object::pkcs11::*;
use slotfs_object::{Attribute, show};

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/keys")
}

/// Key files of a directory by name.
fn files(directory: &Path) -> BTreeMap<String, SecretBytes> {
    fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| {
            let content = fs::read(entry.path()).unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, SecretBytes::new(content))
        })
        .filter(|(name, _)| name != "make.py" && name != "expected")
        .collect()
}

fn naming() -> Naming {
    Naming {
        label: "imported".to_owned(),
        id: vec![1, 2],
    }
}

/// What gives one object, with the password of the files here.
fn import(
    file: &SecretBytes,
    raw: Option<RawType>,
    naming: &Naming,
) -> Result<Object, ImportError> {
    let mut objects = super::import(file, raw, naming, None)?.objects;
    assert_eq!(objects.len(), 1);
    Ok(objects.remove(0))
}

fn import_one(name: &str) -> Result<Object, ImportError> {
    let content = fs::read(keys().join(name)).unwrap();
    import(&SecretBytes::new(content), None, &naming())
}

/// The value as openssl's reading of the file is written in `expected`.
fn as_expected(number: u32, value: &Attribute) -> String {
    match value {
        Attribute::Bytes(bytes) => HEXLOWER.encode(bytes),
        Attribute::Secret(secret) => HEXLOWER.encode(secret.bytes()),
        Attribute::Number(_) if number == CKA_CERTIFICATE_TYPE => "CKC_X_509".to_owned(),
        Attribute::Number(number) => number.to_string(),
        Attribute::Date(date) => date.to_string(),
        Attribute::Bool(_) | Attribute::Text(_) => unreachable!(),
    }
}

#[test]
fn every_good_file_becomes_an_object_that_can_be_stored() {
    let files = files(&keys());
    assert!(files.len() > 60);
    for (name, content) in &files {
        let object = match import(content, None, &naming()) {
            Ok(object) => object,
            Err(error) => panic!("{name}: {error}"),
        };
        assert!(object.is_well_formed(), "{name}");
        let payload = codec::encode(&object).unwrap();
        assert_eq!(codec::decode(payload.bytes()), Ok(object.clone()), "{name}");
        assert_eq!(object.label(), "imported");
        let class = match name {
            _ if name.contains("certificate") => CKO_CERTIFICATE,
            _ if name.contains(".pub.") => CKO_PUBLIC_KEY,
            _ => CKO_PRIVATE_KEY,
        };
        assert_eq!(object.class, class, "{name}");
        let key_type = match name.split(['-', '.']).next() {
            Some("rsa") => Some(CKK_RSA),
            Some("ec") => Some(CKK_EC),
            Some("ed25519") => Some(CKK_EC_EDWARDS),
            Some("x25519") => Some(CKK_EC_MONTGOMERY),
            _ => None,
        };
        assert_eq!(object.key_type, key_type, "{name}");
        let id = Attribute::Bytes(vec![1, 2]);
        assert_eq!(object.attributes.get(&CKA_ID), Some(&id), "{name}");
    }
}

#[test]
fn attributes_are_what_openssl_reads() {
    let expected = fs::read_to_string(keys().join("expected")).unwrap();
    let mut objects = BTreeMap::new();
    for line in expected.lines() {
        let [file, attribute, value] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let object = objects
            .entry(file)
            .or_insert_with(|| import_one(file).unwrap());
        let (number, found) = object
            .attributes
            .iter()
            .find(|(number, _)| attribute_name(**number) == attribute)
            .unwrap_or_else(|| panic!("{file} has no {attribute}"));
        assert_eq!(as_expected(*number, found), value, "{file} {attribute}");
    }
    assert!(objects.len() > 40);
}

#[test]
fn one_key_in_every_form_is_one_object() {
    for (one, others) in [
        (
            "rsa-2048.pem",
            &[
                "rsa-2048.der",
                "rsa-2048.traditional.pem",
                "rsa-2048.traditional.der",
                "rsa-2048.one-line.pem",
                "rsa-2048.text-below.pem",
                "rsa-2048.blank-in-front.pem",
                "rsa-2048.blanks-behind.pem",
                "rsa-2048.blanks-below.pem",
                "rsa-2048.blanks-for-lines.pem",
                "rsa-2048.blanks-that-do-not-break.pem",
                "rsa-2048.zeros-behind.pem",
                "rsa-2048.byte-order-mark.pem",
                "rsa-2048.utf-16-big.pem",
                "rsa-2048.utf-16-little.pem",
                "rsa-2048.carriage-return.pem",
                "rsa-2048.headers.pem",
                "rsa-2048.indented.pem",
                "rsa-2048.lines-between.pem",
                "rsa-2048.uneven-lines.pem",
                "rsa-2048.openssh.pem",
                "rsa-2048-of-indefinite-length.der",
                "rsa-2048-of-indefinite-length.pem",
                "rsa-2048-zero-in-front.der",
            ][..],
        ),
        (
            "ec-p521.pem",
            &[
                "ec-p521.traditional.pem",
                "ec-p521.traditional.der",
                "ec-p521.openssh.pem",
            ],
        ),
        (
            "ec-p256.pem",
            &[
                "ec-p256.parameters-above.pem",
                "ec-p256-compressed-point.pem",
                "ec-p256-of-indefinite-length.der",
                "ec-p256-three-zeros-too-many.der",
                "ec-p256-zero-too-many.der",
                "ec-p256.openssh.pem",
            ],
        ),
        ("ec-p384.pem", &["ec-p384.openssh.pem"]),
        (
            "rsa-2048.pub.pem",
            &[
                "rsa-2048.pkcs1.pub.pem",
                "rsa-2048.pkcs1.pub.der",
                "rsa-2048-without-parameters.pub.der",
                "rsa-2048.openssh.pub.txt",
            ],
        ),
        (
            "ec-p256.pub.pem",
            &[
                "ec-p256-hybrid-point.pub.pem",
                "ec-p256-of-long-lengths.pub.der",
                "ec-p256.openssh.pub.txt",
            ],
        ),
        ("ec-p384.pub.pem", &["ec-p384.openssh.pub.txt"]),
        ("ec-p521.pub.pem", &["ec-p521.openssh.pub.txt"]),
        (
            "ed25519.pem",
            &["ed25519.der", "ed25519.crlf.pem", "ed25519.text-above.pem"],
        ),
        (
            "certificate-v1.pem",
            &[
                "certificate-with-text.pem",
                "certificate-v1.byte-order-mark.pem",
                "certificate-v1.pkcs7.pem",
                "certificate-v1-of-indefinite-length.der",
            ],
        ),
    ] {
        for other in others {
            let name = other;
            let (one, other) = (import_one(one).unwrap(), import_one(other).unwrap());
            assert_eq!(one.attributes, other.attributes, "{name}");
            assert_ne!(one.ouid, other.ouid);
        }
    }
}

/// ssh-keygen can make one and not convert it.
#[test]
fn the_halves_of_an_ed25519_key_of_openssh_belong_together() {
    let private = import_one("ed25519-of-openssh.pem").unwrap();
    let public = import_one("ed25519-of-openssh.pub.txt").unwrap();
    let info = |object: &Object| object.attributes[&CKA_PUBLIC_KEY_INFO].clone();
    assert_eq!(info(&private), info(&public));
}

#[test]
fn usage_is_what_the_key_type_can_do() {
    for (name, on, off) in [
        (
            "rsa-2048.pem",
            &[
                CKA_SIGN,
                CKA_DECRYPT,
                CKA_UNWRAP,
                CKA_SENSITIVE,
                CKA_PRIVATE,
            ][..],
            &[
                CKA_DERIVE,
                CKA_EXTRACTABLE,
                CKA_LOCAL,
                CKA_NEVER_EXTRACTABLE,
            ][..],
        ),
        (
            "rsa-2048.pub.pem",
            &[CKA_VERIFY, CKA_ENCRYPT, CKA_WRAP],
            &[CKA_DERIVE, CKA_PRIVATE, CKA_LOCAL],
        ),
        ("ec-p256.pem", &[CKA_SIGN, CKA_DERIVE], &[CKA_DECRYPT]),
        ("ed25519.pem", &[CKA_SIGN], &[CKA_DERIVE, CKA_DECRYPT]),
        ("x25519.pem", &[CKA_DERIVE], &[CKA_SIGN]),
        ("x25519.pub.pem", &[CKA_TOKEN], &[CKA_VERIFY, CKA_ENCRYPT]),
        (
            "certificate-v1.pem",
            &[CKA_TOKEN],
            &[CKA_PRIVATE, CKA_TRUSTED, CKA_MODIFIABLE],
        ),
    ] {
        let object = import_one(name).unwrap();
        for (numbers, value) in [(on, true), (off, false)] {
            for number in numbers {
                let found = object.attributes.get(number);
                let name = format!("{name} {}", attribute_name(*number));
                assert_eq!(found, Some(&Attribute::Bool(value)), "{name}");
            }
        }
    }
}

/// What importing says, without offsets, and the files under `bad` of which it says so.
const BAD: &[(&str, &[&str])] = &[
    (
        "the file is DER, but neither a key nor a certificate nor a store of them",
        &["time-stamp-request.der"],
    ),
    (
        "a BEGIN or END line of PEM is malformed, or does not stand on a line of its own",
        &[
            "pem-begin-after-text.pem",
            "pem-end-without-begin.pem",
            "pem-label-of-two-lines.pem",
        ],
    ),
    (
        "a date of the certificate does not have the form of RFC 5280 section 4.1.2.5: UTC, to the second",
        &[
            "certificate-of-another-zone.der",
            "certificate-on-february-30.der",
        ],
    ),
    (
        "keys of algorithm DSA are not imported",
        &["dsa.pem", "dsa.pub.pem"],
    ),
    ("keys of algorithm Ed448 are not imported", &["ed448.pem"]),
    (
        "keys of algorithm RSASSA-PSS are not imported",
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
        "the EC key spells out its curve instead of naming it",
        &[
            "ec-explicit-curve-traditional.pem",
            "ec-explicit-curve.pem",
            "ec-explicit-curve.pub.pem",
        ],
    ),
    (
        "the EC private key holds a number or date that cannot be there",
        &["ec-version-2.der"],
    ),
    (
        "the OpenSSH private key does not have the form of one",
        &["ssh.pem"],
    ),
    (
        "the OpenSSH public key does not have the form of one",
        &["openssh-cut.pub.txt"],
    ),
    (
        "the PEM block does not end with the END line of its BEGIN line",
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
        "the PKCS#8 private key holds a number or date that cannot be there",
        &["pkcs8-version-0-with-public-key.der", "pkcs8-version-2.der"],
    ),
    (
        "the RSA key has more than two primes",
        &["rsa-three-primes.der"],
    ),
    (
        "the RSA modulus has 0 bits, not 1024 to 8192",
        &["rsa-modulus-zero.der", "rsa-modulus-zero.pub.der"],
    ),
    (
        "the RSA modulus has 1016 bits, not 1024 to 8192",
        &["rsa-1016-bits.pem", "rsa-1016-bits.pub.pem"],
    ),
    (
        "the RSA modulus has 8200 bits, not 1024 to 8192",
        &["rsa-8200-bits.pub.der"],
    ),
    (
        "the RSA modulus is not a possible one",
        &["rsa-modulus-even.der"],
    ),
    (
        "the RSA private key holds a number or date that cannot be there",
        &[
            "rsa-modulus-negative.der",
            "rsa-version-1-of-two-primes.der",
            "rsa-version-2.der",
        ],
    ),
    (
        "the RSA public exponent is not a possible one",
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
        "the curve 1.3.36.3.3.2.8.1.1.7 is none of P-256, P-384, P-521 and secp256k1",
        &["ec-brainpool.pem"],
    ),
    (
        "the file is EC parameters without a key, which is not imported",
        &["ec-parameters-without-a-key.pem"],
    ),
    (
        "the file is JSON, perhaps a JWK, which is not imported",
        &["json.txt"],
    ),
    (
        "the file is a DSA key, which is not imported",
        &[
            "dsa-traditional.der",
            "dsa-traditional.pem",
            "openssh-dsa.pem",
            "openssh-dsa.pub.txt",
        ],
    ),
    (
        "the file is a Java key store of the kind JKS or JCEKS, which is not imported",
        &["java.jks"],
    ),
    (
        "the file is a PEM block of a label that slotfs does not know, which is not imported",
        &["pem-unknown-label.pem"],
    ),
    (
        "the file is a PKCS#7 file without certificates, which is not imported",
        &["pkcs7-without-certificates.der"],
    ),
    (
        "the file is a PKCS#7 message without certificates, which is not imported",
        &["pkcs7-data.der"],
    ),
    (
        "the file is a PuTTY private key, which is not imported",
        &["putty.ppk"],
    ),
    (
        "the file is a certificate request, which is not imported",
        &["certificate-request.der", "certificate-request.pem"],
    ),
    (
        "the file is a certificate revocation list, which is not imported",
        &["revocations.der", "revocations.pem"],
    ),
    (
        "the file is a domain key file, which is not imported",
        &["domain-key.pem"],
    ),
    (
        "the file is an OpenPGP key or message, which is not imported",
        &["pgp.asc"],
    ),
    (
        "the file is an OpenSSL trusted certificate, which is not imported",
        &["certificate-trusted.pem"],
    ),
    (
        "the file is an SSH2 public key, which is not imported",
        &["ssh2.pub.txt"],
    ),
    (
        "the file is base64 without BEGIN and END lines, which is not imported",
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
        "the file is parameters of DSA or Diffie-Hellman, without a key, which is not imported",
        &[
            "dh-parameters.der",
            "dsa-parameters.der",
            "dsa-parameters.pem",
        ],
    ),
    (
        "the key's algorithm parameters are not those of its algorithm",
        &["ed25519-with-parameters.der"],
    ),
    (
        "the parts of the key do not belong together: it is damaged, or mixed from several",
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
        "the private key is encrypted in the traditional way by AES-256-CBC, which is not read",
        &["encrypted-traditional.pem"],
    ),
    (
        "the private key is encrypted in the traditional way by DES-CBC, which is not read",
        &["encrypted-traditional-des.pem"],
    ),
    (
        "the private value is not one of the curve Ed25519",
        &["ed25519-of-31-bytes.der", "ed25519-of-33-bytes.der"],
    ),
    (
        "the private value is not one of the curve P-256",
        &[
            "ec-value-empty.der",
            "ec-value-is-the-order.der",
            "ec-value-zero.der",
        ],
    ),
    (
        "the public key (SPKI) does not have the form of one",
        &["pem-label-of-another-form.pem"],
    ),
    (
        "the public key does not have the form that its algorithm asks for",
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
        "the public key is not a point of the curve P-256",
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

#[test]
fn raw_values_are_the_bytes_of_the_file() {
    let of = |bytes: usize, raw| import(&SecretBytes::new(vec![7; bytes]), Some(raw), &naming());
    for bytes in [16, 24, 32] {
        let key = of(bytes, RawType::Aes).unwrap();
        assert_eq!((key.class, key.key_type), (CKO_SECRET_KEY, Some(CKK_AES)));
        let value = Attribute::Secret(SecretBytes::new(vec![7; bytes]));
        assert_eq!(key.attributes.get(&CKA_VALUE), Some(&value));
    }
    let refused = of(33, RawType::Aes).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "an AES key has 16, 24 or 32 bytes, not 33"
    );
    let generic = of(1, RawType::Generic).unwrap();
    assert_eq!(generic.key_type, Some(CKK_GENERIC_SECRET));
    let plain = Naming {
        label: "notes".to_owned(),
        id: Vec::new(),
    };
    // A file that is a key is data all the same, when that is asked for.
    let file = SecretBytes::new(fs::read(keys().join("ec-p256.pem")).unwrap());
    let data = import(&file, Some(RawType::Data), &plain).unwrap();
    assert_eq!(data.attributes[&CKA_VALUE], Attribute::Secret(file));
    assert!(of(1, RawType::Data).is_err());
}

#[test]
fn files_without_bytes_or_with_too_many() {
    for raw in [
        None,
        Some(RawType::Aes),
        Some(RawType::Generic),
        Some(RawType::Data),
    ] {
        let empty = import(&SecretBytes::new(vec![]), raw, &Naming::default());
        assert!(matches!(empty, Err(ImportError::EmptyFile)));
        let large = SecretBytes::new(vec![0x30; MAX_FILE_BYTES + 1]);
        let large = import(&large, raw, &Naming::default());
        assert!(matches!(large, Err(ImportError::FileTooLarge(_))));
    }
    let large = SecretBytes::new(vec![0; codec::MAX_PAYLOAD_BYTES]);
    let large = import(&large, Some(RawType::Data), &Naming::default());
    assert!(matches!(
        large,
        Err(ImportError::New(new::NewError::TooLarge))
    ));
}

/// Every file there is, small enough to be changed byte by byte.
fn small_files() -> Vec<(String, SecretBytes)> {
    let (good, bad) = (files(&keys()), files(&keys().join("bad")));
    good.into_iter()
        .chain(bad)
        // OpenSSH's public keys end in a comment.
        .filter(|(name, content)| content.bytes().len() < 700 && !name.ends_with(".pub.txt"))
        .collect()
}

/// How much of a file says what it is: of PEM, all up to the dashes of END.
fn needed(file: &[u8]) -> usize {
    let dashes = file.windows(5).rposition(|window| window == b"-----");
    dashes.map_or(file.len(), |start| start + 5)
}

#[test]
fn a_file_cut_short_anywhere_is_refused() {
    for (name, content) in small_files() {
        let needed = needed(content.bytes());
        for keep in 1..needed.min(content.bytes().len()) {
            let cut = content.bytes()[..keep].to_vec();
            match import(&SecretBytes::new(cut), None, &naming()) {
                Ok(_) => panic!("{name} of {keep} bytes"),
                Err(error) => says_nothing_of(content.bytes(), &error),
            }
        }
    }
}

#[test]
fn a_byte_more_is_refused() {
    for (name, content) in small_files() {
        let more = [&content.bytes()[..needed(content.bytes())], b"x"].concat();
        match import(&SecretBytes::new(more), None, &naming()) {
            Ok(_) => panic!("{name}"),
            Err(error) => says_nothing_of(content.bytes(), &error),
        }
    }
}

#[test]
fn no_changed_byte_panics_or_leaks() {
    for (name, content) in small_files() {
        for index in 0..content.bytes().len() {
            for change in [0x01, 0x80] {
                let mut changed = content.clone();
                changed.bytes_mut()[index] ^= change;
                match import(&changed, None, &naming()) {
                    Ok(object) => assert!(codec::encode(&object).is_some(), "{name} {index}"),
                    Err(error) => says_nothing_of(changed.bytes(), &error),
                }
            }
        }
    }
}

#[test]
fn no_error_holds_bytes_of_the_file() {
    for (_, content) in files(&keys().join("bad")) {
        for raw in [None, Some(RawType::Aes)] {
            if let Err(error) = import(&content, raw, &naming()) {
                says_nothing_of(content.bytes(), &error);
            }
        }
    }
}

#[test]
fn nothing_shown_holds_a_secret() {
    let mut secrets = 0;
    for (name, content) in files(&keys()) {
        let object = import(&content, None, &naming()).unwrap();
        let shown = format!(
            "{:?}\n{}\n{object:?}",
            show::attributes(&object),
            show::json(&object)
        );
        let windows: BTreeSet<_> = shown.as_bytes().windows(16).collect();
        for value in object.attributes.values() {
            let Attribute::Secret(secret) = value else {
                continue;
            };
            secrets += 1;
            // The values that are small enough to be met by chance are the made-up ones.
            for run in secret
                .bytes()
                .windows(8)
                .filter(|run| run.iter().any(|b| *b != 0))
            {
                let hex = HEXLOWER.encode(run);
                assert!(!windows.contains(hex.as_bytes()), "{name}");
                assert!(!shown.contains(&format!("{run:?}")[1..23]), "{name}");
            }
        }
    }
    assert!(secrets > 50);
}

/// Whatever is said about a file holds no four bytes of it, as they are, in hexadecimal or in base64.
fn says_nothing_of(file: &[u8], error: &ImportError) {
    // The limit in it looks like four bytes that are in many files.
    if matches!(error, ImportError::Work(..)) {
        return;
    }
    let said = format!("{error} {error:?} {}", error.hint().unwrap_or_default());
    let has = |part: &[u8]| file.windows(part.len()).any(|window| window == part);
    for run in said.as_bytes().windows(8) {
        let Ok(bytes) = HEXLOWER.decode(run) else {
            continue;
        };
        assert!(!has(&bytes), "{said}");
    }
    for run in said.as_bytes().windows(12) {
        let is_code = run.iter().all(|byte| byte.is_ascii_alphanumeric());
        assert!(!is_code || !has(run), "{said}");
    }
}
