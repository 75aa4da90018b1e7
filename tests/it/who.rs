//! Permissions: a second user of the machine, the roles in every interface, and login attempts, which all processes count
//! together.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

mod space;

use crate::fixture::{Hsm, Mount, Out, Store, assert_errno, names, password, sh};

/// Debian's nobody and nogroup.
const NOBODY: &str = "65534";

/// A folder that everybody may pass through.
fn open_folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("slotfs-it-")
        .tempdir()
        .unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

/// A shell script as the second user, with `$M` the mount and `$T` a folder of its own.
#[track_caller]
fn as_nobody(mount: &Mount, folder: &Path, script: &str) -> Out {
    let own = folder.join("own");
    if !own.exists() {
        fs::create_dir(&own).unwrap();
        std::os::unix::fs::chown(&own, Some(65534), Some(65534)).unwrap();
    }
    let script =
        format!("setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups sh -c '{script}'");
    sh(&script, &[("M", &mount.point), ("T", &own)])
}

/// Slots 0, 1 and 2 of one domain with two keys each: 0 is of who mounts, 1 of nobody, 2 of the group nogroup.
fn three_owners() -> Store {
    let store = Store::empty();
    for slot in [0, 1, 2] {
        store.slot(slot, "red");
        store.aes(slot, 2);
    }
    for (slot, owner) in [(1, "-uid 65534 -gid 65534"), (2, "-gid 65534")] {
        store
            .run(&format!(
                "partition set -slot {slot} {owner} --password-file {slot}:po=pw-{slot}"
            ))
            .ok();
    }
    store
}

/// "`-o allow_other,uid=,gid=,umask=` and a uid/gid per slot for the rest, with `default_permissions` always on."
#[test]
fn a_second_user_has_his_own_slot_and_no_other() {
    let store = three_owners();
    let folder = open_folder();
    let point = folder.path().join("mnt");
    let mount = store.start_at(point.to_str().unwrap(), &[0, 1, 2], &["-o", "allow_other"]);
    mount.announce("");
    for allowed in [
        "ls $M",
        "cat $M/1/1 $M/1/2",
        "cp $M/1/* $T/",
        "cat $M/1/.slotfs/contents $M/1/.slotfs/status $M/1/.slotfs/clones",
        "rm $M/1/1",
        "mv $M/1/.slotfs/trash/1 $M/1/1",
        "ls $M/1/.slotfs/ouid",
        "mv $M/1/1 $M/1/9 && mv $M/1/9 $M/1/1",
        "rm $M/1/2 && cp $T/2 $M/1/",
    ] {
        as_nobody(&mount, folder.path(), allowed).ok();
    }
    for refused in [
        "ls $M/0",
        "cat $M/0/1",
        "cp $M/0/1 $M/1/",
        "cp $M/1/1 $M/0/",
        "mv $M/1/1 $M/0/",
        "mv $M/0/1 $M/1/",
        "rm $M/0/1",
        "echo x > $M/0/.slotfs/login",
        "echo x > $M/0/.slotfs/logout",
        "cat $M/0/.slotfs/status",
        "ls $M/0/.slotfs/trash",
        "ls $M/2",
        "cat $M/2/1",
        "rm $M/2/1",
        "chmod 777 $M/0",
        "chown 65534 $M/0/1",
    ] {
        let out = as_nobody(&mount, folder.path(), refused).code_is_not(0);
        assert!(
            out.stderr.contains("Permission denied") || out.stderr.contains("not permitted"),
            "{refused}: {out:?}"
        );
    }
    // Nothing came of it.
    assert_eq!(names(&mount.point.join("0")), ["1", "2"]);
    assert_eq!(names(&mount.point.join("1")), ["1", "2"]);
    let status = fs::read_to_string(mount.point.join("0/.slotfs/status")).unwrap();
    assert!(status.contains("logged in as co"), "{status}");
    drop(mount);
    // With a umask that leaves the group its share, a slot of his group is his too.
    let mount = store.start_at(
        point.to_str().unwrap(),
        &[0, 1, 2],
        &["-o", "allow_other,umask=007"],
    );
    as_nobody(&mount, folder.path(), "cat $M/2/1 && cp $M/2/1 $M/1/").ok();
    as_nobody(&mount, folder.path(), "cat $M/0/1").code_is_not(0);
}

/// Without allow_other the mount is closed to everybody else, root aside.
#[test]
fn without_allow_other_a_second_user_has_nothing() {
    let store = three_owners();
    let folder = open_folder();
    let point = folder.path().join("mnt");
    let mount = store.start_at(point.to_str().unwrap(), &[0, 1], &[]);
    for script in ["ls $M", "cat $M/1/1", "cat $M/.slotfs/stats"] {
        let out = as_nobody(&mount, folder.path(), script).code_is_not(0);
        assert!(out.stderr.contains("Permission denied"), "{out:?}");
    }
}

/// "login attempts counted across processes and restarts": 4 by command, 3 on a mount, 3 after it was mounted again.
#[test]
fn attempts_are_counted_in_all_processes_together() {
    let store = Store::empty();
    store.slot(0, "red");
    crate::fixture::write_private(&store.path("wrong"), "not the password\n");
    let line = "role login -name co -slot 0 --password-file 0=wrong";
    for left in (6..10).rev() {
        let out = store.run(line).fails(3);
        assert!(
            out.stderr.contains(&format!("{left} attempts left")),
            "{out:?}"
        );
    }
    let mut left = 6;
    for _ in 0..2 {
        let mount = store.start(&[]);
        mount.announce("");
        for _ in 0..3 {
            left -= 1;
            let tried = fs::write(mount.point.join("0/.slotfs/login"), "not the password");
            // The last one locks the role, and says so.
            match left {
                0 => assert_errno!(tried, EKEYREVOKED),
                _ => assert_errno!(tried, EKEYREJECTED),
            }
        }
    }
    assert_eq!(left, 0);
    let mount = store.start(&[]);
    mount.announce("");
    let right = fs::write(mount.point.join("0/.slotfs/login"), password(0));
    assert_errno!(right, EKEYREVOKED);
    let out = store.run_in(0, "role login -name co").fails(3);
    assert!(out.stderr.contains("locked"), "{out:?}");
    // po is counted by himself.
    store
        .run("role login -name po -slot 0 --password-file 0:po=pw-0")
        .ok();
}

/// A slot with a cu, mounted as that.
fn as_cu() -> Hsm {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 3);
    store.aes(1, 2);
    crate::fixture::write_private(&store.path("cu"), "password of cu\n");
    store
        .run_in(0, "role init -name cu -newpasswordfile cu")
        .ok();
    store.run_in(0, "object delete -handle 3 -force").ok();
    let cu = format!("0:cu={}", store.path("cu").display());
    let mount = store.start_at("mnt", &[1], &["--login", "0:cu", "--password-file", &cu]);
    Hsm { mount, store }
}

/// cu "reads, never writes": on a mount.
#[test]
fn cu_at_each_door_of_a_mount() {
    let hsm = as_cu();
    hsm.mount.announce("");
    let (zero, one) = (hsm.slot(0), hsm.slot(1));
    let env: &[(&str, &Path)] = &[("A", &zero), ("B", &one)];
    // Policy 1000 is off at first: keys stay in, by whichever door.
    for kept in [
        "cat $A/1 > /dev/null",
        "cp $A/1 $B/77",
        "for f in $A/.slotfs/ouid/*; do cat $f && exit 0; done; exit 1",
        // Whatever times and sizes say.
        "rsync -aI $A/ $B/",
    ] {
        let out = sh(kept, env);
        assert!(out.code != 0, "{kept}: {out:?}");
        assert!(
            out.stderr.contains("Operation not permitted"),
            "{kept}: {out:?}"
        );
    }
    assert_eq!(hsm.list(1), ["1", "2"]);
    hsm.store
        .run("partition changepolicy -policy 1000 -value 1 -slot 0 --password-file 0:po=pw-0")
        .ok();
    let before = hsm.blobs(0);
    for allowed in [
        "cat $A/1 $A/2 > /dev/null",
        "cp $A/1 $B/77",
        "cat $A/.slotfs/contents $A/.slotfs/objects/1",
        "ls $A/.slotfs/trash $A/.slotfs/ouid",
        "rsync -a $A/ $B/",
    ] {
        sh(allowed, env).ok();
    }
    for refused in [
        "cp $B/1 $A/50",
        "cat $B/1 > $A/new",
        "cat $B/1 > $A/1",
        "rm $A/1",
        "mv $A/1 $A/9",
        "mv $A/1 $B/88",
        "mv $B/1 $A/88",
        "cp $B/1 $A/.staged",
        "mkdir $A/.folder",
        "mv $A/.slotfs/trash/3 $A/3",
        "rm $A/.slotfs/trash/3",
        "for f in $A/.slotfs/ouid/*; do rm $f && exit 0; done; exit 1",
        "for f in $B/.slotfs/ouid/*; do cp $f $A/.slotfs/ouid/ && exit 0; done; exit 1",
    ] {
        let out = sh(refused, env).code_is_not(0);
        assert!(
            out.stderr.contains("Read-only file system"),
            "{refused}: {out:?}"
        );
    }
    assert_eq!(hsm.blobs(0), before);
    assert_eq!(names(&hsm.control(0, "trash")), ["3"]);
}

/// The same by commands, for cu and for po: what each may not, is refused and changes nothing.
#[test]
fn cu_and_po_at_each_command() {
    let hsm = as_cu();
    let Hsm { mount, store } = hsm;
    drop(mount);
    fs::write(store.path("raw"), [7; 32]).unwrap();
    let contents = || store.run_in(0, "partition contents --json").ok().stdout;
    let before = contents();
    let objects_are_co_s = [
        "object generate -type aes -label x -slot 0",
        "object import -type aes -file raw -label x -slot 0",
        "object delete -handle 1 -force -slot 0",
        "object restore -trash 3 -slot 0",
        "object destroy -trash 3 -force -slot 0",
        "partition clear -force -slot 0",
    ];
    let partition_is_po_s = [
        "partition set -retention 0 -force -slot 0",
        "partition domainadd -domain another-domain-string-of-the-tests -domainlabel x -slot 0",
        "partition domaindelete -domainlabel primary -force -slot 0",
        "partition changepolicy -policy 20 -value 3 -slot 0",
        "partition delete -force -slot 0",
    ];
    let reading = [
        "partition contents -slot 0",
        "object show -handle 1 -slot 0",
        "object trash -slot 0",
    ];
    let in_session = |role: &str, line: &str| {
        store.args(&[
            "--password-file",
            "0:cu=cu",
            "--password-file",
            "0:po=pw-0",
            "--password-file",
            "1=pw-1",
            "-c",
            &format!("role login -name {role} -slot 0; {line}"),
        ])
    };
    for line in objects_are_co_s.iter().chain(&partition_is_po_s) {
        let out = in_session("cu", line).code_is_not(0);
        assert!(
            out.text().contains("crypto user") || out.text().contains("and cu is logged in"),
            "{line}: {out:?}"
        );
    }
    for line in objects_are_co_s.iter().chain(&reading) {
        let out = in_session("po", line).code_is_not(0);
        assert!(
            out.text().contains("and po is logged in"),
            "{line}: {out:?}"
        );
    }
    for line in reading {
        in_session("cu", line).ok();
    }
    let clone_in = "--active-slot 1 partition clone -o all -s 0 -f --password-file 1=pw-1 --password-file 0:cu=cu";
    store.run(clone_in).code_is_not(0);
    assert_eq!(contents(), before);
    let out = store
        .run("mount mnt --foreground --login 0:po --password-file 0:po=pw-0")
        .code_is_not(0);
    assert!(out.stderr.contains("po"), "{out:?}");
}
