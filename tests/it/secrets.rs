//! "Secrets: zeroized, never in logs at any level, errors, Debug, core dumps, swap where mlock is allowed, shell history".

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use slotfs::credential::KeyShare;
use slotfs::domain::DomainKey;

use crate::fixture::{Mount, Store, password, run, sh};

/// What must not be found, by name.
struct Secret {
    what: &'static str,
    bytes: Vec<u8>,
}

/// A store with objects and domains whose secret bytes are known here.
fn known() -> (Store, Vec<Secret>) {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    let mut secrets = Vec::new();
    for (what, kind, seed) in [
        ("an AES key", "aes", 0x11u8),
        ("a generic secret", "generic", 0x5d),
        ("a data object", "data", 0xa7),
    ] {
        // No run of bytes that could be there by chance.
        let bytes: Vec<u8> = (0..32u8)
            .map(|i| seed.wrapping_mul(i.wrapping_add(3)).rotate_left(3) ^ i.wrapping_mul(0x35))
            .collect();
        fs::write(store.path("raw"), &bytes).unwrap();
        store
            .run_in(
                0,
                &format!("object import -type {kind} -file raw -label {kind}"),
            )
            .ok();
        secrets.push(Secret { what, bytes });
    }
    fs::remove_file(store.path("raw")).unwrap();
    let string = "a domain string of the tests, 4711";
    store
        .args(&[
            "partition",
            "domainadd",
            "-domain",
            string,
            "-domainlabel",
            "second",
            "-slot",
            "0",
            "--password-file",
            "0:po=pw-0",
        ])
        .ok();
    let from_file = DomainKey::from_pem(&fs::read(store.path("red.pem")).unwrap()).unwrap();
    let from_string = DomainKey::from_string(string).unwrap();
    for (what, key) in [
        ("a domain key file's key", from_file),
        ("a domain string's key", from_string),
    ] {
        secrets.push(Secret {
            what,
            bytes: key.key().bytes().to_vec(),
        });
    }
    (store, secrets)
}

/// All that a process has in memory and that can be read.
fn memory(mount: &Mount) -> Vec<u8> {
    let process = PathBuf::from(format!("/proc/{}", mount.pid()));
    let maps = fs::read_to_string(process.join("maps")).unwrap();
    let memory = File::open(process.join("mem")).expect("root may read another process's memory");
    let mut all = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, modes) = (words.next().unwrap(), words.next().unwrap());
        // What is not written to holds no secret, and the kernel's own pages are not readable.
        if !modes.starts_with("rw") || line.ends_with("[vvar]") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let (from, to) = (
            u64::from_str_radix(from, 16).unwrap(),
            u64::from_str_radix(to, 16).unwrap(),
        );
        let start = all.len();
        all.resize(start + usize::try_from(to - from).unwrap(), 0);
        // A page that went away meanwhile reads short.
        let read = memory.read_at(&mut all[start..], from).unwrap_or(0);
        all.truncate(start + read);
    }
    all
}

fn has(haystack: &[u8], needle: &[u8]) -> bool {
    // The half of a key is as good as lost.
    needle.chunks_exact(16).any(|half| memchr(haystack, half))
}

fn memchr(haystack: &[u8], needle: &[u8]) -> bool {
    let first = needle[0];
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|byte| *byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// "a test greps the memory of a logged-out daemon, its logs and its store for the key and domain bytes and finds none"
#[test]
fn a_logged_out_daemon_holds_no_key_and_no_domain() {
    let (store, secrets) = known();
    let mount = store.start_traced(&[0, 1]);
    let (zero, one) = (mount.point.join("0"), mount.point.join("1"));
    let env: &[(&str, &Path)] = &[("A", &zero), ("B", &one)];
    // Read, cloned, listed, moved, refused, removed, brought back.
    sh(
        "cp $A/* $B/ && cat $A/* > /dev/null && cat $A/.slotfs/contents $A/.slotfs/objects/*",
        env,
    )
    .ok();
    sh("rm $B/1 && mv $B/.slotfs/trash/1 $B/ && mv $B/1 $B/77", env).ok();
    mount.announce("");
    sh("head -c 100 $A/1 > $B/9", env).code_is_not(0);
    fs::write(zero.join(".slotfs/login"), password(0)).unwrap();
    // While it is logged in, the same search finds what a slot must have: it can find something.
    let logged_in = memory(&mount);
    let domains = secrets
        .iter()
        .filter(|secret| secret.what.contains("domain"));
    for secret in domains {
        assert!(
            has(&logged_in, &secret.bytes),
            "{} is not found at all",
            secret.what
        );
    }
    drop(logged_in);
    for slot in [&zero, &one] {
        fs::write(slot.join(".slotfs/logout"), "x").unwrap();
    }
    let logged_out = memory(&mount);
    assert!(logged_out.len() > 1 << 20);
    let found: Vec<&str> = secrets
        .iter()
        .filter(|secret| has(&logged_out, &secret.bytes))
        .map(|secret| secret.what)
        .collect();
    assert!(
        found.is_empty(),
        "a logged-out daemon has {found:?} in memory"
    );
    drop(logged_out);

    let log = mount.log();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the log is at its loudest"
    );
    drop(mount);
    let mut files = log.into_bytes();
    for entry in fs::read_dir(store.path("")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let is_ours = name.starts_with("store.db") || name.ends_with(".log");
        if is_ours && entry.path().is_file() {
            files.extend(fs::read(entry.path()).unwrap());
        }
    }
    for secret in &secrets {
        assert!(!has(&files, &secret.bytes), "{} is in a file", secret.what);
        for text in [
            data_encoding::HEXLOWER.encode(&secret.bytes),
            data_encoding::HEXUPPER.encode(&secret.bytes),
            data_encoding::BASE64.encode(&secret.bytes),
        ] {
            assert!(
                !memchr(&files, text.as_bytes()),
                "{} is in a file, as text",
                secret.what
            );
        }
    }
    assert!(
        !memchr(&files, password(0).as_bytes()),
        "a password is in a file"
    );
}

/// The same for what lets in to a quorum slot: the shares themselves, and what they make. (The text that was written to
/// the login file stays in the buffers of the FUSE library, as a password does: docs/security.md.)
#[test]
fn a_logged_out_daemon_holds_no_key_share() {
    let store = Store::empty();
    store.domain("red");
    store
        .run("partition init -slot 0 -label q -domainkey red.pem -quorum 2/3 -shares shares -version 1")
        .ok();
    let texts: Vec<Vec<u8>> = (1..=3)
        .map(|index| fs::read(store.path(format!("shares/share-{index}-of-3"))).unwrap())
        .collect();
    let shares: Vec<KeyShare> = texts
        .iter()
        .map(|text| KeyShare::parse(text).unwrap())
        .collect();
    let mount = store.start_traced(&[]);
    let slot = mount.point.join("0/.slotfs");
    fs::write(slot.join("login"), &texts[0]).unwrap();
    // While it waits for the others it is there: the search can find something.
    assert!(has(&memory(&mount), shares[0].share.bytes()));
    fs::write(slot.join("login"), &texts[2]).unwrap();
    fs::read(slot.join("smk")).unwrap();
    fs::write(slot.join("login"), &texts[1]).unwrap();
    fs::write(slot.join("logout"), "x").unwrap();
    let memory = memory(&mount);
    for (index, share) in shares.iter().enumerate() {
        assert!(!has(&memory, share.share.bytes()), "share {}", index + 1);
    }
    let domain = DomainKey::from_pem(&fs::read(store.path("red.pem")).unwrap()).unwrap();
    assert!(!has(&memory, domain.key().bytes()));
}

/// What commands print, in either form, and what they log at their loudest.
#[test]
fn no_command_tells_a_secret() {
    let (store, secrets) = known();
    let mut said = Vec::new();
    for line in [
        "partition contents",
        "partition contents --json",
        "object show -handle 1",
        "object show -handle 2 --json",
        "object show -handle 3 --json",
        "partition domainlist",
        "partition domainlist --json",
        "object export -handle 1 -file -",
        "object export -handle 2 -file - --json",
        "object delete -handle 3 -force",
        "object trash --json",
        "object restore -trash 3",
        "store check",
    ] {
        let words = format!("{line} --password-file 0=pw-0");
        let words = match line {
            "store check" => words,
            _ => format!("{words} -slot 0"),
        };
        let words: Vec<&str> = words.split(' ').collect();
        let out = run(store.command(&words).env("SLOTFS_LOG", "trace"));
        said.extend(out.text().into_bytes());
    }
    for secret in &secrets {
        let hex = data_encoding::HEXLOWER.encode(&secret.bytes);
        let base64 = data_encoding::BASE64.encode(&secret.bytes);
        let found = has(&said, &secret.bytes)
            || memchr(&said, hex.as_bytes())
            || memchr(&said, hex.to_uppercase().as_bytes())
            || memchr(&said, base64.as_bytes());
        assert!(!found, "{} was printed", secret.what);
    }
    assert!(!memchr(&said, password(0).as_bytes()));
    assert!(!memchr(&said, b"a domain string of the tests"));
}

/// "core dumps [off], swap where mlock is allowed"
#[test]
fn no_core_no_ptrace_and_locked_pages() {
    let store = Store::empty();
    store.slot(0, "red");
    let mount = store.start(&[0]);
    let process = PathBuf::from(format!("/proc/{}", mount.pid()));
    let limits = fs::read_to_string(process.join("limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{core:?}");
    // Not dumpable: its files in /proc are root's, whoever runs it.
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(process.join("mem")).unwrap());
    assert_eq!(owner, 0);
    let status = fs::read_to_string(process.join("status")).unwrap();
    let locked = |status: &str| -> u64 {
        let line = status.lines().find(|line| line.starts_with("VmLck:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(locked(&status) > 0, "keys are in locked pages: {status}");
}

/// "MCL_FUTURE makes Argon2 fail for users whose limit is 8 MiB: test as one", and as one who may lock nothing.
#[test]
fn it_works_where_little_or_nothing_may_be_locked() {
    for limit in ["8192", "64", "0"] {
        let store = Store::empty();
        store.slot(0, "red");
        store.aes(0, 50);
        store.slot(1, "red");
        // As root, who is above all limits, without the right to be.
        let script = r#"ulimit -l "$LIMIT"; exec setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock "$BIN" --store "$STORE" \
            --active-slot 0 partition clone -o all -s 1 -f --password-file 0=pw-0 --password-file 1=pw-1"#;
        let mut command = std::process::Command::new("bash");
        command
            .args(["-c", script])
            .env("LIMIT", limit)
            .env("BIN", env!("CARGO_BIN_EXE_slotfs"))
            .env("STORE", store.location())
            .current_dir(store.path(""));
        let out = run(&mut command).ok();
        assert!(
            out.stdout
                .contains("Handle 50 on slot 0 is now handle 50 on slot 1"),
            "{out:?}"
        );
    }
}
