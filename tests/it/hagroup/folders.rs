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
    assert_eq!(row.len(), 6, "{text}");
    // The same object is described alike where it is.
    let revisions = || std::fs::read_to_string(hsm.control(0, "revisions")).unwrap();
    let other = crate::fixture::names(&hsm.control(0, "ouid")).remove(0);
    let before = revisions();
    let live: Vec<&str> = before.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((live[0], live[2], live.len()), (other.as_str(), "0", 4));
    std::fs::remove_file(hsm.control(0, "ouid").join(&other)).unwrap();
    let text = read();
    let row = text.lines().find(|it| it.starts_with(&other)).unwrap();
    assert_eq!(row.split_whitespace().nth(2), Some(live[3]));
    assert_eq!(revisions().lines().count(), 1);
    assert_eq!(hsm.status(0, "retention").as_deref(), Some("604800"));
    std::fs::write(hsm.control(0, "logout"), "x").unwrap();
    let locked = std::fs::read(hsm.control(0, "removed"));
    assert_errno!(locked, ENOKEY);
}

/// Two slots of one mount, and nothing that could open their blobs.
struct Folders {
    // It ends before its store goes.
    mount: crate::fixture::Mount,
    sites: Sites,
}

impl Folders {
    fn group(keys: u32) -> (Self, Vec<String>) {
        let sites = Sites::new(&[]);
        for slot in [0, 1] {
            sites.0.slot(slot, "red");
        }
        sites.0.aes(0, keys);
        let mount = sites.0.start(&[0, 1]);
        let it = Self { mount, sites };
        let (a, b) = (it.folder(0), it.folder(1));
        it.sites
            .ha(&format!("creategroup -label pay -folder {}", a.display()))
            .ok();
        it.sites
            .ha(&format!("addmember -group pay -folder {}", b.display()))
            .ok();
        it.sites.sync("").ok();
        let ouids = contents(&a.join(".slotfs/ouid")).into_keys().collect();
        (it, ouids)
    }

    fn folder(&self, slot: u32) -> std::path::PathBuf {
        self.mount.point.join(slot.to_string())
    }

    /// The words of an object's row of `.slotfs/revisions`.
    fn row(&self, slot: u32, ouid: &str) -> Option<Vec<String>> {
        let text = std::fs::read_to_string(self.folder(slot).join(".slotfs/revisions")).unwrap();
        let line = text.lines().find(|line| line.starts_with(ouid))?;
        Some(line.split_whitespace().map(str::to_owned).collect())
    }

    fn set(&self, slot: u32, ouid: &str, label: &str) {
        let handle = &self.row(slot, ouid).unwrap()[1];
        self.sites
            .0
            .run_in(slot, &format!("object set -handle {handle} -label {label}"))
            .ok();
    }

    fn remove(&self, slot: u32, ouid: &str) {
        std::fs::remove_file(self.folder(slot).join(".slotfs/ouid").join(ouid)).unwrap();
    }

    fn blob(&self, slot: u32, ouid: &str) -> Vec<u8> {
        std::fs::read(self.folder(slot).join(".slotfs/ouid").join(ouid)).unwrap()
    }
}

/// The number of the revision decides, as between stores, and not the time.
#[test]
fn folders_alone_have_an_order() {
    let (it, ouids) = Folders::group(2);
    let ouid = &ouids[0];
    it.set(0, ouid, "once");
    it.set(0, ouid, "twice");
    std::thread::sleep(std::time::Duration::from_secs(2));
    it.set(1, ouid, "later");
    let out = it.sites.sync("").ok();
    assert!(
        line(&out, ouid)
            .iter()
            .any(|it| it.contains("is now a later revision on")),
        "{out:?}"
    );
    assert_eq!(it.row(0, ouid), it.row(1, ouid));
    assert_eq!(it.row(0, ouid).unwrap()[2], "2");
    assert_eq!(it.blob(0, ouid), it.blob(1, ouid));
    // Two of one number are a conflict.
    let ouid = &ouids[1];
    it.set(0, ouid, "here");
    it.set(1, ouid, "there");
    let out = it.sites.sync("").fails(1);
    assert!(line(&out, ouid)[0].contains("is a conflict"), "{out:?}");
    assert_ne!(it.row(0, ouid), it.row(1, ouid));
}

/// What was removed from a folder is known by its description.
#[test]
fn a_folder_removes_what_was_removed_and_nothing_else() {
    let (it, ouids) = Folders::group(4);
    let [same, other, later, first] = [&ouids[0], &ouids[1], &ouids[2], &ouids[3]];
    it.set(0, same, "same");
    it.sites.sync("").ok();
    it.set(0, other, "here");
    it.set(1, other, "there");
    it.set(0, later, "once");
    it.set(0, later, "twice");
    // Times are in seconds: what was changed in the second of its removal counts as changed after it.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    for ouid in [same, other, later, first] {
        it.remove(0, ouid);
    }
    std::thread::sleep(std::time::Duration::from_secs(2));
    it.set(1, later, "in-use");
    let out = it.sites.sync("-delete -force").fails(1);
    assert!(
        line(&out, other)[0].contains("is not what was removed"),
        "{out:?}"
    );
    assert!(
        line(&out, later)
            .iter()
            .any(|it| it.contains("it was changed after it was removed")),
        "{out:?}"
    );
    let there = |ouid: &str| it.row(1, ouid).is_some();
    assert_eq!(
        [same, other, later, first].map(|ouid| there(ouid)),
        [false, true, true, false]
    );
}

/// A folder that only looks like a slot's is no member, and no link below a member leads elsewhere.
#[test]
fn a_plain_folder_is_no_member() {
    let sites = Sites::new(&[C]);
    sites.0.slot(0, "red");
    sites.create(C).ok();
    let mount = sites.0.start(&[0]);
    let real = mount.point.join("0");
    let plain = sites.0.path("plain");
    std::fs::create_dir_all(plain.join(".slotfs/ouid")).unwrap();
    for name in ["status", "contents", "removed", "revisions"] {
        std::fs::copy(
            real.join(".slotfs").join(name),
            plain.join(".slotfs").join(name),
        )
        .unwrap();
    }
    let linked = sites.0.path("linked");
    std::fs::create_dir(&linked).unwrap();
    std::os::unix::fs::symlink(real.join(".slotfs"), linked.join(".slotfs")).unwrap();
    for folder in [&plain, &linked] {
        let out = sites
            .ha(&format!(
                "addmember -group pay -folder {}",
                folder.display()
            ))
            .fails(1);
        assert!(out.stderr.contains("nothing is mounted there"), "{out:?}");
    }
    // One that became a plain folder takes no part.
    sites
        .ha(&format!("addmember -group pay -folder {}", real.display()))
        .ok();
    sites.keys(C, &["key"]);
    drop(mount);
    std::fs::remove_dir(sites.0.path("mnt")).unwrap();
    std::fs::create_dir(sites.0.path("mnt")).unwrap();
    std::fs::rename(&plain, &real).unwrap();
    let out = sites.sync("-require 1").fails(1);
    assert!(out.stdout.contains("nothing is mounted there"), "{out:?}");
    assert_eq!(
        std::fs::read_dir(real.join(".slotfs/ouid"))
            .unwrap()
            .count(),
        0
    );
}

/// A daemon that does not answer keeps no run waiting for ever.
#[test]
fn a_mount_that_hangs_is_down() {
    let sites = Sites::new(&[A, C]);
    sites.0.slot(1, "red");
    sites.create(C).ok();
    sites.add(A).ok();
    let mount = sites.0.start(&[1]);
    let folder = mount.point.join("1");
    sites
        .ha(&format!(
            "addmember -group pay -folder {}",
            folder.display()
        ))
        .ok();
    sites.keys(C, &["key"]);
    let mut command = sites.command("other.db", "hagroup synchronize -group pay");
    let mut list = sites.command("other.db", "hagroup listgroups --json");
    mount.signal(nix::sys::signal::Signal::SIGSTOP);
    let synchronized = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        (run(&mut command), run(&mut list))
    }));
    mount.signal(nix::sys::signal::Signal::SIGCONT);
    let (synchronized, listed) = synchronized.unwrap();
    let out = synchronized.fails(1);
    assert!(
        out.stdout.contains(
            "it is down: no slot of a mount is there: its daemon did not answer within 10 s"
        ),
        "{out:?}"
    );
    assert_eq!(sites.labels(A), ["key"], "the others go on");
    let listed = listed.ok().json();
    let members = listed["groups"][0]["members"].as_array().unwrap();
    let statuses: Vec<_> = members.iter().map(|it| &it["status"]).collect();
    assert_eq!(statuses, ["alive", "alive", "down"]);
    // It answers again, and nobody holds the group's lock.
    sites.sync("").ok();
    assert_eq!(contents(&folder.join(".slotfs/ouid")).len(), 1);
}
