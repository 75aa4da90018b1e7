//! Groups are made, changed and listed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::fixture::STATE;

#[test]
fn a_group_is_a_list_that_is_kept() {
    let sites = Sites::new(&[A, B, C]);
    let none = sites.ha("listgroups").ok();
    assert!(none.stdout.contains("There are no HA groups."), "{none:?}");
    sites.create(A).ok();
    sites.add(B).ok();
    sites.add(C).ok();
    let listed = sites.ha("listgroups").ok().stdout;
    for text in [
        "pay",
        "store0",
        "store1",
        "other0",
        "alive",
        "Last in sync ->    never",
    ] {
        assert!(listed.contains(text), "{text}: {listed}");
    }
    assert_eq!(sites.each("status"), ["alive"; 3]);
    // Empty slots are the same.
    assert_eq!(sites.each("needs_sync"), [false; 3]);
    let file = sites.0.path(STATE).join("slotfs/hagroups.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("correct horse"), "{text}");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let serial = sites.each("serial")[1].clone();
    sites
        .ha(&format!("removemember -group pay -serial {serial} -force"))
        .ok();
    assert_eq!(sites.each("label"), ["store0", "other0"]);
    sites.ha("removemember -group pay -slot 1 -force").fails(1);
    sites
        .on("other.db", "hagroup removemember -group pay -slot 0 -force")
        .ok();
    sites.ha("deletegroup -label pay -force").ok();
    sites.ha("listgroups -group pay").fails(1);
    sites.ha("deletegroup -label pay -force").fails(1);
}

/// By serial number, as with lunacm; and what asks, asks.
#[test]
fn members_are_named_by_serial_numbers_too() {
    let sites = Sites::new(&[A, B]);
    let slots = sites.on("store.db", "slot list --json").ok().json();
    let serial = |slot: usize| slots["slots"][slot]["serial"].as_u64().unwrap();
    let (first, second) = (serial(0), serial(1));
    sites
        .ha(&format!(
            "creategroup -label pay -serial {first} -memberpasswordfile {}",
            file(A)
        ))
        .ok();
    sites
        .ha(&format!(
            "addmember -group pay -serial {second} -memberpasswordfile {}",
            file(B)
        ))
        .ok();
    let out = sites.ha("creategroup -label x -serial 12345").fails(1);
    assert!(
        out.stderr.contains("no partition with serial number 12345"),
        "{out:?}"
    );
    for line in ["deletegroup -label pay", "removemember -group pay -slot 1"] {
        let out = sites.ha(line).fails(1);
        assert!(out.stderr.contains("use -force to proceed"), "{out:?}");
    }
    // One place, not none and not two.
    for line in [
        "creategroup -label x",
        "creategroup -label x -slot 0 -serial 1",
        "creategroup -slot 0",
        "synchronize -group pay -force",
        "synchronize -group pay -require 0",
    ] {
        sites.ha(line).fails(2);
    }
    let out = sites.sync("-require 3").fails(2);
    assert!(
        out.stderr
            .contains("has 2 members, and -require asks for 3"),
        "{out:?}"
    );
    let out = sites.create(B).fails(1);
    assert!(
        out.stderr
            .contains("there is a group of that label already"),
        "{out:?}"
    );
    sites.ha("synchronize -group nobody").fails(1);
}

/// "addmember refuses with a clear error naming the slot and what to do"
#[test]
fn slots_that_do_not_fit_are_no_members() {
    let sites = Sites::new(&[A, B, C]);
    sites.create(A).ok();
    let refused = |place: Place, words: &[&str]| {
        let out = sites.add(place).fails(1);
        for word in words {
            assert!(out.stderr.contains(word), "{word}: {out:?}");
        }
    };
    refused(A, &["serial number", "a slot is a member once"]);
    sites.0.domain("blue");
    sites.init(B, "-domainkey blue.pem");
    refused(
        B,
        &["slot 1 of", "no cloning domain in common", "domainadd"],
    );
    sites.init(B, "-domainkey red.pem -version 1");
    refused(B, &["is V1", "is V0", "partition upgrade"]);
    let out = sites
        .on("none.db", "hagroup addmember -group pay -slot 0")
        .fails(4);
    assert!(out.stderr.contains(&sites.location("none.db")), "{out:?}");
    let out = sites.on("store.db", "hagroup addmember -group pay -slot 7");
    assert!(out.code_is_not(0).stderr.contains("slot 7"));
    // A copy of a store has the same partitions.
    let (from, to) = (sites.location("store.db"), sites.location("copy.db"));
    sites
        .on("store.db", &format!("store copy {from} {to}"))
        .ok();
    let out = sites
        .on(
            "copy.db",
            &format!(
                "hagroup addmember -group pay -slot 0 -memberpasswordfile {}",
                file(A)
            ),
        )
        .fails(1);
    assert!(out.stderr.contains("a copy of a store"), "{out:?}");
    sites.init(B, "-domainkey red.pem");
    sites.add(B).ok();
    sites.init(B, "-domainkey red.pem");
    refused(B, &["was initialized again since", "hagroup recover"]);
    assert_eq!(sites.each("status"), ["alive", "re-initialized"]);
}

/// "V1 members share the SMK by smkclone"
#[test]
fn v1_members_hold_each_others_storage_master_keys() {
    let sites = Sites::new(&[]);
    for place in [A, B] {
        sites.init(place, "-domainkey red.pem -version 1");
    }
    sites.create(A).ok();
    let out = sites.add(B).fails(1);
    assert!(out.stderr.contains("storage master keys"), "{out:?}");
    assert!(out.stderr.contains("partition smkclone"), "{out:?}");
    for (from, to) in [(A, B), (B, A)] {
        sites
            .on(
                "store.db",
                &format!(
                    "--active-slot {} partition smkclone -slot {} --password-file 0={} --password-file 1={}",
                    from.1,
                    to.1,
                    file(A),
                    file(B)
                ),
            )
            .ok();
    }
    sites.add(B).ok();
    sites.keys(A, &["a"]);
    sites.keys(B, &["b"]);
    sites.sync("-require 2").ok();
    for place in [A, B] {
        assert_eq!(sites.labels(place), ["a", "b"]);
    }
    // Blobs of two storage master keys: the objects are the same, and a second run moves nothing.
    let again = sites.sync("--json").ok().json();
    assert_eq!(
        (&again["copied"], &again["already"]),
        (&0.into(), &2.into())
    );
}

/// The file is made by commands, and may be read by people; what others could have written is not trusted.
#[test]
fn a_file_of_groups_that_cannot_be_trusted_is_refused() {
    let sites = Sites::group(&[A, B]);
    let file = sites.0.path(STATE).join("slotfs/hagroups.json");
    let good = fs::read(&file).unwrap();
    let mode = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    for (text, words) in [
        (&b"{"[..], "EOF"),
        (b"{}", "it has no 'version'"),
        (b"{\"version\":2}", "a later version of slotfs wrote it"),
        (b"{\"version\":1}", "it has no 'groups'"),
        (
            b"{\"version\":1,\"groups\":[{\"label\":\"x\"}]}",
            "a group has no members",
        ),
        (
            b"{\"version\":1,\"groups\":[{\"label\":\"x\",\"members\":[{\"slot\":1}]}]}",
            "'store' is missing",
        ),
        (
            b"{\"version\":1,\"groups\":[{\"label\":\"x\",\"members\":[{\"store\":\"/a\",\"slot\":1,\"serial\":7},{\"store\":\"/a\",\"slot\":2,\"serial\":7}]}]}",
            "group 'x' has serial number 7 twice",
        ),
    ] {
        fs::write(&file, text).unwrap();
        for line in [
            "listgroups",
            "synchronize -group pay",
            "deletegroup -label pay -force",
        ] {
            let out = sites.ha(line).fails(1);
            assert!(out.stderr.contains(words), "{words}: {out:?}");
        }
        assert_eq!(fs::read(&file).unwrap(), text);
    }
    fs::write(&file, &good).unwrap();
    mode(0o666);
    let out = sites.ha("listgroups").fails(1);
    assert!(out.stderr.contains("others can write it"), "{out:?}");
    mode(0o600);
    sites.ha("listgroups").ok();
    // Whoever can write the folder can put a file of the same name there.
    let folder = file.parent().unwrap();
    let folder_mode = |mode| fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
    folder_mode(0o777);
    let out = sites.ha("listgroups").fails(1);
    assert!(out.stderr.contains("others can write it"), "{out:?}");
    folder_mode(0o700);
    sites.ha("listgroups").ok();
}

/// The file is changed under a lock: no command loses what another one wrote.
#[test]
fn groups_that_are_made_at_once_are_all_kept() {
    let sites = Sites::new(&[A]);
    let spawn = |nth: u32| {
        let line = format!(
            "hagroup creategroup -label g{nth} -slot 0 -memberpasswordfile {}",
            file(A)
        );
        sites
            .command("store.db", &line)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let running: Vec<_> = (0..6).map(spawn).collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }
    let listed = sites.ha("listgroups --json").ok().json();
    let groups = listed["groups"].as_array().unwrap();
    let mut labels: Vec<_> = groups
        .iter()
        .map(|it| it["label"].as_str().unwrap())
        .collect();
    labels.sort_unstable();
    assert_eq!(labels, ["g0", "g1", "g2", "g3", "g4", "g5"]);
}
