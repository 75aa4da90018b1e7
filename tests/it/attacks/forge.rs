//! Somebody who can write the file makes a whole slot of his own, for the real roles to log in to.

use std::fs;

use super::{DAMAGED, LOGIN, Slot, attack};
use crate::fixture::assert_errno;

const ROLES: [&str; 3] = ["po", "co", "cu"];

#[track_caller]
fn forge(slot: &Slot, line: &str) {
    attack(&slot.store, "forge.py", &format!("{line} --slot 0")).ok();
}

/// Whether the roles get in, and if so that it is the forged slot that they see.
#[track_caller]
fn is_fooled(slot: &Slot, role: &str, secret: &str) -> bool {
    let login = slot.login(role, secret);
    let line = format!("--json partition domainlist -slot 0 {login}");
    let mut command = slot.store.bare(&["--store"]);
    let out = crate::fixture::run(command.arg("forged.db").args(line.split_whitespace()));
    match out.code {
        DAMAGED => {
            let says = "has a key pair that the slot key was not sealed for";
            assert!(out.stderr.contains(says), "{out:?}");
            false
        }
        LOGIN => {
            assert!(out.stderr.contains("password"), "{out:?}");
            false
        }
        _ => {
            let domains = &out.ok().json()["domains"];
            assert_eq!(domains[0]["label"], "forged", "{domains}");
            true
        }
    }
}

/// Without a secret: however the authentication key is guessed, no role takes the slot. With the right one the same forgery
/// is accepted, so nothing else is wrong with it.
#[test]
fn a_slot_forged_without_a_secret_lets_nobody_in() {
    // Each Argon2id takes its time.
    let all = ["random", "zeros", "public", "pair"];
    for (slot, guesses) in [
        (Slot::of_passwords(0), &all[..1]),
        (Slot::of_passwords(1), &all[3..]),
        (Slot::of_shares(), &all),
    ] {
        slot.copy("now.db");
        for guess in guesses {
            forge(&slot, &format!("now.db forged.db --guess {guess}"));
            for role in ROLES {
                let out = slot.login_to("forged.db", role, role).fails(DAMAGED);
                let says = "has a key pair that the slot key was not sealed for";
                assert!(out.stderr.contains(says), "{guess}, {role}: {out:?}");
            }
        }
        let known = slot.known("co", "co");
        forge(&slot, &format!("now.db forged.db --old now.db {known}"));
        for role in ROLES {
            assert!(is_fooled(&slot, role, role), "{role}");
        }
        let line = format!("partition contents -slot 0 {}", slot.login("co", "co"));
        let mut command = slot.store.bare(&["--store"]);
        let out = crate::fixture::run(command.arg("forged.db").args(line.split_whitespace()));
        assert!(out.ok().stdout.contains("forged"));
    }
}

/// A daemon that is logged in takes no forged slot in either: it logs out.
#[test]
fn a_slot_forged_under_a_daemon_logs_it_out() {
    let slot = Slot::of_passwords(0);
    fs::copy(slot.store.path("co"), slot.store.path("pw-0")).unwrap();
    let mount = slot.store.start(&[0]);
    let point = mount.point.join("0");
    assert_eq!(fs::read_dir(&point).unwrap().count(), 2);
    forge(&slot, "store.db store.db");
    mount.announce("");
    let listed = fs::read_dir(&point).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    assert_errno!(listed, ENOKEY);
    drop(mount);
    slot.login_to("store.db", "co", "co").fails(DAMAGED);
}

/// Somebody with an old slot key knows every role's authentication key of then. A role is fooled until it has logged in once
/// after the change; afterwards only if its old credential is put back as well; and not at all once it has changed its own
/// secret (docs/security.md, "A holder of an old slot key who can write the file").
#[test]
fn an_old_slot_key_forges_until_a_role_has_changed_its_secret() {
    let slot = Slot::of_passwords(0);
    slot.copy("old.db");
    slot.change("cu", "changepw");
    slot.copy("now.db");
    let old = format!("--old old.db {}", slot.known("cu", "cu"));
    let put_back = |role: &str| format!("{old} --put-back {role}");

    // At once after the change. cu has another pair.
    forge(&slot, &format!("now.db forged.db {old}"));
    for (role, secret, fooled) in [("po", "po", true), ("co", "co", true), ("cu", "new", false)] {
        assert_eq!(is_fooled(&slot, role, secret), fooled, "{role}");
    }
    // cu's old credential takes the old password alone.
    forge(&slot, &format!("now.db forged.db {}", put_back("cu")));
    slot.login_to("forged.db", "cu", "new").fails(LOGIN);

    // co has logged in, po has not.
    slot.login_to("store.db", "co", "co").ok();
    slot.copy("now.db");
    forge(&slot, &format!("now.db forged.db {old}"));
    assert!(!is_fooled(&slot, "co", "co"));
    slot.login_to("forged.db", "co", "co").fails(DAMAGED);
    assert!(is_fooled(&slot, "po", "po"));
    forge(&slot, &format!("now.db forged.db {}", put_back("co")));
    assert!(is_fooled(&slot, "co", "co"));

    // co has changed its password.
    fs::copy(slot.store.path("co"), slot.store.path("co-before")).unwrap();
    fs::write(slot.store.path("new"), "another secret of co\n").unwrap();
    slot.change("co", "changepw");
    slot.copy("now.db");
    for line in [old.clone(), put_back("co")] {
        forge(&slot, &format!("now.db forged.db {line}"));
        assert!(!is_fooled(&slot, "co", "new"), "{line}");
    }
    slot.login_to("now.db", "co", "new").ok();
}

/// The same with an old copy of schema 3, whose credentials wrap the slot key itself.
#[test]
fn a_credential_of_schema_3_forges_until_its_role_has_changed_its_secret() {
    let slot = Slot::of_schema_3();
    for role in ROLES {
        slot.login_to("store.db", role, role).ok();
    }
    let old = format!("--old old.db {} --put-back po", slot.known("co", "co"));
    slot.change("co", "changepw");
    slot.login_to("store.db", "po", "po").ok();
    slot.copy("now.db");
    forge(&slot, &format!("now.db forged.db {old}"));
    assert!(!is_fooled(&slot, "cu", "cu"));
    assert!(is_fooled(&slot, "po", "po"));

    fs::write(slot.store.path("new"), "another secret of po\n").unwrap();
    slot.change("po", "changepw");
    slot.copy("now.db");
    forge(&slot, &format!("now.db forged.db {old}"));
    slot.login_to("forged.db", "po", "new").fails(LOGIN);
}
