//! Files of several objects, and what other programs write.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::super::FAILED;
use super::{import, openssl, shown};
use crate::fixture::{Store, handles, run};

fn copy(store: &Store, file: &str) {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
    let name = Path::new(file).file_name().unwrap().to_str().unwrap();
    fs::copy(keys.join(file), store.path(name)).unwrap();
}

fn tool(store: &Store, line: &str) {
    let mut words = line.split_whitespace();
    run(Command::new(words.next().unwrap())
        .args(words.map(|word| if word == "''" { "" } else { word }))
        .current_dir(store.path("")))
    .ok();
}

/// BER, as pk12util makes it here and now; and a null password, which GnuTLS writes.
#[test]
fn stores_of_nss_and_gnutls() {
    let store = Store::empty();
    store.slot(0, "red");
    openssl(
        &store,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key -subj /CN=nss -days 30 -out crt",
    );
    openssl(
        &store,
        "pkcs12 -export -inkey key -in crt -name mine -passout pass:secret -out in.p12",
    );
    tool(&store, "certutil -N -d sql:. --empty-password");
    tool(&store, "pk12util -i in.p12 -W secret -d sql:.");
    tool(&store, "pk12util -o nss.p12 -n mine -W secret -d sql:.");
    let ber = fs::read(store.path("nss.p12")).unwrap();
    assert_eq!(ber[..2], [0x30, 0x80], "of indefinite length");
    let out = import(&store, "nss.p12", "-filepassword secret").ok();
    assert_eq!(handles(&out.stdout).len(), 2, "{out:?}");
    let text = shown(&store, &out);
    assert!(text.contains("certificate"), "{text}");

    copy(&store, "encrypted/empty/null-gnutls.p12");
    fs::write(store.path("empty"), "").unwrap();
    let out = import(&store, "null-gnutls.p12", "-filepasswordfile empty").ok();
    assert_eq!(handles(&out.stdout).len(), 2, "{out:?}");
}

/// What ssh-keygen writes, also under a password, and does not convert.
#[test]
fn keys_of_openssh() {
    let store = Store::empty();
    store.slot(0, "red");
    tool(&store, "ssh-keygen -q -t ed25519 -N '' -f plain");
    tool(&store, "ssh-keygen -q -t ed25519 -N secret -f locked");
    for (file, more) in [
        ("plain", ""),
        ("plain.pub", ""),
        ("locked", "-filepassword secret"),
    ] {
        let out = import(&store, file, more).ok();
        assert_eq!(handles(&out.stdout).len(), 1, "{out:?}");
        assert!(shown(&store, &out).contains("EC_EDWARDS"), "{file}");
    }
    let out = import(&store, "locked", "-filepassword other").fails(FAILED);
    assert!(out.stderr.contains("locked: the password"), "{out:?}");
}

/// All blocks or none, each with its line.
#[test]
fn several_blocks() {
    let store = Store::empty();
    store.slot(0, "red");
    for (file, objects) in [("chain.pem", 3), ("key-and-certificate.pem", 2)] {
        copy(&store, &format!("several/{file}"));
        let out = import(&store, file, "").ok();
        assert_eq!(handles(&out.stdout).len(), objects, "{out:?}");
        let lines = out
            .stdout
            .lines()
            .filter(|line| line.starts_with("Handle "));
        assert_eq!(lines.count(), objects, "{out:?}");
    }
    let before = store.run_in(0, "partition contents").ok();
    copy(&store, "several/bad/third-of-unknown-label.pem");
    let out = import(&store, "third-of-unknown-label.pem", "").fails(FAILED);
    assert!(out.stderr.contains("block 3 (line 25)"), "{out:?}");
    assert!(handles(&out.stdout).is_empty(), "{out:?}");
    let after = store.run_in(0, "partition contents").ok();
    assert_eq!(after.stdout, before.stdout, "nothing was stored");
}

/// What can be imported of a store is, and what cannot is named.
#[test]
fn a_store_with_a_secret_key() {
    let store = Store::empty();
    store.slot(0, "red");
    let file = "java-secrets-ec-and-dsa.p12";
    copy(&store, &format!("encrypted/partial/{file}"));
    let out = import(&store, file, "-filepassword xxxxxx").fails(FAILED);
    assert_eq!(handles(&out.stdout).len(), 3, "{out:?}");
    let named = |what| {
        out.stderr
            .lines()
            .filter(|line| line.contains(what))
            .count()
    };
    assert_eq!(named("a secret key cannot be imported"), 2, "{out:?}");
    assert_eq!(
        named("keys of algorithm DSA are not supported"),
        1,
        "{out:?}"
    );
    assert!(out.stderr.contains("3 of its entries"), "{out:?}");
    let out = import(&store, file, "-filepassword xxxxxx --json").fails(FAILED);
    let document = out.json();
    assert_eq!(document["objects"].as_array().unwrap().len(), 3, "{out:?}");
    let message = document["error"]["message"].as_str().unwrap();
    assert!(message.contains(file), "{out:?}");

    copy(&store, "encrypted/partial/java-secret.p12");
    let out = import(&store, "java-secret.p12", "-filepassword xxxxxx").fails(FAILED);
    assert!(out.stderr.contains("secret key"), "{out:?}");
    assert!(handles(&out.stdout).is_empty(), "{out:?}");
}
