//! Files with passwords, domain keys and key shares that others could read or write.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{FAILED, USAGE, one_slot};
use crate::fixture::{Out, Store, is_mounted, password, run, write_private};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Each option that takes such a file, a command line with it, and what undoes that it worked.
fn every_door(store: &Store) -> Vec<(&'static str, String, Option<&'static str>)> {
    store.slot(1, "red");
    store
        .run("partition init -slot 2 -label two -domainkey red.pem -quorum 2/2 -shares shares")
        .ok();
    fs::copy(store.path("shares/share-1-of-2"), store.path("share")).unwrap();
    store.domain("other");
    fs::copy(store.path("other.pem"), store.path("key")).unwrap();
    for (name, text) in [
        ("new", "another horse\n"),
        ("store-password", "file password\n"),
    ] {
        write_private(&store.path(name), text);
    }
    let openssl = "openssl genpkey -algorithm ed25519 2>&1 | openssl pkcs8 -topk8 -v2 aes-256-cbc -passout file:store-password -out enc.pem";
    run(Command::new("sh")
        .args(["-c", openssl])
        .current_dir(store.path(".")))
    .ok();
    vec![
        ("pw-0", "object show -handle 1 -slot 0 --password-file 0=pw-0".into(), None),
        (
            "new",
            "role changepw -name co -slot 1 --password-file 1=pw-1 -newpasswordfile new".into(),
            Some("role changepw -name co -slot 1 --password-file 1=new -newpasswordfile pw-1"),
        ),
        (
            "key",
            "partition domainadd -domainkey key -domainlabel more -slot 0 --password-file 0:po=pw-0".into(),
            Some("partition domaindelete -domainlabel more -force -slot 0 --password-file 0:po=pw-0"),
        ),
        (
            "key",
            "partition init -slot 7 -label seven -domainkey key --password-file 7=pw-1".into(),
            Some("partition delete -force -slot 7 --password-file 7:po=pw-1"),
        ),
        (
            "share",
            "role login -name co -slot 2 --share-file 2=share --share-file 2=shares/share-2-of-2".into(),
            None,
        ),
        (
            "store-password",
            "object import -file enc.pem -filepasswordfile store-password -label x -slot 0 --password-file 0=pw-0".into(),
            None,
        ),
    ]
}

/// "a warning for group or world readable (as ssh does), a refusal for world writable".
#[test]
fn modes() {
    let store = one_slot();
    for (file, line, undo) in every_door(&store) {
        let path = store.path(file);
        for mode in [
            0o600, 0o400, 0o640, 0o644, 0o620, 0o660, 0o602, 0o666, 0o777,
        ] {
            chmod(&path, mode);
            let out = store.run_without_terminal(&line);
            let told =
                out.stderr.contains(&format!("{file}: ")) && out.stderr.contains("chmod 600");
            if mode & 0o002 != 0 {
                assert_ne!(out.code, 0, "{mode:o} {line}: {out:?}");
                assert!(
                    out.stderr
                        .contains(&format!("{file}: everybody can write this file")),
                    "{mode:o} {line}: {out:?}"
                );
                continue;
            }
            let out = out.ok();
            assert_eq!(told, mode & 0o077 != 0, "{mode:o} {line}: {out:?}");
            if mode & 0o077 != 0 {
                assert!(
                    out.stderr.contains(&format!("(mode {mode:04o})")),
                    "{mode:o} {line}: {out:?}"
                );
                assert_eq!(out.stderr.lines().count(), 1, "{out:?}");
            }
            assert!(!out.text().contains("horse"), "{out:?}");
            if let Some(undo) = undo {
                chmod(&path, 0o600);
                store.run_without_terminal(undo).ok();
            }
        }
        chmod(&path, 0o600);
    }
}

/// One file that is given for several slots is warned of once.
#[test]
fn one_file_one_warning() {
    let store = one_slot();
    store
        .run("partition init -slot 1 -label one -domainkey red.pem --password-file 1=pw-0")
        .ok();
    chmod(&store.path("pw-0"), 0o644);
    let out = store
        .run_without_terminal(
            "--password-file 0=pw-0 --password-file 1=pw-0 partition clone -objects all -slot 1",
        )
        .ok();
    assert_eq!(out.stderr.matches("(mode 0644)").count(), 1, "{out:?}");
}

/// What has no name that others could open is taken as it is: pipes, descriptors, a service manager's files.
#[test]
fn pipes_and_descriptors() {
    let store = one_slot();
    let slotfs = env!("CARGO_BIN_EXE_slotfs");
    chmod(&store.path("pw-0"), 0o644);
    let show = format!(
        "{slotfs} --store {} object show -handle 1 -slot 0",
        store.location().display()
    );
    let bash = |script: &str| {
        run(Command::new("bash")
            .args(["-c", script])
            .current_dir(store.path(".")))
        .ok()
    };
    for script in [
        format!("{show} --password-file 0=<(cat pw-0)"),
        format!("{show} --password-file 0=/dev/fd/3 3<pw-0"),
        format!("{show} --password-file 0=/proc/self/fd/3 3<pw-0"),
        format!("{show} --password-file 0=/dev/stdin <pw-0"),
        format!("{show} --password-file 0=/dev/stdin <<<'{}'", password(0)),
        format!("mkfifo -m 666 pipe; cat pw-0 >pipe & {show} --password-file 0=pipe; wait"),
    ] {
        let out = bash(&script);
        assert_eq!(out.stderr, "", "{script}");
    }
    fs::create_dir(store.path("credentials")).unwrap();
    let file = store.path("credentials/slot-0.password");
    write_private(&file, &password(0));
    let with_credentials = |mode| -> Out {
        chmod(&file, mode);
        run(store
            .command(&["object", "show", "-handle", "1"])
            .env("CREDENTIALS_DIRECTORY", store.path("credentials"))
            .stdin(Stdio::null()))
    };
    assert_eq!(with_credentials(0o440).ok().stderr, "");
    with_credentials(0o446).fails(FAILED);
}

/// `mount` refuses as well, and leaves no mount.
#[test]
fn a_mount_with_a_file_that_everybody_writes() {
    let store = one_slot();
    chmod(&store.path("pw-0"), 0o666);
    let out = store
        .run_without_terminal("mount mnt --login 0 --password-file 0=pw-0")
        .fails(FAILED);
    assert!(out.stderr.contains("everybody can write"), "{out:?}");
    assert!(!is_mounted(&store.path("mnt")));
}

/// "a refusal ... for 32 equal bytes"
#[test]
fn a_domain_key_of_zeros() {
    let store = one_slot();
    for byte in ["AAAA", "////"] {
        let body = format!("{}{}=", byte.repeat(10), &byte[..3]);
        // 32 bytes are 43 characters; the last one has two bits of padding.
        let body = body.replace("///=", "//8=");
        write_private(
            &store.path("zeros.pem"),
            &format!(
                "-----BEGIN SLOTFS DOMAIN KEY-----\n{body}\n-----END SLOTFS DOMAIN KEY-----\n"
            ),
        );
        for line in [
            "partition init -slot 5 -label five -domainkey zeros.pem --password-file 5=pw-0",
            "partition init -slot 0 -label again -domainkey zeros.pem --password-file 0=pw-0 -force",
            "partition domainadd -domainkey zeros.pem -domainlabel z -slot 0 --password-file 0:po=pw-0",
        ] {
            let out = store.run_without_terminal(line).fails(USAGE);
            assert!(
                out.stderr
                    .contains("zeros.pem: its key is one byte repeated 32 times"),
                "{line}: {out:?}"
            );
        }
    }
    store.run_in(0, "object show -handle 1").ok();
    let slots = store.run("slot list --json").ok().json();
    assert_eq!(slots["slots"].as_array().unwrap().len(), 1);
}
