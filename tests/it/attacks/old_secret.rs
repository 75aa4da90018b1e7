//! An old password, or old shares, with an old copy of the store: everything is tried on the store of now.

use std::fs;

use super::{LOGIN, Slot, attack};
use crate::fixture::names;

/// Changes the secret of `role`, and tries the one from before.
fn changed(slot: &Slot, role: &str, how: &str) {
    let store = &slot.store;
    slot.copy("old.db");
    // The control: while the secret stays, the program opens everything that is made later, and says so.
    slot.co("object generate -type aes -bits 256 -label later");
    slot.copy("unchanged.db");
    let known = slot.known(role, role);
    let attack = |line: &str| attack(store, "old_secret.py", &format!("{line} --slot 0 {known}"));
    let out = attack("old.db unchanged.db --expect-open").ok();
    assert!(out.stdout.contains("0 do not"), "{out:?}");
    let out = attack("old.db unchanged.db").fails(1);
    // Each way to try something can find something.
    let lines = |start: &'static str| {
        out.stdout
            .lines()
            .filter_map(move |it| it.strip_prefix(start))
    };
    for tried in lines("tried\t") {
        let way = tried.split_once('\t').unwrap().1;
        let found = lines("OPENED\t").any(|it| it.starts_with(&format!("{way}: ")));
        assert!(found, "{way}: {out:?}");
    }

    slot.change(role, how);
    slot.copy("now.db");
    attack("old.db now.db --expect-open").fails(1);
    fs::create_dir(store.path("tampered")).unwrap();
    let out = attack("old.db now.db --tampered tampered").ok();
    assert!(
        out.stdout.contains(" attempts, 0 opened something"),
        "{out:?}"
    );

    // And the program that is attacked, on every combination of old rows.
    let verdicts: Vec<(&str, &str)> = out
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("put back\t")?.split_once('\t'))
        .collect();
    assert_eq!(verdicts.len(), names(&store.path("tampered")).len());
    assert!(verdicts.len() >= 31);
    let mut rolled_back = 0;
    for (file, verdict) in verdicts {
        let out = slot.login_to(format!("tampered/{file}"), role, role);
        match verdict {
            "refused" => assert_ne!(out.code, 0, "{file}: {out:?}"),
            "rolled back" => {
                rolled_back += 1;
                out.ok();
            }
            verdict => panic!("{file}: {verdict}"),
        }
    }
    // The whole slot of then, with its objects or with those of now, which then do not open.
    assert_eq!(rolled_back, 2);
    slot.login_to("now.db", role, "new").ok();
    slot.login_to("now.db", role, role).fails(LOGIN);
}

#[test]
fn an_old_password_of_po_opens_nothing() {
    changed(&Slot::of_passwords(0), "po", "changepw");
}

#[test]
fn an_old_password_of_co_opens_nothing() {
    changed(&Slot::of_passwords(0), "co", "changepw");
}

#[test]
fn an_old_password_of_cu_opens_nothing() {
    changed(&Slot::of_passwords(0), "cu", "changepw");
}

#[test]
fn a_password_that_was_reset_opens_nothing() {
    changed(&Slot::of_passwords(0), "co", "resetpw");
}

#[test]
fn old_shares_of_po_and_co_open_nothing() {
    changed(&Slot::of_shares(), "co", "changepw");
}

#[test]
fn old_shares_of_cu_open_nothing() {
    changed(&Slot::of_shares(), "cu", "resetpw");
}

/// A store of schema 3: what was changed opens with an old copy until the last role has logged in, as the command says,
/// and not afterwards.
#[test]
fn an_old_copy_of_schema_3_opens_until_every_role_has_logged_in() {
    let slot = Slot::of_schema_3();
    let attack = |line: &str| attack(&slot.store, "old_secret.py", line);
    let known = "--slot 0 --role co --password-file co";

    let changed = "role changepw -name co -newpasswordfile new -slot 0 --password-file 0=co";
    let out = slot.store.run(changed).ok();
    assert!(out.text().contains("has logged in once: po, cu"), "{out:?}");
    slot.copy("waiting.db");
    attack(&format!("old.db waiting.db --expect-open {known}")).ok();
    attack(&format!("old.db waiting.db {known}")).fails(1);
    slot.login_to("store.db", "po", "po").ok();
    slot.copy("one.db");
    attack(&format!("old.db one.db --expect-open {known}")).ok();

    slot.login_to("store.db", "cu", "cu").ok();
    slot.copy("now.db");
    attack(&format!("old.db now.db --expect-open {known}")).fails(1);
    attack(&format!("old.db now.db {known}")).ok();
    for (role, secret) in [("po", "po"), ("co", "new"), ("cu", "cu")] {
        slot.login_to("now.db", role, secret).ok();
    }
}
