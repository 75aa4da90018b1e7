//! `.slotfs/public`: public keys and certificates as PEM, read by tools that know nothing of slotfs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::fixture::{
    Hsm, Out, Store, assert_errno, handles, names, password, run, sh, store_excl, write_private,
};

/// Slot 0: a secret key (1), an RSA pair (2, 3), a P-256 pair (4, 5), an Ed25519 pair (6, 7), a certificate (8), data (9).
/// Slot 1, of the same domain, is empty.
fn all_classes() -> Hsm {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 1);
    for pair in ["rsa -bits 2048", "ec -curve p256", "ed25519"] {
        store
            .run_in(0, &format!("object generate -type {pair} -label pair"))
            .ok();
    }
    let made = run(Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-subj",
            "/CN=slotfs.example",
        ])
        .current_dir(store.path("")));
    made.ok();
    let out = store.run_in(0, "object import -file cert.pem -label cert");
    assert_eq!(handles(&out.ok().stdout), [8]);
    assert_eq!(store.data(0, 100), 9);
    store.mount(&[0, 1])
}

fn pem(hsm: &Hsm, slot: u32, handle: u32) -> PathBuf {
    hsm.control(slot, &format!("public/{handle}.pem"))
}

/// Runs `program`, with `FILE` replaced by the path.
#[track_caller]
fn tool(program: &str, file: &Path) -> Out {
    let file = file.to_str().unwrap();
    let words = program
        .split(' ')
        .map(|word| if word == "FILE" { file } else { word });
    let words: Vec<&str> = words.collect();
    run(Command::new(words[0]).args(&words[1..]).env("LC_ALL", "C")).ok()
}

/// "public/124.pem | the public key or the certificate of an object, as PEM".
#[test]
fn tools_read_public_keys_and_certificates() {
    let hsm = all_classes();
    assert_eq!(
        names(&hsm.control(0, "public")),
        [2, 3, 4, 5, 6, 7, 8].map(|handle| format!("{handle}.pem"))
    );
    for (handle, words) in [
        (2, "Public-Key: (2048 bit)"),
        (3, "Public-Key: (2048 bit)"),
        (4, "NIST CURVE: P-256"),
        (5, "NIST CURVE: P-256"),
        (6, "ED25519 Public-Key"),
        (7, "ED25519 Public-Key"),
    ] {
        let shown = tool(
            "openssl pkey -pubin -in FILE -noout -text",
            &pem(&hsm, 0, handle),
        );
        assert!(shown.stdout.contains(words), "{handle}: {shown:?}");
    }
    // Both halves of a pair have the same public key.
    for pair in [(2, 3), (4, 5), (6, 7)] {
        let read = |handle| fs::read(pem(&hsm, 0, handle)).unwrap();
        assert_eq!(read(pair.0), read(pair.1), "{pair:?}");
    }
    for (handle, kind) in [(3, "ssh-rsa "), (5, "ecdsa-sha2-nistp256 ")] {
        let line = tool("ssh-keygen -i -m PKCS8 -f FILE", &pem(&hsm, 0, handle));
        assert!(line.stdout.starts_with(kind), "{line:?}");
    }
    let shown = tool("openssl x509 -in FILE -noout -subject", &pem(&hsm, 0, 8));
    assert!(shown.stdout.contains("slotfs.example"), "{shown:?}");
    let given = fs::read_to_string(hsm.store.path("cert.pem")).unwrap();
    assert_eq!(tool("cat FILE", &pem(&hsm, 0, 8)).stdout, given);
    // It verifies what the key outside signed: the content is the certificate, not one like it.
    let trusted = format!("openssl verify -CAfile {} FILE", pem(&hsm, 0, 8).display());
    tool(&trusted, &hsm.store.path("cert.pem"));
    for file in hsm.control(0, "public").read_dir().unwrap() {
        let file = file.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("PRIVATE"), "{}", file.display());
        assert_eq!(fs::metadata(&file).unwrap().len(), text.len() as u64);
    }
}

/// "Secret keys and data objects have no file there".
#[test]
fn other_classes_have_none() {
    let hsm = all_classes();
    for handle in [1, 9, 99] {
        assert_errno!(fs::read(pem(&hsm, 0, handle)), ENOENT, "{handle}");
        assert_errno!(fs::metadata(pem(&hsm, 0, handle)), ENOENT, "{handle}");
    }
    for name in [
        "public/2",
        "public/02.pem",
        "public/2.PEM",
        "public/.2.pem",
        "public/2.pem~",
    ] {
        assert_errno!(fs::read(hsm.control(0, name)), ENOENT, "{name}");
    }
    assert!(names(&hsm.control(1, "public")).is_empty());
}

/// "as large as its content says, and as old as the object", "with the object's owner".
#[test]
fn what_stat_says() {
    let hsm = all_classes();
    for handle in 2..=8 {
        let (file, object) = (pem(&hsm, 0, handle), hsm.file(0, handle));
        let (file_stat, object_stat) =
            (fs::metadata(&file).unwrap(), fs::metadata(object).unwrap());
        assert_eq!(file_stat.mtime(), object_stat.mtime());
        assert_eq!(file_stat.uid(), object_stat.uid());
        assert_eq!(file_stat.gid(), object_stat.gid());
        assert_eq!(file_stat.permissions().mode() & 0o7777, 0o400);
        assert_eq!(file_stat.len(), fs::read(&file).unwrap().len() as u64);
        assert!(file_stat.blocks() > 0);
    }
}

/// "rm: gone", "mv: under its new handle", "object set: still there", and back from the trash.
#[test]
fn follows_its_object() {
    let hsm = all_classes();
    let rsa = fs::read(pem(&hsm, 0, 2)).unwrap();
    let ec = fs::read(pem(&hsm, 0, 4)).unwrap();
    fs::remove_file(hsm.file(0, 2)).unwrap();
    assert_errno!(fs::read(pem(&hsm, 0, 2)), ENOENT);
    assert!(!names(&hsm.control(0, "public")).contains(&"2.pem".to_owned()));
    // Another object gets the handle at once.
    fs::rename(hsm.file(0, 4), hsm.file(0, 2)).unwrap();
    assert_eq!(fs::read(pem(&hsm, 0, 2)).unwrap(), ec);
    assert_errno!(fs::read(pem(&hsm, 0, 4)), ENOENT);
    fs::rename(hsm.file(0, 2), hsm.file(0, 4)).unwrap();
    fs::rename(hsm.control(0, "trash/2"), hsm.file(0, 2)).unwrap();
    assert_eq!(fs::read(pem(&hsm, 0, 2)).unwrap(), rsa);
    assert_eq!(fs::read(pem(&hsm, 0, 4)).unwrap(), ec);
    // A change by another process: a new revision, with a new time.
    std::thread::sleep(Duration::from_millis(1100));
    hsm.store
        .run_in(0, "object set -handle 4 -label renamed")
        .ok();
    assert_eq!(fs::read(pem(&hsm, 0, 4)).unwrap(), ec);
    let (file, object) = (pem(&hsm, 0, 4), hsm.file(0, 4));
    let time = |path| fs::metadata(path).unwrap().mtime();
    assert_eq!(time(file), time(object));
    // Destroyed by another process, and cloned.
    hsm.copy((0, 2), (1, 70));
    hsm.store.run_in(0, "object delete -handle 2 -force").ok();
    assert_errno!(fs::read(pem(&hsm, 0, 2)), ENOENT);
    assert_eq!(fs::read(pem(&hsm, 1, 70)).unwrap(), rsa);
}

/// "nothing can be written, made, moved or removed there".
#[test]
fn nothing_can_be_changed_there() {
    let hsm = all_classes();
    let blob = hsm.blob(0, 2);
    let before = hsm.blobs(0);
    let there = pem(&hsm, 0, 2);
    // As root the permissions do not count, and the daemon must answer.
    assert_errno!(fs::write(&there, b"x"), EPERM);
    assert_errno!(store_excl(&pem(&hsm, 0, 50), &blob), EPERM);
    assert_errno!(store_excl(&hsm.control(0, "public/50"), &blob), EPERM);
    assert_errno!(fs::remove_file(&there), EPERM);
    assert_errno!(fs::rename(&there, pem(&hsm, 0, 50)), EPERM);
    assert_errno!(fs::rename(&there, hsm.file(0, 50)), EPERM);
    assert_errno!(fs::rename(hsm.file(0, 2), pem(&hsm, 0, 50)), EPERM);
    assert_errno!(fs::create_dir(hsm.control(0, "public/.x")), EPERM);
    assert_errno!(fs::remove_dir(hsm.control(0, "public")), EPERM);
    assert_errno!(nix::unistd::truncate(&there, 0), EPERM);
    // The neighbours answer the same.
    let neighbour = hsm.control(0, "objects/2");
    assert_errno!(fs::write(&neighbour, b"x"), EPERM);
    assert_errno!(fs::remove_file(&neighbour), EPERM);
    assert_errno!(fs::rename(&neighbour, hsm.file(0, 50)), EPERM);
    assert_eq!(hsm.blobs(0), before);
}

/// "like everything in `.slotfs`, it is not copied along with a slot".
#[test]
fn copies_of_a_slot_leave_it_out() {
    let hsm = all_classes();
    let env: &[(&str, &Path)] = &[("M", &hsm.mount.point), ("T", &hsm.store.path("out"))];
    for copy in [
        "cp -r $M/0/. $T/",
        "rsync -a $M/0/ $T/",
        "tar -C $M/0 -cf - . | tar -C $T -xf -",
    ] {
        sh(&format!("rm -rf $T; mkdir $T; {copy}"), env).ok();
        assert_eq!(names(&hsm.store.path("out")), names(&hsm.slot(0)), "{copy}");
    }
    // By its name it is copied like any folder, and a second run finds nothing to do.
    sh("rm -rf $T; rsync -a $M/0/.slotfs/public/ $T/", env).ok();
    assert_eq!(
        names(&hsm.store.path("out")),
        names(&hsm.control(0, "public"))
    );
    let again = sh("rsync -ai $M/0/.slotfs/public/ $T/", env).ok();
    assert!(!again.stdout.contains(".pem"), "{again:?}");
}

/// "Nobody is logged in: ENOKEY", before and after.
#[test]
fn a_locked_slot_shows_none() {
    let hsm = all_classes();
    let read = fs::read(pem(&hsm, 0, 3)).unwrap();
    fs::write(hsm.control(0, "logout"), b"x").unwrap();
    assert_errno!(fs::read(pem(&hsm, 0, 3)), ENOKEY);
    assert_errno!(fs::metadata(pem(&hsm, 0, 3)), ENOKEY);
    assert_errno!(fs::read_dir(hsm.control(0, "public")), ENOKEY);
    fs::write(hsm.control(0, "login"), password(0)).unwrap();
    assert_eq!(fs::read(pem(&hsm, 0, 3)).unwrap(), read);
    assert_eq!(names(&hsm.control(0, "public")).len(), 7);
}

/// "A crypto user reads it": also the public half of a private key that it cannot take out. A public key that is
/// CKA_PRIVATE stays in.
#[test]
fn a_crypto_user_reads_it() {
    let store = Store::empty();
    store.slot(0, "red");
    store
        .run_in(0, "object generate -type ec -curve p256 -label pair")
        .ok();
    store
        .run_in(0, "object generate -type ec -curve p256 -label pair")
        .ok();
    store
        .run_in(0, "object export -handle 4 -file public.pem")
        .ok();
    store
        .run_in(
            0,
            "object import -file public.pem -label kept -attribute private=true",
        )
        .ok();
    write_private(&store.path("cu"), "password of cu\n");
    store
        .run_in(0, "role init -name cu -newpasswordfile cu")
        .ok();
    let cu = format!("0:cu={}", store.path("cu").display());
    let mount = store.start_at("mnt", &[], &["--login", "0:cu", "--password-file", &cu]);
    let hsm = Hsm { mount, store };
    assert_errno!(fs::read(hsm.file(0, 1)), EPERM);
    for handle in 1..=4 {
        tool("openssl pkey -pubin -in FILE -noout", &pem(&hsm, 0, handle));
    }
    assert_errno!(fs::read(hsm.file(0, 5)), EPERM);
    assert_errno!(fs::read(pem(&hsm, 0, 5)), EPERM);
    hsm.mount.announce("may use object");
}

/// A listing passes over any number of objects that have no public content.
#[test]
fn a_long_listing_finds_what_is_in_between() {
    let store = Store::empty();
    store.slot(0, "red");
    let ec = "object generate -type ec -curve p256 -label pair";
    store.aes(0, 1200);
    store.run_in(0, ec).ok();
    store.aes(0, 1200);
    store.run_in(0, &format!("{ec} -count 600")).ok();
    store.aes(0, 1100);
    let hsm = store.mount(&[0]);
    let expected: Vec<u32> = (1201..=1202).chain(2403..=3602).collect();
    for _ in 0..2 {
        let mut listed: Vec<u32> = names(&hsm.control(0, "public"))
            .iter()
            .map(|name| name.strip_suffix(".pem").unwrap().parse().unwrap())
            .collect();
        listed.sort_unstable();
        assert_eq!(listed, expected);
    }
    assert_eq!(names(&hsm.control(0, "objects")).len(), 4702);
}

/// "An object that cannot be opened is listed, and reading its file is EIO": whether it has public content is not known, and
/// a mirror must not take the file for removed.
#[test]
fn a_damaged_object_is_listed_and_not_read() {
    let store = Store::empty();
    store.slot(0, "red");
    store
        .run_in(0, "object generate -type ec -curve p256 -label pair")
        .ok();
    store.aes(0, 1);
    rusqlite::Connection::open(store.path("store.db"))
        .unwrap()
        .execute_batch("UPDATE objects SET sealed = zeroblob(length(sealed)) WHERE handle = 2")
        .unwrap();
    let hsm = store.mount(&[0]);
    hsm.mount.announce("damaged");
    assert_eq!(names(&hsm.control(0, "public")), ["1.pem", "2.pem"]);
    assert_eq!(
        fs::metadata(pem(&hsm, 0, 2)).unwrap().mode() & 0o7777,
        0o400
    );
    assert_errno!(fs::read(pem(&hsm, 0, 2)), EIO);
    tool("openssl pkey -pubin -in FILE -noout", &pem(&hsm, 0, 1));
}
