//! Roles: po, co, cu; their passwords; lockout and reset.

use std::fs;

use super::{FAILED, LOGIN, USAGE, one_slot};
use crate::fixture::{Out, Store, contents, errno, names, password, sh};

fn write(store: &Store, name: &str, content: &str) {
    fs::write(store.path(name), content).unwrap();
}

/// Whether a role's password on file is right.
fn login(store: &Store, role: &str, file: &str) -> Out {
    store.run_without_terminal(&format!(
        "--password-file 0:{role}={file} role login -name {role} -slot 0"
    ))
}

fn state(store: &Store, role: &str) -> String {
    let out = store.run("role list -slot 0 --json").ok().json();
    let roles = out["roles"].as_array().unwrap();
    let it = roles.iter().find(|it| it["role"] == role).unwrap();
    match (it["initialized"].as_bool(), it["locked"].as_bool()) {
        (Some(false), _) => "not initialized",
        (_, Some(true)) => "locked",
        _ => "initialized",
    }
    .to_owned()
}

/// One-shot login only verifies, and there is nobody to log out.
#[test]
fn login_verifies() {
    let store = one_slot();
    login(&store, "co", "pw-0").ok();
    login(&store, "po", "pw-0").ok();
    let out = login(&store, "cu", "pw-0").fails(LOGIN);
    assert!(
        out.stdout.contains("0x102 (CKR_USER_PIN_NOT_INITIALIZED)"),
        "{out:?}"
    );
    assert!(out.stderr.contains("role init -name cu"), "{out:?}");
    store
        .run("role login -name co -password wrong-wrong")
        .fails(LOGIN);
    let right = password(0);
    store
        .args(&["role", "login", "-name", "co", "-password", &right])
        .ok();
    let out = store.run("role logout").fails(LOGIN);
    assert!(
        out.stdout.contains("0x101 (CKR_USER_NOT_LOGGED_IN)"),
        "{out:?}"
    );
    store
        .run_without_terminal("role login -name co")
        .fails(USAGE);
    store.run("role login -name xo").fails(USAGE);
    store.run("role login").fails(USAGE);
    let out = store.run("role list").ok();
    assert!(
        out.stdout.starts_with("Role  State            Failed Logins  Logged In\npo    initialized      0              no\n"),
        "{out:?}"
    );
}

/// A crypto user uses keys and takes out public objects alone, unless po says otherwise (policy 1000).
#[test]
fn a_crypto_user_takes_no_key_out() {
    let store = one_slot();
    store.slot(1, "red");
    write(&store, "cu", "crypto user\n");
    store
        .run_in(0, "role init -name cu -newpasswordfile cu")
        .ok();
    write(&store, "note", "what everybody may know");
    store
        .run_in(
            0,
            "object import -file note -type data -label note -attribute private=false",
        )
        .ok();
    store
        .run_in(
            0,
            "object import -file note -type data -label private -attribute private=true",
        )
        .ok();
    let mount = store.start_at("mnt", &[1], &[]);
    mount.announce("a crypto user may use");
    // What co has read is in the kernel's memory, and in the daemon's.
    fs::write(mount.point.join("0/.slotfs/login"), password(0)).unwrap();
    let all = contents(&mount.point.join("0"));
    assert_eq!(all.len(), 3);
    fs::write(mount.point.join("0/.slotfs/logout"), "x").unwrap();
    fs::write(mount.point.join("0/.slotfs/login-cu"), "crypto user\n").unwrap();
    for kept in ["1", "3"] {
        let path = mount.point.join("0").join(kept);
        assert_eq!(fs::metadata(&path).unwrap().len(), all[kept].len() as u64);
        assert_eq!(errno(fs::read(&path)), libc::EPERM);
    }
    assert_eq!(fs::read(mount.point.join("0/2")).unwrap(), all["2"]);
    // The others go on.
    let folders = [("S", mount.point.join("0")), ("D", mount.point.join("1"))];
    let folders = folders
        .each_ref()
        .map(|(name, path)| (*name, path.as_path()));
    let out = sh(r#"cp "$S"/* "$D""#, &folders).fails(1);
    assert_eq!(
        out.stderr.matches("Operation not permitted").count(),
        2,
        "{out:?}"
    );
    assert_eq!(names(&mount.point.join("1")), ["2"]);
    drop(mount);
    let clone = "--password-file 0:cu=cu --password-file 1=pw-1 partition clone -objects all -slot 1 -force";
    let out = store.run_without_terminal(clone).fails(FAILED);
    assert!(
        out.stdout.contains("Handle 1 on slot 0 cannot be cloned: a crypto user may use object 1, a secret key, but not take it out"),
        "{out:?}"
    );
    let export = "--password-file 0:cu=cu object export -slot 0 -file - -handle";
    store.run_without_terminal(&format!("{export} 2")).ok();
    let out = store
        .run_without_terminal(&format!("{export} 3"))
        .fails(FAILED);
    assert!(out.stderr.contains("-policy 1000 -value 1"), "{out:?}");
    store
        .run_without_terminal(
            "--password-file 0:po=pw-0 partition changepolicy -policy 1000 -value 1 -slot 0",
        )
        .ok();
    store.run_without_terminal(clone).ok();
}

/// "cu cannot store (EROFS on the mount)"
#[test]
fn a_crypto_user_reads_and_does_not_write() {
    let store = one_slot();
    store.slot(1, "red");
    write(&store, "cu", "crypto user\n");
    assert_eq!(state(&store, "cu"), "not initialized");
    store
        .run_in(0, "role init -name cu -newpasswordfile cu")
        .ok();
    assert_eq!(state(&store, "cu"), "initialized");
    let out = store
        .run_in(0, "role init -name cu -newpasswordfile cu")
        .fails(FAILED);
    assert!(out.stdout.contains("CKR_OPERATION_NOT_ALLOWED"), "{out:?}");
    login(&store, "cu", "cu").ok();
    let out = store
        .run_without_terminal("--password-file 0:cu=cu partition contents")
        .ok();
    assert!(out.stdout.contains("secret key"), "{out:?}");

    store
        .run_without_terminal(
            "--password-file 0:po=pw-0 partition changepolicy -policy 1000 -value 1 -slot 0",
        )
        .ok();
    let mount = store.start_at("mnt", &[1], &[]);
    fs::write(mount.point.join("0/.slotfs/login-cu"), "crypto user\n").unwrap();
    let blob = fs::read(mount.point.join("0/1")).unwrap();
    fs::write(mount.point.join("1/1"), &blob).unwrap();
    assert_eq!(contents(&mount.point.join("1"))["1"], blob);
    mount.announce("a crypto user reads");
    assert_eq!(
        errno(fs::write(mount.point.join("0/9"), &blob)),
        libc::EROFS
    );
    assert_eq!(errno(fs::remove_file(mount.point.join("0/1"))), libc::EROFS);
    assert_eq!(
        errno(fs::rename(mount.point.join("1/1"), mount.point.join("0/5"))),
        libc::EROFS
    );
    assert_eq!(
        errno(fs::rename(mount.point.join("0/1"), mount.point.join("0/5"))),
        libc::EROFS
    );
    assert_eq!(names(&mount.point.join("0")), ["1"]);
}

/// "the password is po's and co's alike until `role changepw` separates them"
#[test]
fn changepw_separates_po_and_co() {
    let store = one_slot();
    write(&store, "new", "new horse 0\n");
    let mount = store.start(&[0]);
    let before = contents(&mount.point.join("0"));
    store
        .run_without_terminal(
            "--password-file 0=pw-0 role changepw -name co -newpasswordfile new -slot 0",
        )
        .ok();
    login(&store, "co", "new").ok();
    login(&store, "co", "pw-0").fails(LOGIN);
    login(&store, "po", "pw-0").ok();
    // The role whose secret was changed is logged out everywhere else.
    assert_eq!(errno(fs::read(mount.point.join("0/1"))), libc::ENOKEY);
    mount.logged("the secret of co was changed by another process");
    fs::write(mount.point.join("0/.slotfs/login"), "new horse 0\n").unwrap();
    assert_eq!(contents(&mount.point.join("0")), before);
    // The old one has to be right, the new one a password.
    store
        .run_without_terminal(
            "--password-file 0=pw-0 role changepw -name co -newpasswordfile new -slot 0",
        )
        .fails(LOGIN);
    write(&store, "short", "seven77\n");
    let out = store
        .run_without_terminal(
            "--password-file 0=new role changepw -name co -newpasswordfile short -slot 0",
        )
        .fails(USAGE);
    assert!(out.stderr.contains("8 to 255"), "{out:?}");
    store
        .args(&[
            "role",
            "changepw",
            "-name",
            "co",
            "-oldpw",
            "new horse 0",
            "-newpw",
            &password(0),
        ])
        .ok();
    login(&store, "co", "pw-0").ok();
}

/// "lockout after the policy's number of failures", and reset by po.
#[test]
fn a_locked_role_is_reset_by_po() {
    let store = one_slot();
    write(&store, "wrong", "wrong horse\n");
    write(&store, "new", "new horse 0\n");
    store
        .run_without_terminal(
            "--password-file 0:po=pw-0 partition changepolicy -policy 20 -value 3 -slot 0",
        )
        .ok();
    for left in [2, 1] {
        let out = login(&store, "co", "wrong").fails(LOGIN);
        assert!(
            out.stderr.contains(&format!("{left} attempts left")),
            "{out:?}"
        );
    }
    let out = login(&store, "co", "wrong").fails(LOGIN);
    assert!(out.stdout.contains("CKR_USER_LOCKED_OUT"), "{out:?}");
    let out = login(&store, "co", "pw-0").fails(LOGIN);
    assert!(out.stderr.contains("role resetpw -name co"), "{out:?}");
    assert_eq!(state(&store, "co"), "locked");
    store
        .run_without_terminal(
            "--password-file 0:po=pw-0 role resetpw -name co -newpasswordfile new -slot 0",
        )
        .ok();
    assert_eq!(state(&store, "co"), "initialized");
    login(&store, "co", "new").ok();
    login(&store, "co", "pw-0").fails(LOGIN);
    let out = store
        .run_without_terminal("--password-file 0=new partition contents -slot 0")
        .ok();
    assert!(out.stdout.contains("secret key"), "{out:?}");
    // po itself: only changed by who knows it, and locked for good.
    let out = store
        .run_without_terminal(
            "--password-file 0:po=pw-0 role resetpw -name po -newpasswordfile new -slot 0",
        )
        .fails(USAGE);
    assert!(out.stderr.contains("cannot be reset"), "{out:?}");
}

/// A reset makes another slot key: who had the old password is logged out, and cu keeps its own.
#[test]
fn a_reset_changes_the_key() {
    let store = one_slot();
    store.data(0, 60_000);
    write(&store, "cu", "crypto user\n");
    write(&store, "new", "new horse 0\n");
    store
        .run_in(0, "role init -name cu -newpasswordfile cu")
        .ok();
    let mount = store.start(&[0]);
    let before = contents(&mount.point.join("0"));
    let reset = "--password-file 0:po=pw-0 role resetpw -name co -newpasswordfile new -slot 0";
    let json = store
        .run_without_terminal(&format!("{reset} --json"))
        .ok()
        .json();
    assert_eq!(json["rekeyed"], true, "{json:#}");
    assert_eq!(json["waiting"].as_array().unwrap().len(), 0, "{json:#}");
    login(&store, "cu", "cu").ok();
    login(&store, "po", "pw-0").ok();
    mount.announce("logged out");
    assert_eq!(errno(fs::read(mount.point.join("0/1"))), libc::ENOKEY);
    fs::write(mount.point.join("0/.slotfs/login"), "new horse 0\n").unwrap();
    assert_eq!(contents(&mount.point.join("0")), before);
}

/// po has no part in the objects.
#[test]
fn po_does_not_read_objects() {
    let store = one_slot();
    let out = store
        .run_without_terminal("--password-file 0:po=pw-0 partition contents -slot 0")
        .fails(USAGE);
    assert!(out.stderr.contains("no password for co"), "{out:?}");
}

/// showinfo needs nobody logged in.
#[test]
fn showinfo() {
    let store = one_slot();
    let out = store.run("partition showinfo").ok();
    // docs/cluster.md, "Sizing"
    let capacity = if store.is_in_cluster() {
        250_000
    } else {
        4_000_000
    };
    for line in [
        "Slot Id                  0\n",
        "Partition Label          slot0\n",
        "Crypto User (cu)         not initialized\n",
        "Domains                  primary\n",
        &format!("Objects                  1 of {capacity}\n"),
    ] {
        assert!(out.stdout.contains(line), "{line:?} in {out:?}");
    }
    let json = store.run("partition showinfo --json").ok().json();
    assert_eq!(json["label"], "slot0");
    assert_eq!(json["roles"][1]["role"], "co");
    assert_eq!(json["domains"][0], "primary");
    assert_eq!(json["objects"], 1);
}

/// clear is co's, delete po's; both ask.
#[test]
fn clear_and_delete() {
    let store = one_slot();
    store.aes(0, 4);
    let mount = store.start(&[0]);
    store.run_in(0, "partition clear").fails(FAILED);
    assert_eq!(names(&mount.point.join("0")).len(), 5);
    let out = store.run_in(0, "partition clear -force").ok();
    assert!(
        out.stdout.contains("5 objects on slot 0 were destroyed"),
        "{out:?}"
    );
    assert_eq!(names(&mount.point.join("0")), [""; 0]);
    let delete = "--password-file 0:po=pw-0 partition delete -slot 0";
    store.run_without_terminal(delete).fails(FAILED);
    store.run_without_terminal(&format!("{delete} -force")).ok();
    mount.announce("logged out");
    assert_eq!(
        fs::metadata(mount.point.join("0"))
            .unwrap_err()
            .raw_os_error(),
        Some(libc::ENOENT)
    );
    assert!(!store.run("slot list").ok().stdout.contains("slot0"));
}
