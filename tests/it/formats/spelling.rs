//! One blob for one object: blobs of the second implementation, under domains that a slot holds.

use std::fs;

use data_encoding::{BASE64, HEXLOWER};
use serde_json::Value;

use crate::fixture::{Mount, Store, assert_errno, names, store_excl, store_trunc};

/// The vectors of one file below `tests/vectors`.
fn vectors(file: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let text = fs::read_to_string(format!("{folder}/{file}")).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

fn unhex(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

/// The vector of that name.
fn named<'a>(vectors: &'a [Value], name: &str) -> &'a Value {
    let found = vectors.iter().find(|it| it["name"] == name);
    found.unwrap_or_else(|| panic!("no vector '{name}'"))
}

/// Writes a domain key file, from the hex of a vector.
fn key_file(store: &Store, name: &str, key: &Value) {
    let base64 = BASE64.encode(&unhex(key));
    let pem =
        format!("-----BEGIN SLOTFS DOMAIN KEY-----\n{base64}\n-----END SLOTFS DOMAIN KEY-----\n");
    fs::write(store.path(format!("{name}.pem")), pem).unwrap();
}

const WORDS: &str = "no slot sealed it";

/// Every blob of the two files that a slot holding `held`, the domains of a vector, meets.
fn spellings(kind: u64, held: &[Value]) -> Vec<(String, Vec<u8>)> {
    ["key-not-of-its-domains", "stanza-not-as-sealed"]
        .iter()
        .flat_map(|file| vectors(&format!("refused/{file}.json")))
        .filter(|it| it["kind"] == kind && it["refused"] == "blob NotAsSealed")
        .filter(|it| it["held"].as_array().unwrap() == held)
        .map(|it| (it["name"].as_str().unwrap().to_owned(), unhex(&it["blob"])))
        .collect()
}

/// Somebody who holds a slot's domains writes an object in bytes of their own: each is refused, by name, and the blob that
/// sealing gives is accepted and read back the same.
#[test]
fn another_spelling_of_an_object_is_refused_and_the_right_one_accepted() {
    let sealed = vectors("blob.json");
    let both = named(&sealed, "an object, 2 domains");
    let (first, second) = (&both["keys"][0]["d"], &both["keys"][1]["d"]);
    let store = Store::empty();
    key_file(&store, "red", first);
    key_file(&store, "blue", second);
    for slot in [1, 2, 3] {
        store.slot(slot, "red");
    }
    store
        .run("partition upgrade -slot 2 -force --password-file 2:po=pw-2")
        .ok();
    store
        .run("partition domainadd -domainkey blue.pem -domainlabel blue -slot 3 --password-file 3:po=pw-3")
        .ok();
    let mount = store.start(&[1, 2, 3]);
    mount.announce_rejections();

    let held = |key: &Value| Value::from(vec!["domain".into(), key.clone()]);
    let one = [held(first)];
    let two = [held(first), held(second)];
    let mut tried = 0;
    for (slot, file, kind, domains) in [
        (1, "9", 1, &one[..]),
        (2, "9", 1, &one),
        (2, ".slotfs/smk", 3, &one),
        (3, "9", 1, &two),
    ] {
        for (name, blob) in spellings(kind, domains) {
            let said = mount.log().matches(WORDS).count();
            let outcome = store_trunc(&mount.point.join(format!("{slot}/{file}")), &blob);
            assert_errno!(outcome, EACCES);
            let log = mount.log();
            assert!(log.matches(WORDS).count() > said, "{name}: {log}");
            tried += 1;
        }
        let clones = fs::read_to_string(mount.point.join(format!("{slot}/.slotfs/clones")));
        assert!(clones.unwrap().contains(WORDS), "slot {slot}");
        assert_eq!(names(&mount.point.join(slot.to_string())), [""; 0]);
    }
    mount.announce(WORDS);
    assert_eq!(tried, 3 + 3 + 3 + 8);

    let alone = unhex(&named(&sealed, "an object, 1 domain")["blob"]);
    let accepted = |mount: &Mount, slot: u32, blob: &[u8]| {
        store_excl(&mount.point.join(format!("{slot}/9")), blob).unwrap();
        fs::read(mount.point.join(format!("{slot}/9"))).unwrap()
    };
    assert_eq!(accepted(&mount, 1, &alone), alone);
    let both = unhex(&both["blob"]);
    assert_eq!(accepted(&mount, 3, &both), both);
    // A slot that lacks a domain of the blob cannot tell. It takes in the same object, and seals it itself.
    fs::remove_file(mount.point.join("1/9")).unwrap();
    for vector in vectors("other-bytes-same-object.json") {
        assert_eq!(vector["held"], Value::from(one.to_vec()));
        assert_eq!(accepted(&mount, 1, &unhex(&vector["blob"])), alone);
        fs::remove_file(mount.point.join("1/9")).unwrap();
    }
}
