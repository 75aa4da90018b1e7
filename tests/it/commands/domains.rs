//! Up to three domains per slot: what they let clone, how one is rolled over, what is refused.

use std::fs;

use super::{FAILED, LOGIN, USAGE};
use crate::fixture::{Mount, Out, Store, contents, errno, names, sh};

/// A command of the partition officer of a slot.
fn po(store: &Store, slot: u32, line: &str) -> Out {
    store.run_without_terminal(&format!(
        "--password-file {slot}:po=pw-{slot} --active-slot {slot} {line}"
    ))
}

fn add(store: &Store, slot: u32, name: &str) {
    store.domain(name);
    po(
        store,
        slot,
        &format!("partition domainadd -domainkey {name}.pem -domainlabel {name}"),
    )
    .ok();
}

/// Slots 0 (red) and 1 (blue), slot 0 with two keys.
fn strangers() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "blue");
    store.aes(0, 2);
    store
}

fn cp(mount: &Mount, from: &str, to: &str) -> Out {
    sh(
        &format!(r#"cp "$MNT/{from}" "$MNT/{to}""#),
        &[("MNT", &mount.point)],
    )
}

fn list(store: &Store, slot: u32) -> serde_json::Value {
    store
        .run_in(slot, "partition domainlist --json")
        .ok()
        .json()["domains"]
        .clone()
}

/// "Two slots that share any one clone, in both directions, by command and by cp" - in a mount that was
/// there before the domain was.
#[test]
fn any_shared_domain_clones_both_ways() {
    let store = strangers();
    let mount = store.start(&[0, 1]);
    mount.announce_rejections();
    let one = fs::read(mount.point.join("0/1")).unwrap();
    assert_ne!(cp(&mount, "0/1", "1/1").code, 0);
    add(&store, 1, "green");
    assert_ne!(cp(&mount, "0/1", "1/1").code, 0);
    // A third: now they share one. The blob grows by a stanza, and the mount shows its new size at once.
    po(
        &store,
        1,
        "partition domainadd -domainkey red.pem -domainlabel red -primary",
    )
    .ok();
    cp(&mount, "0/1", "1/1").ok();
    let there = fs::read(mount.point.join("1/1")).unwrap();
    assert_eq!(there.len(), one.len() + 128);
    assert_eq!(
        fs::metadata(mount.point.join("1/1")).unwrap().len(),
        there.len() as u64
    );
    let passwords = "--password-file 0=pw-0 --password-file 1=pw-1";
    store
        .run_without_terminal(&format!("{passwords} partition clone -o 2 -s 1"))
        .ok();
    assert_eq!(names(&mount.point.join("1")), ["1", "2"]);
    // Back, both ways of doing it.
    sh(r#"rm "$MNT/0/1" "$MNT/0/2""#, &[("MNT", &mount.point)]).ok();
    cp(&mount, "1/1", "0/1").ok();
    store
        .run_without_terminal(&format!(
            "{passwords} --active-slot 1 partition clone -o 2 -s 0"
        ))
        .ok();
    assert_eq!(fs::read(mount.point.join("0/1")).unwrap(), one);
    // Without it, no more.
    po(
        &store,
        1,
        "partition domainchangelabel -domainlabel green -primary",
    )
    .ok();
    po(&store, 1, "partition domaindelete -domainlabel red -force").ok();
    sh(r#"rm "$MNT/0/1""#, &[("MNT", &mount.point)]).ok();
    assert_ne!(cp(&mount, "1/1", "0/1").code, 0);
    let out = store
        .run_without_terminal(&format!(
            "{passwords} --active-slot 1 partition clone -o 1 -s 0"
        ))
        .fails(FAILED);
    assert!(
        out.stdout.contains("no domain of this slot opens it"),
        "{out:?}"
    );
}

/// docs/domains.md: rolling a domain over without losing a key, with two slots that are mounted and a backup.
#[test]
fn rolling_a_domain_over() {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 3);
    let mount = store.start(&[0, 1]);
    mount.announce_rejections();
    let shell = |script: &str| sh(script, &[("MNT", &mount.point), ("DIR", &store.path(""))]);
    shell(r#"cp -r "$MNT/0/." "$MNT/1/" && mkdir "$DIR/old" && cp -r "$MNT/0/." "$DIR/old/""#).ok();
    // 1. Every slot takes in what is sealed under the new domain.
    for slot in [0, 1] {
        store.domain("new");
        po(
            &store,
            slot,
            "partition domainadd -domainkey new.pem -domainlabel 2027 -primary",
        )
        .ok();
        // Meanwhile everything clones, whichever slot has it already.
        store.aes(0, 1);
        shell(r#"cp -r "$MNT/0/." "$MNT/1/" && diff -r "$MNT/0" "$MNT/1" || test $? = 1"#).ok();
        assert_eq!(names(&mount.point.join("0")), names(&mount.point.join("1")));
    }
    // 2. A backup that the new domain opens.
    shell(r#"mkdir "$DIR/new" && cp -r "$MNT/0/." "$DIR/new/" && diff -r "$MNT/0" "$MNT/1""#).ok();
    // 3. The old one goes.
    for slot in [0, 1] {
        po(
            &store,
            slot,
            "partition domaindelete -domainlabel primary -force",
        )
        .ok();
    }
    shell(r#"diff -r "$MNT/0" "$MNT/1""#).ok();
    assert_eq!(contents(&mount.point.join("0")).len(), 5);
    // The new backup restores, the old one does not.
    store.run_in(1, "partition clear -force").ok();
    assert_eq!(names(&mount.point.join("1")), [""; 0]);
    let out = shell(r#"cp "$DIR"/old/* "$MNT/1/""#);
    assert_ne!(out.code, 0, "{out:?}");
    assert_eq!(names(&mount.point.join("1")), [""; 0]);
    shell(r#"cp "$DIR"/new/* "$MNT/1/" && diff -r "$MNT/0" "$MNT/1""#).ok();
}

/// "domainlist shows label, kind and fingerprint"; the fingerprint is the domain's, wherever it is.
#[test]
fn the_list() {
    let store = strangers();
    po(
        &store,
        1,
        "partition domainadd -domain correct-horse-battery-staple -domainlabel words",
    )
    .ok();
    add(&store, 1, "red");
    let (zero, one) = (list(&store, 0), list(&store, 1));
    assert_eq!(zero.as_array().unwrap().len(), 1);
    assert_eq!(zero[0]["label"], "primary");
    assert_eq!(zero[0]["kind"], "key file");
    assert_eq!(zero[0]["primary"], true);
    assert_eq!(one[1]["label"], "words");
    assert_eq!(one[1]["kind"], "string");
    assert_eq!(one[1]["primary"], false);
    assert_eq!(one[2]["fingerprint"], zero[0]["fingerprint"]);
    assert_ne!(one[0]["fingerprint"], zero[0]["fingerprint"]);
    let out = store.run_in(1, "partition domainlist").ok();
    assert!(
        out.stdout.starts_with(
            "Domain Label  Kind      Primary  Fingerprint\nprimary       key file  yes      "
        ),
        "{out:?}"
    );
    assert!(!out.text().contains("horse-battery"), "{out:?}");
    // Only to the logged in.
    store
        .run_without_terminal("partition domainlist -slot 1")
        .fails(USAGE);
}

#[test]
fn what_is_refused() {
    let store = strangers();
    let refused = |slot: u32, line: &str, code: &str| {
        let before = list(&store, slot);
        let out = po(&store, slot, line).fails(FAILED);
        assert!(out.stdout.contains(code), "{line}: {out:?}");
        assert_eq!(list(&store, slot), before, "{line}");
    };
    refused(
        0,
        "partition domaindelete -domainlabel primary -force",
        "0x8000011c (CKR_DOMAIN_MANAGEMENT_NOT_ALLOWED)",
    );
    refused(
        0,
        "partition domainadd -domainkey red.pem -domainlabel other",
        "0x80000008 (CKR_CLONING_PARAMETER_ALREADY_EXISTS)",
    );
    refused(
        0,
        "partition domainadd -domainkey blue.pem -domainlabel primary",
        "0x8000011e (CKR_DOMAIN_LABEL_ALREADY_EXISTS)",
    );
    let long = "l".repeat(33);
    refused(
        0,
        &format!("partition domainadd -domainkey blue.pem -domainlabel {long}"),
        "0x8000011d (CKR_DOMAIN_LABEL_INVALID)",
    );
    add(&store, 0, "green");
    add(&store, 0, "blue");
    store.domain("fourth");
    refused(
        0,
        "partition domainadd -domainkey fourth.pem -domainlabel fourth",
        "0x8000011f (CKR_DOMAIN_MAX_REACHED)",
    );
    refused(
        0,
        "partition domaindelete -domainlabel primary -force",
        "0x80000120 (CKR_DOMAIN_NO_PRIMARY)",
    );
    refused(
        0,
        "partition domaindelete -domainlabel nothing -force",
        "0x80000009 (CKR_CLONING_PARAMETER_MISSING)",
    );
    refused(
        0,
        "partition domainchangelabel -domainlabel green -newlabel blue",
        "0x8000011e (CKR_DOMAIN_LABEL_ALREADY_EXISTS)",
    );
    // It asks first, and there is nobody.
    refused(
        0,
        "partition domaindelete -domainlabel green",
        "0x50 (CKR_FUNCTION_CANCELED)",
    );
    po(
        &store,
        0,
        "partition domainadd -domain secretish -domainlabel secretish",
    )
    .fails(USAGE);
    po(&store, 0, "partition domainchangelabel -domainlabel green").fails(USAGE);
    // The crypto officer does not.
    let out = store
        .run_without_terminal(
            "--password-file 0=pw-0 partition domainadd -domainkey fourth.pem -domainlabel fourth -slot 0",
        )
        .fails(USAGE);
    assert!(out.stderr.contains("0:po=PATH"), "{out:?}");
    fs::write(store.path("wrong"), "wrong horse\n").unwrap();
    store
        .run_without_terminal(
            "--password-file 0:po=wrong partition domaindelete -domainlabel green -slot 0 -force",
        )
        .fails(LOGIN);
}

/// Labels and the order change; what is sealed does not.
#[test]
fn relabelled_and_made_primary() {
    let store = strangers();
    add(&store, 0, "green");
    let mount = store.start(&[0]);
    let before = contents(&mount.point.join("0"));
    po(
        &store,
        0,
        "partition domainchangelabel -domainlabel primary -newlabel old",
    )
    .ok();
    po(
        &store,
        0,
        "partition domainchangelabel -domainlabel green -newlabel new -primary",
    )
    .ok();
    let domains = list(&store, 0);
    assert_eq!(domains[0]["label"], "new");
    assert_eq!(domains[0]["primary"], true);
    assert_eq!(domains[1]["label"], "old");
    assert_eq!(contents(&mount.point.join("0")), before);
    let status = fs::read_to_string(mount.point.join("0/.slotfs/status")).unwrap();
    assert!(status.contains("new"), "{status}");
}

/// A partition is named by its first domain's label where init is told one.
#[test]
fn init_labels_its_domain() {
    let store = strangers();
    store.password_file(5);
    store
        .run("partition init -slot 5 -label five -domainkey red.pem -domainlabel 2026 --password-file 5=pw-5")
        .ok();
    assert_eq!(list(&store, 5)[0]["label"], "2026");
}

/// A policy that takes effect in a mount that is there: EPERM at open.
#[test]
fn a_policy_reaches_the_mount() {
    let store = strangers();
    let mount = store.start(&[0]);
    fs::read(mount.point.join("0/1")).unwrap();
    po(&store, 0, "partition changepolicy -policy 4 -value 0").ok();
    mount.announce("policy forbids");
    assert_eq!(errno(fs::read(mount.point.join("0/1"))), libc::EPERM);
    let out = store
        .run("partition showpolicies -slot 0 --json")
        .ok()
        .json();
    assert_eq!(out["policies"][2]["policy"], 4);
    assert_eq!(out["policies"][2]["value"], 0);
    po(&store, 0, "partition changepolicy -policy 4 -value 1").fails(FAILED);
    let out = po(
        &store,
        0,
        "partition changepolicy -policy 4 -value 1 -force",
    )
    .ok();
    assert!(
        out.stdout.contains("2 objects on slot 0 were destroyed"),
        "{out:?}"
    );
    assert_eq!(names(&mount.point.join("0")), [""; 0]);
    for bad in [
        "-policy 0 -value 2",
        "-policy 20 -value 0",
        "-policy 20 -value 11",
        "-policy 2 -value 1",
        "-policy 20",
    ] {
        po(&store, 0, &format!("partition changepolicy {bad}")).fails(USAGE);
    }
}
