//! Keys of every type: generated here or made by openssl, cloned with cp over a mount, their public halves compared
//! by openssl before and after.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{FAILED, USAGE};
use crate::fixture::{Hsm, Out, Store, handles, run, sh};
use crate::terminal::Terminal;

/// Types as `object generate` takes them, and what `object show` then says of key type and mechanism.
const PAIRS: &[(&str, &str, &str)] = &[
    ("rsa -bits 2048", "RSA", "CKM_RSA_PKCS_KEY_PAIR_GEN"),
    ("rsa -bits 4096", "RSA", "CKM_RSA_PKCS_KEY_PAIR_GEN"),
    ("ec -curve p256", "EC", "CKM_EC_KEY_PAIR_GEN"),
    ("ec -curve p384", "EC", "CKM_EC_KEY_PAIR_GEN"),
    ("ec -curve p521", "EC", "CKM_EC_KEY_PAIR_GEN"),
    ("ec -curve secp256k1", "EC", "CKM_EC_KEY_PAIR_GEN"),
    ("ed25519", "EC_EDWARDS", "CKM_EC_EDWARDS_KEY_PAIR_GEN"),
    ("x25519", "EC_MONTGOMERY", "CKM_EC_MONTGOMERY_KEY_PAIR_GEN"),
];

/// Keys as openssl makes them.
const ALGORITHMS: &[(&str, &str)] = &[
    ("rsa2048", "RSA -pkeyopt rsa_keygen_bits:2048"),
    ("rsa3072", "RSA -pkeyopt rsa_keygen_bits:3072"),
    ("p256", "EC -pkeyopt ec_paramgen_curve:P-256"),
    ("p384", "EC -pkeyopt ec_paramgen_curve:P-384"),
    ("p521", "EC -pkeyopt ec_paramgen_curve:P-521"),
    ("secp256k1", "EC -pkeyopt ec_paramgen_curve:secp256k1"),
    ("ed25519", "ED25519"),
    ("x25519", "X25519"),
];

#[track_caller]
fn openssl(store: &Store, line: &str) -> Out {
    run(Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(store.path("")))
    .ok()
}

#[track_caller]
fn export(store: &Store, slot: u32, handle: u32, name: &str) -> Vec<u8> {
    store
        .run_in(
            slot,
            &format!("object export -handle {handle} -file {name}"),
        )
        .ok();
    fs::read(store.path(name)).unwrap()
}

#[track_caller]
fn show(store: &Store, slot: u32, handle: u32) -> serde_json::Value {
    store
        .run_in(slot, &format!("object show -handle {handle} --json"))
        .ok()
        .json()["object"]
        .take()
}

#[track_caller]
fn clone_all(hsm: &Hsm) {
    sh(
        r#"cp "$S"/* "$D"/ && diff -r "$S" "$D""#,
        &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))],
    )
    .ok();
}

/// "generated (aws-lc-rs)", "a key generated here ... clone[s], and [its] public halves still match afterwards".
#[test]
fn generated_pairs_clone_and_their_halves_match() {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    let mut before = BTreeMap::new();
    for (index, (kind, key_type, mechanism)) in PAIRS.iter().enumerate() {
        let label = format!("pair{index}");
        let out = store
            .run_in(0, &format!("object generate -type {kind} -label {label}"))
            .ok();
        let [private, public] = handles(&out.stdout)[..] else {
            panic!("{kind}: {out:?}");
        };
        for (handle, class) in [(private, "private key"), (public, "public key")] {
            let shown = show(&store, 0, handle);
            assert_eq!(shown["class"], class, "{kind}");
            assert_eq!(shown["key_type"], *key_type, "{kind}");
            assert_eq!(shown["label"], label.as_str());
            assert_eq!(shown["attributes"]["CKA_LOCAL"], true, "{kind}");
            assert_eq!(shown["attributes"]["CKA_KEY_GEN_MECHANISM"], *mechanism);
        }
        let (one, two) = (show(&store, 0, private), show(&store, 0, public));
        assert_eq!(one["id"], two["id"], "{kind}");
        assert_eq!(one["attributes"]["CKA_ALWAYS_SENSITIVE"], true);
        assert_eq!(one["attributes"]["CKA_NEVER_EXTRACTABLE"], true);
        let name = format!("{label}.pub");
        let of_public = export(&store, 0, public, &name);
        assert_eq!(
            export(&store, 0, private, &format!("{label}.half")),
            of_public
        );
        openssl(&store, &format!("pkey -pubin -in {name} -noout -text"));
        // Curve25519's keys have nothing that openssl could check.
        if *key_type == "EC" {
            openssl(&store, &format!("pkey -pubin -in {name} -noout -pubcheck"));
        }
        before.insert(private, of_public.clone());
        before.insert(public, of_public);
    }
    let hsm = store.mount(&[0, 1]);
    clone_all(&hsm);
    for (handle, public) in &before {
        assert_eq!(
            &export(&hsm.store, 1, *handle, &format!("after-{handle}")),
            public
        );
    }
    let out = hsm.store.run_in(1, "partition contents").ok();
    for name in ["RSA", "EC", "EC_EDWARDS", "EC_MONTGOMERY"] {
        assert!(out.stdout.contains(name), "{out:?}");
    }
}

/// "imported from openssl": each type in each form, cloned, and its public half is the one openssl computes.
#[test]
fn imported_keys_clone_and_their_halves_match() {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    crate::fixture::write_private(&store.path("password"), "file password\n");
    let mut expected = BTreeMap::new();
    for (name, algorithm) in ALGORITHMS {
        openssl(
            &store,
            &format!("genpkey -algorithm {algorithm} -out {name}.pem"),
        );
        openssl(
            &store,
            &format!("pkey -in {name}.pem -pubout -out {name}.pub"),
        );
        openssl(
            &store,
            &format!("pkcs8 -topk8 -nocrypt -in {name}.pem -outform DER -out {name}.der"),
        );
        openssl(
            &store,
            &format!(
                "pkcs8 -topk8 -v2 aes256 -in {name}.pem -passout file:password -out {name}.enc"
            ),
        );
        openssl(
            &store,
            &format!(
                "pkcs12 -export -nocerts -inkey {name}.pem -passout file:password -out {name}.p12"
            ),
        );
        let public = fs::read(store.path(format!("{name}.pub"))).unwrap();
        for (file, more) in [
            (format!("{name}.pem"), ""),
            (format!("{name}.der"), ""),
            (format!("{name}.enc"), "-filepasswordfile password"),
            (format!("{name}.p12"), "-filepasswordfile password"),
            (format!("{name}.pub"), ""),
        ] {
            let out = store
                .run_in(
                    0,
                    &format!("object import -file {file} -label {file} {more}"),
                )
                .ok();
            let [handle] = handles(&out.stdout)[..] else {
                panic!("{file}: {out:?}");
            };
            expected.insert(handle, public.clone());
        }
    }
    let hsm = store.mount(&[0, 1]);
    clone_all(&hsm);
    for (handle, public) in &expected {
        assert_eq!(
            &export(&hsm.store, 1, *handle, &format!("after-{handle}")),
            public
        );
    }
}

/// A PKCS#12 store is several objects; key and certificate have one id.
#[test]
fn stores_of_a_key_and_certificates() {
    let store = Store::empty();
    store.slot(0, "red");
    crate::fixture::write_private(&store.path("password"), "file password\n");
    for name in ["own", "ca"] {
        openssl(
            &store,
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout {name}.key \
                 -subj /CN={name} -days 30 -out {name}.crt"
            ),
        );
    }
    openssl(
        &store,
        "pkcs12 -export -inkey own.key -in own.crt -certfile ca.crt -passout file:password -out own.p12",
    );
    let line = "object import -file own.p12 -label web";
    let out = store
        .run_in(0, &format!("{line} -filepasswordfile password"))
        .ok();
    let [key, own, ca] = handles(&out.stdout)[..] else {
        panic!("{out:?}");
    };
    let [key_shown, own_shown, ca_shown] = [key, own, ca].map(|handle| show(&store, 0, handle));
    assert_eq!(key_shown["class"], "private key");
    assert_eq!(own_shown["class"], "certificate");
    assert_eq!(ca_shown["class"], "certificate");
    assert_eq!(key_shown["id"], own_shown["id"]);
    assert_ne!(key_shown["id"], ca_shown["id"]);
    for (handle, file) in [(own, "own.crt"), (ca, "ca.crt")] {
        let exported = export(&store, 0, handle, &format!("exported-{file}"));
        assert_eq!(exported, fs::read(store.path(file)).unwrap());
    }
    let json = store
        .run_in(
            0,
            &format!("{line} -filepasswordfile password -id cafe --json"),
        )
        .ok()
        .json();
    assert_eq!(json["objects"].as_array().unwrap().len(), 3);
    assert_eq!(json["objects"][0]["class"], "private key");
    let handle = json["objects"][1]["handle"].as_u64().unwrap();
    assert_eq!(show(&store, 0, handle as u32)["id"], "cafe");

    let before = store.run_in(0, "partition contents").ok().stdout;
    let out = store
        .run_in(0, &format!("{line} -filepassword wrong"))
        .fails(FAILED);
    assert!(out.stderr.contains("password is wrong"), "{out:?}");
    let out = store.run_without_terminal(&format!("{line} -slot 0 --password-file 0=pw-0"));
    assert_eq!(out.code, USAGE, "{out:?}");
    assert!(out.stderr.contains("-filepasswordfile"), "{out:?}");
    let whole = fs::read(store.path("own.p12")).unwrap();
    fs::write(store.path("own.p12"), &whole[..whole.len() - 9]).unwrap();
    store
        .run_in(0, &format!("{line} -filepasswordfile password"))
        .fails(FAILED);
    for name in [
        "legacy.p12",
        "mac-rounds-1099511627776.p12",
        "rounds-6000000-twice.p12",
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys/encrypted/bad");
        fs::copy(file.join(name), store.path(name)).unwrap();
        let out = store
            .run_in(
                0,
                &format!("object import -file {name} -filepassword x -label x"),
            )
            .fails(FAILED);
        assert!(
            out.stderr.contains("openssl pkcs12"),
            "says what to do: {out:?}"
        );
    }
    let after = store.run_in(0, "partition contents").ok().stdout;
    assert_eq!(after, before, "nothing was stored");
}

/// A password that is nowhere on file is asked for, and not shown.
#[test]
fn a_password_that_is_asked_for() {
    let store = Store::empty();
    store.slot(0, "red");
    openssl(&store, "genpkey -algorithm ED25519 -out key");
    openssl(
        &store,
        "pkcs12 -export -nocerts -inkey key -passout pass:swordfish -out key.p12",
    );
    let line = "object import -file key.p12 -label k -slot 0 --password-file 0=pw-0";
    let words: Vec<_> = line.split(' ').collect();
    for (password, code) in [("swordfish", 0), ("shark", FAILED)] {
        let mut terminal = Terminal::spawn(store.command(&words));
        terminal.expect("Enter the password of key.p12: ");
        terminal.send_hidden(password);
        let (ended, text) = terminal.wait();
        assert_eq!(ended, code, "{text}");
        assert!(!text.contains(password), "{text}");
        assert_eq!(text.contains("Handle 1"), code == 0, "{text}");
    }
}

/// Half a key that is not its own is not taken.
#[test]
fn halves_of_two_keys() {
    let store = Store::empty();
    store.slot(0, "red");
    for name in ["one", "two"] {
        openssl(
            &store,
            &format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {name}.pem"),
        );
        openssl(
            &store,
            &format!("pkcs8 -topk8 -nocrypt -in {name}.pem -outform DER -out {name}.der"),
        );
    }
    let (mut one, two) = (
        fs::read(store.path("one.der")).unwrap(),
        fs::read(store.path("two.der")).unwrap(),
    );
    // The point is the end of openssl's PKCS#8.
    let at = one.len() - 64;
    one[at..].copy_from_slice(&two[at..]);
    fs::write(store.path("mixed.der"), one).unwrap();
    let out = store
        .run_in(0, "object import -file mixed.der -label mixed")
        .fails(FAILED);
    assert!(out.stderr.contains("do not match"), "{out:?}");
}

/// "-count": pairs one after the other, each half with a line.
#[test]
fn several_pairs() {
    let store = Store::empty();
    store.slot(0, "red");
    let out = store
        .run_in(
            0,
            "object generate -type ed25519 -label many -count 3 -id 07",
        )
        .ok();
    let all = handles(&out.stdout);
    assert_eq!(all.len(), 6);
    let lines = out.stdout.lines().filter(|line| !line.is_empty());
    assert_eq!(lines.count(), 7, "six handles and the result: {out:?}");
    for (index, handle) in all.iter().enumerate() {
        let shown = show(&store, 0, *handle);
        let class = ["private key", "public key"][index % 2];
        assert_eq!(shown["class"], class);
        assert_eq!(shown["id"], "07");
    }
    for line in [
        "-type rsa -bits 1024",
        "-type aes -bits 100",
        "-type rsa -bits 2049",
    ] {
        store
            .run_in(0, &format!("object generate {line} -label x"))
            .fails(FAILED);
    }
    for line in [
        "-type ec -bits 256",
        "-type rsa -curve p256",
        "-type ec -curve p192",
        "-type dsa",
        "-type x25519 -bits 255",
    ] {
        store
            .run_in(0, &format!("object generate {line} -label x"))
            .fails(USAGE);
    }
}

/// "attributes ... set at generation and import only", with PKCS#11's rules.
#[test]
fn chosen_attributes() {
    let store = Store::empty();
    store.slot(0, "red");
    let out = store
        .run_in(
            0,
            "object generate -type ec -label a -attribute extractable=true,derive=false -attribute verify=false",
        )
        .ok();
    let [private, public] = handles(&out.stdout)[..] else {
        panic!("{out:?}");
    };
    let shown = &show(&store, 0, private)["attributes"];
    for (name, value) in [
        ("CKA_EXTRACTABLE", true),
        ("CKA_NEVER_EXTRACTABLE", false),
        ("CKA_SENSITIVE", true),
        ("CKA_ALWAYS_SENSITIVE", true),
        ("CKA_DERIVE", false),
        ("CKA_SIGN", true),
        ("CKA_MODIFIABLE", true),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert_eq!(show(&store, 0, public)["attributes"]["CKA_VERIFY"], false);

    fs::write(store.path("raw"), [7; 16]).unwrap();
    let out = store
        .run_in(
            0,
            "object import -type aes -file raw -label b -attribute sensitive=false,end_date=2030-12-31",
        )
        .ok();
    let shown = &show(&store, 0, handles(&out.stdout)[0])["attributes"];
    assert_eq!(shown["CKA_SENSITIVE"], false);
    assert_eq!(shown["CKA_ALWAYS_SENSITIVE"], false);
    assert_eq!(shown["CKA_NEVER_EXTRACTABLE"], false, "its past is unknown");
    assert_eq!(shown["CKA_END_DATE"], "2030-12-31");
    assert_eq!(shown["CKA_VALUE"]["secret"], true, "not shown all the same");

    for (attribute, code, name) in [
        ("copyable=true", FAILED, "CKR_ATTRIBUTE_READ_ONLY"),
        ("local=true", FAILED, "CKR_ATTRIBUTE_READ_ONLY"),
        ("always_sensitive=true", FAILED, "CKR_ATTRIBUTE_READ_ONLY"),
        ("value=00", FAILED, "CKR_ATTRIBUTE_READ_ONLY"),
        ("token=false", FAILED, "CKR_ATTRIBUTE_READ_ONLY"),
        ("application=x", FAILED, "CKR_ATTRIBUTE_TYPE_INVALID"),
        ("nonsense=true", FAILED, "CKR_ATTRIBUTE_TYPE_INVALID"),
        ("sign=maybe", FAILED, "CKR_ATTRIBUTE_VALUE_INVALID"),
        ("sign_recover=true", FAILED, "CKR_ATTRIBUTE_TYPE_INVALID"),
        ("sign=true,sign=true", FAILED, "CKR_TEMPLATE_INCONSISTENT"),
        ("sign", USAGE, "CKR_ARGUMENTS_BAD"),
    ] {
        let out = store
            .run_in(
                0,
                &format!("object generate -type aes -label x -attribute {attribute}"),
            )
            .fails(code);
        assert!(out.stdout.contains(name), "{attribute}: {out:?}");
    }
    let out = store
        .run_in(
            0,
            "object generate -type ed25519 -label x -attribute derive=true",
        )
        .fails(FAILED);
    assert!(out.stdout.contains("CKR_TEMPLATE_INCONSISTENT"), "{out:?}");
}
