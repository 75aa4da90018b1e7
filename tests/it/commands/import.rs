//! `object import`: raw bytes, and what openssl makes.

mod hints;
mod stores;

use std::fs;
use std::process::Command;

use super::{FAILED, USAGE};
use crate::fixture::{Out, Store, handles, run};

fn openssl(store: &Store, line: &str) {
    run(Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(store.path("")))
    .ok();
}

fn import(store: &Store, file: &str, more: &str) -> Out {
    store.run_in(
        0,
        &format!("object import -file {file} -label {file} {more}"),
    )
}

/// The attributes of the last object of an import.
fn shown(store: &Store, out: &Out) -> String {
    let handle = *handles(&out.stdout)
        .last()
        .unwrap_or_else(|| panic!("no handle: {out:?}"));
    store
        .run_in(0, &format!("object show -handle {handle}"))
        .ok()
        .stdout
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// "with `-type aes|generic|data` raw bytes"; and none of them is ever shown again.
#[test]
fn raw_bytes() {
    let store = Store::empty();
    store.slot(0, "red");
    let bytes: Vec<u8> = (0..64_u8).map(|i| i.wrapping_mul(37) ^ 0x5a).collect();
    for (size, kind) in [
        (16, "aes"),
        (24, "aes"),
        (32, "aes"),
        (1, "generic"),
        (64, "generic"),
        (1, "data"),
        (64, "data"),
    ] {
        fs::write(store.path("raw"), &bytes[..size]).unwrap();
        let out = import(&store, "raw", &format!("-type {kind}")).ok();
        assert_eq!(handles(&out.stdout).len(), 1, "{out:?}");
        let text = shown(&store, &out).to_lowercase().replace([' ', ':'], "");
        if size >= 16 {
            assert!(
                !text.contains(&hex(&bytes[..8])),
                "{kind} of {size}: {text}"
            );
        }
    }
    for (size, kind) in [
        (0, "aes"),
        (15, "aes"),
        (33, "aes"),
        (64, "aes"),
        (0, "generic"),
    ] {
        fs::write(store.path("raw"), &bytes[..size]).unwrap();
        let out = import(&store, "raw", &format!("-type {kind}"));
        assert_eq!(out.code, FAILED, "{kind} of {size}: {out:?}");
        assert!(out.stderr.contains("raw"), "names the file: {out:?}");
    }
    import(&store, "raw", "-type des").fails(USAGE);
    let out = import(&store, "missing", "-type data").code_is_not(0);
    assert!(out.stderr.contains("missing"), "{out:?}");
}

/// A payload has 65536 bytes at most; what is larger is told at import, not when it is cloned.
#[test]
fn too_large() {
    let store = Store::empty();
    store.slot(0, "red");
    fs::write(store.path("large"), vec![1; 65_536]).unwrap();
    let out = import(&store, "large", "-type data").fails(FAILED);
    assert!(out.stderr.contains("large"), "{out:?}");
    fs::write(store.path("huge"), vec![1; 50_000_000]).unwrap();
    import(&store, "huge", "-type data").code_is_not(0);
    import(&store, "huge", "").code_is_not(0);
    fs::write(store.path("fits"), vec![1; 64_000]).unwrap();
    import(&store, "fits", "-type data").ok();
    import(&store, "/dev/zero", "-type data").code_is_not(0);
}

/// "PKCS#8 keys", PEM and DER, of openssl's making.
#[test]
fn private_keys() {
    let store = Store::empty();
    store.slot(0, "red");
    openssl(
        &store,
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa",
    );
    openssl(
        &store,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256",
    );
    openssl(
        &store,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out p384",
    );
    openssl(&store, "genpkey -algorithm ED25519 -out ed25519");
    for (file, key_type) in [
        ("rsa", "RSA"),
        ("p256", "EC"),
        ("p384", "EC"),
        ("ed25519", "ED"),
    ] {
        openssl(
            &store,
            &format!("pkcs8 -topk8 -nocrypt -in {file} -outform DER -out {file}.der"),
        );
        for form in [file.to_owned(), format!("{file}.der")] {
            let out = import(&store, &form, "-id 01").ok();
            let text = shown(&store, &out);
            assert!(text.contains("key type"), "{form}: {text}");
            assert!(text.to_uppercase().contains(key_type), "{form}: {text}");
            assert!(
                text.contains("private key") || text.contains("PRIVATE_KEY"),
                "{form}: {text}"
            );
        }
    }
    // The value of the Ed25519 key is the last 32 bytes of its DER.
    let der = fs::read(store.path("ed25519.der")).unwrap();
    let secret = hex(&der[der.len() - 32..]);
    for handle in 1..=8 {
        let out = store
            .run_in(0, &format!("object show -handle {handle} --json"))
            .ok();
        let text = out.stdout.to_lowercase().replace([' ', ':'], "");
        assert!(!text.contains(&secret[..16]), "{text}");
    }
}

/// "SPKI, certificates".
#[test]
fn public_keys_and_certificates() {
    let store = Store::empty();
    store.slot(0, "red");
    for (name, make) in [
        (
            "rsa",
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa",
        ),
        (
            "ec",
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec",
        ),
        ("ed", "genpkey -algorithm ED25519 -out ed"),
    ] {
        openssl(&store, make);
        openssl(&store, &format!("pkey -in {name} -pubout -out {name}.pub"));
        openssl(
            &store,
            &format!("pkey -in {name} -pubout -outform DER -out {name}.pub.der"),
        );
        openssl(
            &store,
            &format!("req -x509 -key {name} -subj /CN=test-{name} -days 30 -out {name}.crt"),
        );
        openssl(
            &store,
            &format!("x509 -in {name}.crt -outform DER -out {name}.crt.der"),
        );
        for form in ["pub", "pub.der"] {
            let out = import(&store, &format!("{name}.{form}"), "").ok();
            let text = shown(&store, &out);
            assert!(
                text.contains("public key") || text.contains("PUBLIC_KEY"),
                "{text}"
            );
        }
        for form in ["crt", "crt.der"] {
            let out = import(&store, &format!("{name}.{form}"), "").ok();
            let text = shown(&store, &out);
            assert!(text.contains("certificate"), "{text}");
        }
    }
    // They clone as all objects do.
    store.slot(1, "red");
    let hsm = store.mount(&[0, 1]);
    crate::fixture::sh(
        r#"cp "$S"/* "$D"/ && diff -r "$S" "$D""#,
        &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))],
    )
    .ok();
    assert_eq!(hsm.list(1).len(), 12);
}

/// What is none of these is refused with its name and a reason.
#[test]
fn not_importable() {
    let store = Store::empty();
    store.slot(0, "red");
    openssl(
        &store,
        "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ec",
    );
    openssl(
        &store,
        "pkcs8 -topk8 -in ec -passout pass:secret -out encrypted",
    );
    let pem = fs::read_to_string(store.path("ec")).unwrap();
    openssl(&store, "pkcs8 -topk8 -nocrypt -in ec -outform DER -out der");
    let der = fs::read(store.path("der")).unwrap();
    fs::write(store.path("cut"), &der[..der.len() - 1]).unwrap();
    fs::write(store.path("trailing"), [&der[..], b"x"].concat()).unwrap();
    fs::write(store.path("empty"), b"").unwrap();
    fs::write(store.path("text"), b"hello\n").unwrap();
    fs::write(store.path("broken"), pem.replace("PRIVATE", "PIRATE")).unwrap();
    fs::write(store.path("half"), &pem[..pem.len() / 2]).unwrap();
    fs::create_dir(store.path("directory")).unwrap();
    let before = store.run_in(0, "partition contents").ok();
    let out = import(&store, "encrypted", "").fails(USAGE);
    assert!(out.stderr.contains("-filepasswordfile"), "{out:?}");
    let out = import(&store, "encrypted", "-filepassword other").fails(FAILED);
    assert!(out.stderr.contains("encrypted: the password"), "{out:?}");
    for file in [
        "cut",
        "trailing",
        "empty",
        "text",
        "broken",
        "half",
        "directory",
        "red.pem",
    ] {
        let out = import(&store, file, "");
        assert_eq!(out.code, FAILED, "{file}: {out:?}");
        assert!(out.stderr.contains(file), "{file}: {out:?}");
        assert!(handles(&out.stdout).is_empty(), "{file}: {out:?}");
        assert!(!out.text().contains("panicked"), "{file}: {out:?}");
    }
    let out = store.run_in(0, "partition contents").ok();
    assert_eq!(out.stdout, before.stdout, "nothing was stored");
}
