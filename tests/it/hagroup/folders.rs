//! Members that are folders of a mount.

use super::*;
use crate::fixture::{assert_errno, contents, password};

/// Two slots of a mounted store as folders, and one that the command opens itself.
#[test]
fn a_folder_of_a_mount_is_a_member() {
    let sites = Sites::new(&[C]);
    sites.0.slot(0, "red");
    sites.0.slot(1, "red");
    sites.0.aes(0, 3);
    let mount = sites.0.start(&[0, 1]);
    let folder = |slot: u32| mount.point.join(slot.to_string());
    sites
        .ha(&format!(
            "creategroup -label pay -folder {}",
            folder(0).display()
        ))
        .ok();
    sites
        .ha(&format!(
            "addmember -group pay -folder {}",
            folder(1).display()
        ))
        .ok();
    // No member in a store: blobs are compared by their bytes.
    let out = sites.sync("-require 2").ok();
    assert_eq!(out.stdout.matches(" is now on ").count(), 3, "{out:?}");
    let ouids = |slot| contents(&folder(slot).join(".slotfs/ouid"));
    assert_eq!(ouids(0), ouids(1));
    sites.add(C).ok();
    sites.keys(C, &["theirs"]);
    sites.sync("-require 3").ok();
    assert_eq!(ouids(0).len(), 4);
    assert_eq!(ouids(0), ouids(1));
    let again = sites.sync("--json").ok().json();
    assert_eq!(
        (&again["copied"], &again["already"]),
        (&0.into(), &8.into())
    );
    // A revision, a removal and a conflict, as between stores.
    let (renamed, removed, conflict) = {
        let mut all = ouids(0).into_keys();
        (
            all.next().unwrap(),
            all.next().unwrap(),
            all.next().unwrap(),
        )
    };
    let handle = |ouid: &str| sites.objects(C)[ouid].0;
    let set = |ouid: &str, label: &str| {
        let handle = handle(ouid);
        sites
            .in_slot(C, &format!("object set -handle {handle} -label {label}"))
            .ok();
    };
    set(&renamed, "renamed");
    std::fs::remove_file(folder(0).join(".slotfs/ouid").join(&removed)).unwrap();
    set(&conflict, "there");
    let here = std::fs::read_to_string(folder(0).join(".slotfs/contents")).unwrap();
    let here = here.lines().find(|line| line.contains(&conflict)).unwrap();
    let here = here.split_whitespace().next().unwrap();
    sites
        .0
        .run_in(0, &format!("object set -handle {here} -label here"))
        .ok();
    let out = sites.sync("").fails(1);
    assert!(
        line(&out, &conflict)[0].contains("is a conflict"),
        "{out:?}"
    );
    assert!(
        line(&out, &removed)
            .iter()
            .any(|it| it.contains("not put back on")),
        "{out:?}"
    );
    assert_eq!(line(&out, &renamed).len(), 2, "{out:?}");
    assert_eq!(ouids(0)[&renamed], ouids(1)[&renamed]);
    // The first member is the folder: its removals are carried out elsewhere.
    assert!(ouids(1).contains_key(&removed));
    sites.sync("-delete -force").fails(1);
    assert!(!ouids(1).contains_key(&removed));
    assert!(!sites.objects(C).contains_key(&removed));
    // A refusal says why: slot 1 leaves the domain.
    sites.0.domain("blue");
    for line in [
        "partition domainadd -domainkey blue.pem -domainlabel blue -primary",
        "partition domaindelete -domainlabel primary -force",
    ] {
        let file = sites.0.password_file(1);
        sites
            .0
            .run(&format!("{line} -slot 1 --password-file 1:po={file}"))
            .ok();
    }
    let fresh = sites.keys(C, &["fresh"]).remove(0);
    let out = sites.sync("").fails(1);
    let lines = line(&out, &fresh);
    let refused = lines
        .iter()
        .find(|it| it.contains("was not cloned"))
        .unwrap();
    assert!(refused.contains("the blob was not accepted"), "{refused}");
    mount.announce_rejections();
}

/// "co must be logged in there"
#[test]
fn a_folder_in_which_co_is_not_logged_in_takes_no_part() {
    let sites = Sites::new(&[C]);
    sites.0.slot(0, "red");
    sites.create(C).ok();
    let mount = sites.0.start(&[]);
    let folder = mount.point.join("0");
    let add = format!("addmember -group pay -folder {}", folder.display());
    let out = sites.ha(&add).fails(1);
    assert!(
        out.stderr
            .contains("co is not logged in on the mount (it is locked)"),
        "{out:?}"
    );
    assert!(out.stderr.contains(".slotfs/login"), "{out:?}");
    std::fs::write(folder.join(".slotfs/login"), password(0)).unwrap();
    sites.ha(&add).ok();
    // The same slot by another way.
    let out = sites
        .ha("addmember -group pay -slot 0 -memberpasswordfile pw-0")
        .fails(1);
    assert!(out.stderr.contains("a slot is a member once"), "{out:?}");
    sites.keys(C, &["key"]);
    sites.sync("").ok();
    std::fs::write(folder.join(".slotfs/logout"), "x").unwrap();
    let out = sites.sync("").fails(1);
    assert!(out.stdout.contains("it is logged out"), "{out:?}");
    assert_eq!(sites.each("status"), ["alive", "logged out"]);
    drop(mount);
    let out = sites.sync("").fails(1);
    assert!(
        out.stdout.contains("no slot of a mount is there"),
        "{out:?}"
    );
    assert_eq!(sites.each("status"), ["alive", "down"]);
    let out = sites
        .ha("creategroup -label x -folder /nonexistent")
        .fails(1);
    assert!(
        out.stderr.contains("give a slot's folder on a mount"),
        "{out:?}"
    );
}

/// `.slotfs/removed`: the trash by identity.
#[test]
fn a_mount_tells_what_is_in_the_trash_by_identity() {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 2);
    let hsm = store.mount(&[0]);
    let read = || std::fs::read_to_string(hsm.control(0, "removed")).unwrap();
    assert_eq!(read().lines().count(), 1);
    let ouid = crate::fixture::names(&hsm.control(0, "ouid")).remove(0);
    std::fs::remove_file(hsm.control(0, "ouid").join(&ouid)).unwrap();
    let text = read();
    let row: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1]), (ouid.as_str(), "0"));
    assert_eq!(row.len(), 5, "{text}");
    assert_eq!(hsm.status(0, "retention").as_deref(), Some("604800"));
    std::fs::write(hsm.control(0, "logout"), "x").unwrap();
    let locked = std::fs::read(hsm.control(0, "removed"));
    assert_errno!(locked, ENOKEY);
}
