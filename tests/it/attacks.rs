//! The attack programs of scripts/attacks, which share no code with the build, against stores that the build made: what a
//! changed secret and a role's key pair promise (docs/security.md, "From whoever has the store's file").

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{Out, Store, run, write_private};

mod forge;
mod old_secret;

/// The exit statuses of a wrong secret and of damage.
const LOGIN: i32 = 3;
const DAMAGED: i32 = 4;

/// One of the programs, in the store's folder.
#[track_caller]
fn attack(store: &Store, program: &str, line: &str) -> Out {
    let program = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts/attacks")
        .join(program);
    let mut python = Command::new("python3");
    python
        .arg(program)
        .args(line.split_whitespace())
        .current_dir(store.path("."))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    run(&mut python)
}

/// Slot 0 with three roles, each with a secret of its own, two keys, and a third in the trash.
struct Slot {
    store: Store,
    quorum: bool,
}

impl Slot {
    fn of_passwords(version: u8) -> Self {
        let store = Store::empty();
        store.domain("red");
        for role in ["po", "co", "cu", "new"] {
            write_private(&store.path(role), &format!("the secret of {role}\n"));
        }
        let init = "partition init -slot 0 -label alpha -domainkey red.pem";
        store
            .run(&format!("{init} -version {version} --password-file 0=po"))
            .ok();
        store
            .run("role changepw -name co -newpasswordfile co -slot 0 --password-file 0=po")
            .ok();
        store
            .run("role init -name cu -newpasswordfile cu -slot 0 --password-file 0=co")
            .ok();
        Self::with_keys(store, false)
    }

    /// po and co have the same shares, as after each `partition init`.
    fn of_shares() -> Self {
        let store = Store::empty();
        store.domain("red");
        let init = "partition init -slot 0 -label alpha -domainkey red.pem -version 1 -quorum 2/3 -shares po";
        store.run(init).ok();
        let copy = Command::new("cp")
            .args(["-r", "po", "co"])
            .current_dir(store.path("."))
            .status();
        assert!(copy.unwrap().success());
        let login = shares("0", "co");
        store
            .run(&format!("role init -name cu -shares cu -slot 0 {login}"))
            .ok();
        Self::with_keys(store, true)
    }

    fn with_keys(store: Store, quorum: bool) -> Self {
        let slot = Self { store, quorum };
        slot.co("object generate -type aes -bits 256 -label key -count 3");
        slot.co("object delete -handle 2 -force");
        slot.co("object set -handle 3 -label renamed");
        slot
    }

    /// Options that log a role in with the secret in that file or folder.
    fn login(&self, role: &str, secret: &str) -> String {
        match self.quorum {
            true => shares(&format!("0:{role}"), secret),
            false => format!("--password-file 0:{role}={secret}"),
        }
    }

    /// The same for the programs here.
    fn known(&self, role: &str, secret: &str) -> String {
        match self.quorum {
            true => {
                format!("--role {role} --share {secret}/share-1-of-3 --share {secret}/share-3-of-3")
            }
            false => format!("--role {role} --password-file {secret}"),
        }
    }

    #[track_caller]
    fn co(&self, line: &str) {
        let login = self.login("co", "co");
        self.store.run(&format!("{line} -slot 0 {login}")).ok();
    }

    /// Gives a role the secret `new`, by itself or by po.
    #[track_caller]
    fn change(&self, role: &str, how: &str) {
        let by = match how {
            "resetpw" => "po",
            _ => role,
        };
        let new = match self.quorum {
            true => "-shares new",
            false => "-newpasswordfile new",
        };
        let login = self.login(by, by);
        let line = format!("role {how} -name {role} {new} -slot 0 {login}");
        let out = self.store.run(&line).ok();
        assert!(!out.text().contains("has logged in once"), "{out:?}");
    }

    /// A store of schema 3, whose slot 0 has three roles; `old.db` is a copy.
    fn of_schema_3() -> Self {
        let store = Store::empty();
        let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats/v3");
        for (from, to) in [
            ("store.db", "store.db"),
            ("store.db", "old.db"),
            ("pw-0-po", "po"),
            ("pw-0-co", "co"),
            ("pw-0-cu", "cu"),
        ] {
            fs::write(store.path(to), fs::read(formats.join(from)).unwrap()).unwrap();
            fs::set_permissions(store.path(to), fs::Permissions::from_mode(0o600)).unwrap();
        }
        write_private(&store.path("new"), "the secret of new\n");
        Self {
            store,
            quorum: false,
        }
    }

    fn copy(&self, name: &str) {
        self.store.run(&format!("store backup {name} -force")).ok();
    }

    /// A login to the store in a file.
    #[track_caller]
    fn login_to(&self, file: impl Into<PathBuf>, role: &str, secret: &str) -> Out {
        let line = format!(
            "role login -name {role} -slot 0 {}",
            self.login(role, secret)
        );
        let mut command = self.store.bare(&["--store"]);
        run(command.arg(file.into()).args(line.split_whitespace()))
    }
}

fn shares(place: &str, folder: &str) -> String {
    format!("--share-file {place}={folder}/share-1-of-3 --share-file {place}={folder}/share-3-of-3")
}

/// An attack that computes wrongly finds every store safe.
#[test]
fn the_attackers_arithmetic_is_right() {
    attack(&Store::empty(), "selfcheck.py", "").ok();
}
