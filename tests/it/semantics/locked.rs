//! A slot nobody is logged in to, and logging in by control file.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::fixture::{
    Hsm, Store, assert_errno, close, flush, open_flags, password, sh, store_excl, store_trunc,
};

/// Slots 0 and 1 of one domain with two keys in 0 and one in 1; only 0 is logged in to.
fn one_locked() -> Hsm {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 2);
    store.aes(1, 1);
    store.mount(&[0])
}

/// One message to a control file: the result of its one write.
fn tell(path: &Path, message: &[u8]) -> io::Result<()> {
    let mut file = open_flags(path, 0)?;
    let n = file.write(message)?;
    assert_eq!(n, message.len());
    close(file)
}

/// "a slot nobody is logged in to | ENOKEY, on opendir too [...] except getattr and lookup of the slot and
/// its `.slotfs`".
#[test]
fn a_locked_slot_is_enokey() {
    let hsm = one_locked();
    let blob = hsm.blob(0, 1);
    assert_errno!(fs::read_dir(hsm.slot(1)), ENOKEY);
    assert_errno!(fs::metadata(hsm.file(1, 1)), ENOKEY);
    assert_errno!(fs::metadata(hsm.file(1, 999)), ENOKEY);
    assert_errno!(fs::read(hsm.file(1, 1)), ENOKEY);
    assert_errno!(store_excl(&hsm.file(1, 9), &blob), ENOKEY);
    assert_errno!(store_trunc(&hsm.file(1, 1), &blob), ENOKEY);
    assert_errno!(store_excl(&hsm.file(1, ".x"), &blob), ENOKEY);
    assert_errno!(fs::remove_file(hsm.file(1, 1)), ENOKEY);
    assert_errno!(fs::rename(hsm.file(0, 1), hsm.file(1, 9)), ENOKEY);
    assert_errno!(fs::rename(hsm.file(1, 1), hsm.file(0, 9)), ENOKEY);
    assert_errno!(fs::read(hsm.control(1, "contents")), ENOKEY);
    assert_errno!(fs::read_dir(hsm.control(1, "objects")), ENOKEY);
    assert_errno!(fs::read(hsm.control(1, "objects/1")), ENOKEY);
    assert_eq!(hsm.list(0), ["1", "2"]);
    // Lookup and getattr of the slot and its `.slotfs`.
    assert!(fs::metadata(hsm.slot(1)).unwrap().is_dir());
    assert!(fs::metadata(hsm.control(1, "")).unwrap().is_dir());
    assert_eq!(crate::fixture::names(&hsm.mount.point), ["0", "1"]);
    hsm.mount.announce("logged in");
}

/// "and in it status, login, login-cu, logout, clones".
#[test]
fn what_a_locked_slot_still_answers() {
    let hsm = one_locked();
    for name in ["status", "login", "login-cu", "logout", "clones"] {
        let metadata = fs::metadata(hsm.control(1, name));
        assert!(metadata.unwrap().is_file(), "{name}");
    }
    fs::read_to_string(hsm.control(1, "clones")).unwrap();
    let status = fs::read_to_string(hsm.control(1, "status")).unwrap();
    assert!(status.contains("label: slot1"), "{status}");
    assert_ne!(hsm.status(0, "state"), hsm.status(1, "state"));
    // Domain fingerprints and objects are for the logged in.
    assert!(!status.contains("key: "), "{status}");
}

/// "(an empty listing would let `rsync --delete` erase a backup)".
#[test]
fn a_locked_slot_does_not_erase_a_backup() {
    let hsm = one_locked();
    hsm.mount.announce("logged in");
    let backup = hsm.store.path("backup");
    fs::create_dir(&backup).unwrap();
    fs::write(backup.join("1"), b"precious").unwrap();
    for tool in [
        r#"rsync -a --delete "$S"/ "$B"/"#,
        r#"cp -r "$S"/. "$B"/"#,
        r#"ls "$S""#,
        r#"tar -C "$S" -cf "$B"/../a.tar ."#,
    ] {
        let out = sh(tool, &[("S", &hsm.slot(1)), ("B", &backup)]);
        assert_ne!(out.code, 0, "{tool}: {out:?}");
        assert!(
            out.stderr.contains("Required key not available"),
            "{tool}: {out:?}"
        );
        assert_eq!(crate::fixture::names(&backup), ["1"]);
    }
}

/// "write the password (co, cu) / anything; the write's result is the verdict"; "One trailing LF or CRLF is
/// dropped from a password".
#[test]
fn login_and_logout() {
    let hsm = one_locked();
    hsm.mount.announce("logged");
    let (login, logout) = (hsm.control(1, "login"), hsm.control(1, "logout"));
    let locked = hsm.status(1, "state");
    for end in ["", "\n", "\r\n"] {
        tell(&login, (password(1) + end).as_bytes()).unwrap();
        assert_eq!(hsm.list(1), ["1"], "after a password that ends in {end:?}");
        assert_ne!(hsm.status(1, "state"), locked);
        assert_eq!(hsm.status(1, "state"), hsm.status(0, "state"));
        let blob = hsm.blob(0, 1);
        store_excl(&hsm.file(1, 9), &blob).unwrap();
        fs::remove_file(hsm.file(1, 9)).unwrap();
        tell(&logout, b"x").unwrap();
        assert_errno!(fs::read_dir(hsm.slot(1)), ENOKEY);
        assert_errno!(fs::read(hsm.file(1, 1)), ENOKEY);
        assert_eq!(hsm.status(1, "state"), locked);
    }
    assert_eq!(hsm.list(0), ["1", "2"], "the other slot stays as it was");
    // As people do it.
    let env = [("D", hsm.slot(1)), ("P", hsm.store.path("pw-1"))];
    let env = env.each_ref().map(|(name, path)| (*name, path.as_path()));
    sh(r#"cat "$P" > "$D/.slotfs/login""#, &env).ok();
    assert_eq!(hsm.list(1), ["1"]);
    sh(r#"echo > "$D/.slotfs/logout""#, &env).ok();
    assert_errno!(fs::read_dir(hsm.slot(1)), ENOKEY);
    sh(r#"cp "$P" "$D/.slotfs/login""#, &env).ok();
    assert_eq!(hsm.list(1), ["1"]);
}

/// "EKEYREJECTED / EKEYREVOKED | wrong password"; "FLUSH repeats it".
#[test]
fn a_wrong_password() {
    let hsm = one_locked();
    hsm.mount.announce("");
    let login = hsm.control(1, "login");
    for wrong in [
        "wrong password",
        "correct horse 0",
        "correct horse 1\n\n",
        " correct horse 1",
        "correct horse 1\0",
    ] {
        let mut file = open_flags(&login, 0).unwrap();
        assert_errno!(file.write_all(wrong.as_bytes()), EKEYREJECTED, "{wrong:?}");
        assert_errno!(flush(&file), EKEYREJECTED, "{wrong:?}");
        assert_errno!(close(file), EKEYREJECTED, "{wrong:?}");
        assert_errno!(fs::read_dir(hsm.slot(1)), ENOKEY, "{wrong:?}");
    }
    let out = sh(
        r#"echo 'wrong again' > "$D/.slotfs/login""#,
        &[("D", &hsm.slot(1))],
    );
    assert_ne!(out.code, 0, "{out:?}");
    assert!(!out.stderr.is_empty(), "{out:?}");
    tell(&login, password(1).as_bytes()).unwrap();
    assert_eq!(hsm.list(1), ["1"]);
    assert!(
        !hsm.mount.log().contains("horse") && !hsm.mount.log().contains("wrong again"),
        "the log holds a password"
    );
}

/// "Failed logins are counted durably *before* they are checked; at 10 (policy 20) the role locks":
/// EKEYREVOKED, also for the right password.
#[test]
fn too_many_wrong_passwords() {
    let hsm = one_locked();
    hsm.mount.announce("");
    let login = hsm.control(1, "login");
    for i in 0..10 {
        let error = crate::fixture::errno(tell(&login, b"wrong password"));
        let last = i == 9 && error == libc::EKEYREVOKED;
        assert!(error == libc::EKEYREJECTED || last, "attempt {i}: {error}");
    }
    assert_errno!(tell(&login, b"wrong password"), EKEYREVOKED);
    assert_errno!(tell(&login, password(1).as_bytes()), EKEYREVOKED);
    assert_errno!(fs::read_dir(hsm.slot(1)), ENOKEY);
    let store = hsm.store;
    drop(hsm.mount);
    let hsm = store.mount(&[0]);
    hsm.mount.announce("");
    assert_errno!(
        tell(&hsm.control(1, "login"), password(1).as_bytes()),
        EKEYREVOKED,
        "after a remount"
    );
}

/// A success forgets the failures before it.
#[test]
fn a_login_resets_the_counter() {
    let hsm = one_locked();
    hsm.mount.announce("");
    let login = hsm.control(1, "login");
    for _ in 0..2 {
        for _ in 0..6 {
            assert_errno!(tell(&login, b"wrong password"), EKEYREJECTED);
        }
        tell(&login, password(1).as_bytes()).unwrap();
    }
}

/// "Outside in": cp into a locked slot fails for each object and says why.
#[test]
fn cp_into_a_locked_slot() {
    let hsm = one_locked();
    hsm.mount.announce("logged in");
    let out = sh(
        r#"cp "$S"/* "$D"/"#,
        &[("S", &hsm.slot(0)), ("D", &hsm.slot(1))],
    );
    assert_eq!(out.code, 1, "{out:?}");
    assert_eq!(
        out.stderr.matches("Required key not available").count(),
        2,
        "{out:?}"
    );
}

/// What is open when the slot is locked does not slip in afterwards.
#[test]
fn logout_under_an_open_file() {
    let hsm = one_locked();
    hsm.mount.announce("");
    let blob = hsm.blob(0, 1);
    tell(&hsm.control(1, "login"), password(1).as_bytes()).unwrap();
    let file = crate::fixture::open_excl(&hsm.file(1, 9)).unwrap();
    tell(&hsm.control(1, "logout"), b"x").unwrap();
    let written = std::os::unix::fs::FileExt::write_all_at(&file, &blob, 0);
    assert_errno!(written, ENOKEY);
    let _ = close(file);
    tell(&hsm.control(1, "login"), password(1).as_bytes()).unwrap();
    assert_eq!(hsm.list(1), ["1"]);
}
