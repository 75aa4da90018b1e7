//! What a later build wrote: refused by the version found and the version known, and left as it is.

use std::fs;

use data_encoding::{BASE64, HEXLOWER};
use rusqlite::Connection;
use serde_json::Value;

use crate::fixture::{Mount, Store, assert_errno, names, password, store_excl, store_trunc};
use crate::sealed_header;

/// Every file of the store's folder that belongs to the store.
fn files(store: &Store) -> Vec<(String, Vec<u8>)> {
    names(&store.path(""))
        .into_iter()
        .filter(|name| name.starts_with("store.db"))
        .map(|name| {
            let bytes = fs::read(store.path(&name)).unwrap();
            (name, bytes)
        })
        .collect()
}

fn store_with_a_key() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 1);
    store
}

/// Every command refuses it, whether it would write or not, and writes nothing: not even a file beside it.
#[test]
fn a_later_schema_is_refused_and_not_touched() {
    let store = store_with_a_key();
    let known: i64 = Connection::open(store.path("store.db"))
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    for version in [known + 1, 99, i64::from(i32::MAX), -1] {
        let connection = Connection::open(store.path("store.db")).unwrap();
        connection
            .pragma_update(None, "user_version", version)
            .unwrap();
        drop(connection);
        let before = files(&store);
        assert_eq!(before.len(), 1, "closed");
        for line in [
            "slot list",
            "partition showinfo -slot 0",
            "partition contents -slot 0 --password-file 0=pw-0",
            "object generate -type aes -label k -slot 0 --password-file 0=pw-0",
            "partition init -slot 0 -label again -domainkey red.pem -force --password-file 0=pw-0",
            "partition init -slot 1 -label more -domainkey red.pem --password-file 1=pw-0",
            "role login -name co -slot 0 --password-file 0=pw-0",
            "store check --password-file 0=pw-0",
            "store backup copy.db",
            "mount mnt --foreground --login 0 --password-file 0=pw-0",
            "mount mnt --foreground -o ro",
        ] {
            let out = store.run(line).fails(4);
            assert!(
                out.stderr.contains(&format!(
                    "schema version {version}, this build knows 1 to {known}"
                )),
                "{line}: {out:?}"
            );
            assert!(files(&store) == before, "{version}: {line} wrote");
        }
        assert!(!store.path("copy.db").exists());
    }
}

/// A header that another build sealed with the slot's own key: the version is named at each door, and none writes
/// the slot.
#[test]
fn a_later_slot_header_is_refused_by_its_version() {
    let store = store_with_a_key();
    reseal_header(&store, |plain| plain[0] = 7);
    let slots = || -> Vec<Vec<u8>> {
        Connection::open(store.path("store.db"))
            .unwrap()
            .prepare("SELECT header FROM slots UNION ALL SELECT sealed FROM objects")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let before = slots();
    for line in [
        "partition contents -slot 0 --password-file 0=pw-0",
        "object generate -type aes -label k -slot 0 --password-file 0=pw-0",
        "role login -name co -slot 0 --password-file 0=pw-0",
        "mount mnt --foreground --login 0 --password-file 0=pw-0",
        "store check --password-file 0=pw-0",
    ] {
        let out = store.run(line).code_is_not(0);
        assert!(
            out.text()
                .contains("its header has version 7, this build knows 4"),
            "{line}: {out:?}"
        );
        assert!(slots() == before, "{line} wrote");
    }
    // The password was the right one, so that is no failed login.
    let roles = store.run("role list -slot 0 --json").ok().json();
    assert_eq!(roles["roles"][1]["failed_logins"], 0, "{roles:#}");
    // The check of this test itself: sealed again as it was, it opens.
    reseal_header(&store, |plain| plain[0] = 3);
    store.run_in(0, "partition contents").ok();
}

/// Changes slot 0's header, and seals it for the same place.
fn reseal_header(store: &Store, change: impl FnOnce(&mut [u8])) {
    let connection = Connection::open(store.path("store.db")).unwrap();
    let rows = sealed_header::credentials(&connection, 1);
    let key = rows[1].slot_key(&password(0));
    sealed_header::reseal(&connection, 0, &key, change);
}

/// "an unknown header version is EACCES; the log names it", and so does the slot's own record of verdicts.
#[test]
fn a_later_blob_is_refused_by_its_version() {
    let store = store_with_a_key();
    store.slot(1, "red");
    let mount = store.start(&[0, 1]);
    let blob = fs::read(mount.point.join("0/1")).unwrap();
    for version in [0, 2, 255] {
        let mut later = blob.clone();
        later[7] = version;
        refused(
            &mount,
            &later,
            libc::EACCES,
            &format!("its header has version {version}, this build knows 1"),
        );
    }
    store_excl(&mount.point.join("1/1"), &blob).unwrap();
}

/// "an opened, authentic payload of a version this build does not know": made by the second implementation, under
/// a domain that the slot holds.
#[test]
fn a_later_payload_is_refused_by_its_version() {
    let vectors: Value = serde_json::from_str(include_str!(
        "../../vectors/refused/payload-version-unknown.json"
    ))
    .unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    let unhex = |value: &Value| HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
    let domain = &vectors[0]["held"][0][1];
    let store = Store::empty();
    fs::write(
        store.path("red.pem"),
        format!(
            "-----BEGIN SLOTFS DOMAIN KEY-----\n{}\n-----END SLOTFS DOMAIN KEY-----\n",
            BASE64.encode(&unhex(domain))
        ),
    )
    .unwrap();
    store.slot(1, "red");
    let mount = store.start(&[1]);
    let mut tried = 0;
    for vector in vectors
        .iter()
        .filter(|it| it["held"][0][1] == *domain && it["kind"] == 1)
    {
        let version = unhex(&vector["payload"])[0];
        let blob = unhex(&vector["blob"]);
        refused(
            &mount,
            &blob,
            libc::EPROTONOSUPPORT,
            &format!("payload has version {version}, this build knows 1"),
        );
        tried += 1;
    }
    assert!(tried >= 3, "{tried} vectors");
    assert_eq!(names(&mount.point.join("1")), [""; 0]);
}

/// A blob is refused to slot 1 with this errno, and the log and the slot's `clones` say these words.
#[track_caller]
fn refused(mount: &Mount, blob: &[u8], errno: i32, words: &str) {
    mount.announce_rejections();
    let said = |text: &str| text.matches(words).count();
    let clones = mount.point.join("1/.slotfs/clones");
    let before = (
        said(&mount.log()),
        said(&fs::read_to_string(&clones).unwrap()),
    );
    let outcome = store_trunc(&mount.point.join("1/9"), blob);
    match errno {
        libc::EACCES => assert_errno!(outcome, EACCES),
        _ => assert_errno!(outcome, EPROTONOSUPPORT),
    }
    mount.announce(words);
    assert!(said(&mount.log()) > before.0, "{words}: {}", mount.log());
    let after = fs::read_to_string(&clones).unwrap();
    assert!(said(&after) > before.1, "{words}: {after}");
}
