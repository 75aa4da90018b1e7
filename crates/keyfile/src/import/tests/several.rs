//! Files of several PEM blocks: `tests/keys/several`.

use super::*;

fn directory() -> PathBuf {
    keys().join("several")
}

fn classes(imported: &Imported) -> Vec<u32> {
    imported.objects.iter().map(|object| object.class).collect()
}

fn ids(imported: &Imported) -> Vec<&Attribute> {
    imported
        .objects
        .iter()
        .map(|object| &object.attributes[&CKA_ID])
        .collect()
}

fn opened(content: &SecretBytes, naming: &Naming) -> Result<Imported, ImportError> {
    let password = SecretBytes::from(b"x".as_slice());
    super::super::import(content, None, naming, Some(&password))
}

#[test]
fn every_block_is_an_object_in_the_order_of_the_file() {
    const CERTIFICATES: &[u32] = &[CKO_CERTIFICATE; 3];
    let expected = BTreeMap::from([
        ("chain.pem", CERTIFICATES),
        ("chain.crlf.pem", CERTIFICATES),
        ("chain.p7b", CERTIFICATES),
        ("chain.p7b.pem", CERTIFICATES),
        ("chain-of-indefinite-length.p7b", CERTIFICATES),
        ("texts.pem", &CERTIFICATES[..2]),
        ("byte-order-marks.pem", &CERTIFICATES[..2]),
        ("two-keys.pem", &[CKO_PRIVATE_KEY, CKO_PRIVATE_KEY]),
        ("openssh.pub.txt", &[CKO_PUBLIC_KEY, CKO_PUBLIC_KEY]),
        ("both-halves.pem", &[CKO_PRIVATE_KEY, CKO_PUBLIC_KEY]),
        (
            "key-and-certificate.pem",
            &[CKO_PRIVATE_KEY, CKO_CERTIFICATE],
        ),
        (
            "certificate-and-key.pem",
            &[CKO_CERTIFICATE, CKO_PRIVATE_KEY],
        ),
        (
            "parameters-key-and-certificate.pem",
            &[CKO_PRIVATE_KEY, CKO_CERTIFICATE],
        ),
        (
            "encrypted-key-and-chain.pem",
            &[CKO_PRIVATE_KEY, CKO_CERTIFICATE, CKO_CERTIFICATE],
        ),
        (
            "openssl-pkcs12.pem",
            &[CKO_CERTIFICATE, CKO_CERTIFICATE, CKO_PRIVATE_KEY],
        ),
    ]);
    let files = files(&directory());
    for (name, content) in &files {
        let imported = match opened(content, &Naming::default()) {
            Ok(imported) => imported,
            Err(error) => panic!("{name}: {error}"),
        };
        assert_eq!(classes(&imported), expected[name.as_str()], "{name}");
        assert!(imported.left_out.is_empty());
        for id in ids(&imported) {
            assert!(
                matches!(id, Attribute::Bytes(id) if id.len() == 20),
                "{name}"
            );
        }
        for object in &imported.objects {
            assert!(codec::encode(object).is_some(), "{name}");
        }
    }
    assert_eq!(files.len(), expected.len());
}

#[test]
fn a_chain_is_its_certificates() {
    let chain = opened(&files(&directory())["chain.pem"], &naming());
    assert!(matches!(chain, Err(ImportError::SeveralForId(3))));
    let unnamed = Naming {
        id: Vec::new(),
        ..naming()
    };
    for name in ["chain.pem", "chain.crlf.pem", "chain.p7b", "chain.p7b.pem"] {
        let imported = opened(&files(&directory())[name], &unnamed).unwrap();
        for (object, one) in imported.objects.iter().zip([
            "certificate-to-2049.pem",
            "certificate-to-9999.pem",
            "certificate-v1.pem",
        ]) {
            let value = |object: &Object| object.attributes[&CKA_VALUE].clone();
            assert_eq!(value(object), value(&import_one(one).unwrap()), "{name}");
            assert_eq!(object.label(), "imported");
        }
    }
}

#[test]
fn what_belongs_to_one_key_has_one_id() {
    for name in [
        "key-and-certificate.pem",
        "certificate-and-key.pem",
        "both-halves.pem",
        "parameters-key-and-certificate.pem",
    ] {
        let content = &files(&directory())[name];
        let imported = opened(content, &Naming::default()).unwrap();
        assert_eq!(ids(&imported)[0], ids(&imported)[1], "{name}");
        let imported = opened(content, &naming()).unwrap();
        assert_eq!(ids(&imported), [&Attribute::Bytes(vec![1, 2]); 2], "{name}");
    }
    let content = &files(&directory())["encrypted-key-and-chain.pem"];
    let imported = opened(content, &naming()).unwrap();
    let given = Attribute::Bytes(vec![1, 2]);
    assert_eq!(ids(&imported)[..2], [&given, &given]);
    assert_ne!(ids(&imported)[2], &given);
    let two = opened(&files(&directory())["two-keys.pem"], &naming());
    assert!(matches!(two, Err(ImportError::SeveralForId(2))));
}

#[test]
fn one_password_is_for_the_whole_file() {
    for (name, content) in files(&directory()) {
        let encrypted = name == "encrypted-key-and-chain.pem";
        assert_eq!(is_encrypted(&content), encrypted, "{name}");
        let without = super::super::import(&content, None, &Naming::default(), None);
        assert_eq!(without.is_err(), encrypted, "{name}");
    }
}

#[test]
fn what_one_block_fails_by_names_it() {
    let expected = BTreeMap::from([
        (
            "second-cut-short.pem",
            "block 2 (line 13): the PEM block has no END line: the file is cut short",
        ),
        (
            "second-without-end.pem",
            "block 2 (line 13): the PEM block has no END line: the file is cut short",
        ),
        (
            "second-without-begin.pem",
            "block 2 (line 23): a PEM BEGIN or END line is malformed, or not on a line of its own",
        ),
        (
            "second-of-another-kind.pem",
            "block 2 (line 13): a certificate request cannot be imported",
        ),
        (
            "second-damaged.pem",
            "block 2 (line 6): the PKCS#8 private key has bytes after its end",
        ),
        (
            "third-of-unknown-label.pem",
            "block 3 (line 25): a PEM block with an unknown label cannot be imported",
        ),
        (
            "second-encrypted-traditional.pem",
            "block 2 (line 13): the private key is encrypted in OpenSSL's traditional format with AES-256-CBC, which is not supported",
        ),
    ]);
    let files = files(&directory().join("bad"));
    for (name, content) in &files {
        let error = opened(content, &Naming::default()).unwrap_err();
        let said = error.to_string();
        let said = said.split(" (byte ").next();
        assert_eq!(said, Some(expected[name.as_str()]), "{name}");
        assert!(error.hint().is_some(), "{name}");
    }
    assert_eq!(files.len(), expected.len());
}
