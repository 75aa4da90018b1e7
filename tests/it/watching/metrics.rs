//! `.slotfs/metrics`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::exposition::Page;
use crate::fixture::{
    Hsm, Store, assert_errno, names, open_excl, password, sh, spoiled, store_excl, three_slots,
    two_slots, wait_for,
};

fn text(point: &Path) -> String {
    fs::read_to_string(point.join(".slotfs/metrics")).unwrap()
}

#[track_caller]
fn page(hsm: &Hsm) -> Page {
    Page::read(&text(&hsm.mount.point))
}

/// The names that the page of docs/watching.md lists are those of a mount, both ways, with kind and unit.
#[test]
fn the_page_lists_every_metric() {
    let hsm = two_slots(1);
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/watching.md");
    let docs = fs::read_to_string(docs).unwrap();
    let listed: BTreeSet<(String, String)> = docs
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `slotfs_")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`');
            Some((format!("slotfs_{name}"), cells.next()?.to_owned()))
        })
        .collect();
    let there = page(&hsm).0;
    let there: BTreeSet<(String, String)> = there
        .into_iter()
        .map(|(name, it)| (name, it.kind))
        .collect();
    assert_eq!(listed, there);
    // What the recipes ask for is there too.
    for word in docs.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| word.strip_suffix(part))
            .filter(|name| there.iter().any(|(it, _)| it == name))
            .unwrap_or(word);
        if name.starts_with("slotfs_") && name != "slotfs_" {
            assert!(there.iter().any(|(it, _)| it == name), "{word}");
        }
    }
}

/// What a session of good and bad requests leaves in the figures of its slots and of its mount.
#[test]
fn what_happens_is_counted() {
    let hsm = three_slots(2);
    hsm.mount.announce_rejections();
    hsm.mount.announce("wrong password for co");
    let before = page(&hsm);
    let blob = hsm.blob(0, 1);
    store_excl(&hsm.file(1, 7), &blob).unwrap();
    assert_errno!(store_excl(&hsm.file(1, 8), &spoiled(&blob)), EACCES);
    assert_errno!(store_excl(&hsm.file(2, 7), &blob), EACCES);
    sh("cp $P/0/2 $P/1/", &[("P", &hsm.mount.point)]).ok();
    fs::remove_file(hsm.file(1, 7)).unwrap();
    fs::write(hsm.control(2, "logout"), "x").unwrap();
    assert_errno!(fs::write(hsm.control(2, "login"), "wrong"), EKEYREJECTED);
    fs::write(hsm.control(2, "login"), password(2)).unwrap();
    fs::write(hsm.control(2, "logout"), "x").unwrap();
    let after = page(&hsm);
    let slot = |number: &'static str| ("slot", number);

    let verdicts = |slot, verdict| {
        let labels = [("slot", slot), ("verdict", verdict)];
        after.value("slotfs_slot_verdicts_total", &labels)
    };
    assert_eq!((verdicts("0", "good"), verdicts("0", "bad")), (0.0, 0.0));
    assert_eq!((verdicts("1", "good"), verdicts("1", "bad")), (2.0, 1.0));
    assert_eq!((verdicts("2", "good"), verdicts("2", "bad")), (0.0, 1.0));
    let co = [slot("2"), ("role", "co")];
    assert_eq!(after.value("slotfs_slot_logins_total", &co), 2.0);
    assert_eq!(after.value("slotfs_slot_login_failures_total", &co), 1.0);
    assert_eq!(after.value("slotfs_slot_failed_logins", &co), 0.0);
    assert_eq!(after.value("slotfs_slot_logged_in", &co), 0.0);
    assert_eq!(before.value("slotfs_slot_logged_in", &co), 1.0);
    for (number, open) in [("0", 1.0), ("2", 0.0)] {
        let state = |state| after.value("slotfs_slot_state", &[slot(number), ("state", state)]);
        assert_eq!(state("open"), open);
        assert_eq!(state("locked"), 1.0 - open);
        assert_eq!(state("damaged"), 0.0);
    }
    assert_eq!(after.value("slotfs_slot_objects", &[slot("0")]), 3.0);
    assert_eq!(after.value("slotfs_slot_objects", &[slot("1")]), 1.0);
    assert_eq!(after.value("slotfs_slot_trash_objects", &[slot("1")]), 1.0);

    let grew = |name: &str, labels: &[(&str, &str)]| {
        after.value(name, labels) - before.value(name, labels)
    };
    let bytes = grew("slotfs_written_bytes_total", &[]);
    assert!(bytes >= 2.0 * blob.len() as f64, "{bytes}");
    assert!(grew("slotfs_read_bytes_total", &[]) >= blob.len() as f64);
    assert!(grew("slotfs_commits_total", &[]) >= 3.0);
    assert!(grew("slotfs_commit_writes_total", &[]) >= 3.0);
    let failed = |errno| grew("slotfs_request_failures_total", &[("errno", errno)]);
    assert!(failed("EACCES") >= 2.0);
    assert!(failed("EKEYREJECTED") >= 1.0);
    for operation in ["create", "write", "flush", "release", "unlink", "lookup"] {
        let of = [("operation", operation)];
        assert!(grew("slotfs_requests_total", &of) >= 1.0, "{operation}");
        let took = |part: &str| grew(&format!("slotfs_request_duration_seconds_{part}"), &of);
        assert!(took("count") >= 1.0 && took("sum") > 0.0, "{operation}");
    }
    // A write that stores an object is answered by the committer, and is in the figures of the writes all the same: every
    // request but that which reads the page has been answered.
    for operation in ["write", "copy_file_range", "unlink"] {
        let of = [("operation", operation)];
        let answered = after.value("slotfs_request_duration_seconds_count", &of);
        assert_eq!(
            after.value("slotfs_requests_total", &of),
            answered,
            "{operation}"
        );
    }
    let file = fs::metadata(hsm.store.path("store.db")).unwrap();
    let main = after.value("slotfs_store_size_bytes", &[("file", "main")]);
    assert_eq!(main, file.len() as f64);
    let (device, inode) = (file.dev().to_string(), file.ino().to_string());
    let labels = [("device", &*device), ("inode", &inode)];
    assert_eq!(after.value("slotfs_store_info", &labels), 1.0);
}

/// Labels that people choose are escaped, and lead to the label again.
#[test]
fn labels_are_escaped() {
    let store = Store::empty();
    store.domain("red");
    store.password_file(0);
    let label = "a\"b\\c{d}, e=\"é";
    store
        .args(&[
            "partition",
            "init",
            "-slot",
            "0",
            "-label",
            label,
            "-domainkey",
            "red.pem",
            "--password-file",
            "0=pw-0",
        ])
        .ok();
    let hsm = store.mount(&[0]);
    let page = page(&hsm);
    assert_eq!(
        page.value("slotfs_slot_info", &[("slot", "0"), ("label", label)]),
        1.0
    );
}

/// Of a locked slot the page says what its `status` says, which anybody may read who may enter it, and no more.
#[test]
fn a_locked_slot_says_no_more_than_its_status() {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 3);
    let hsm = store.mount(&[]);
    let page = page(&hsm);
    let of = [("slot", "0")];
    for (name, key) in [
        ("slotfs_slot_objects", "objects"),
        ("slotfs_slot_trash_objects", "trash"),
    ] {
        assert_eq!(
            page.value(name, &of).to_string(),
            hsm.status(0, key).unwrap()
        );
    }
    for word in ["red", "fingerprint", "key"] {
        let text = text(&hsm.mount.point);
        let of_slot = text.lines().filter(|line| line.contains("slot=\"0\""));
        assert!(
            !of_slot.clone().any(|line| line.contains(word)),
            "{word}: {text}"
        );
    }
}

/// A mount that nobody uses notices all the same that a login to it is over.
#[test]
fn the_page_of_an_idle_mount_is_of_now() {
    let hsm = two_slots(1);
    hsm.mount.announce("its partition was replaced");
    let state = |slot: &str, state: &str| {
        let of = [("slot", slot), ("state", state)];
        page(&hsm).value("slotfs_slot_state", &of)
    };
    assert_eq!(state("0", "open"), 1.0);
    hsm.store
        .run("partition init -slot 0 -label new -domainkey red.pem --password-file 0=pw-0 -force")
        .ok();
    // At once, by the page itself.
    assert_eq!(state("0", "open"), 0.0);
    assert_eq!(state("0", "locked"), 1.0);
    assert_eq!(state("1", "open"), 1.0);
    hsm.store
        .run("partition init -slot 1 -label new -domainkey red.pem --password-file 1=pw-1 -force")
        .ok();
    // And by the daemon, although nobody asks it.
    hsm.mount.logged("slot 1: its partition was replaced");
}

/// "The page shows a slot to those who may enter it", also where the umask shows the page to others.
#[test]
fn a_second_user_sees_no_slot_of_others() {
    let store = Store::empty();
    for slot in [0, 1] {
        store.slot(slot, "red");
        store.aes(slot, 2);
    }
    store
        .run("partition set -slot 1 -uid 65534 -gid 65534 --password-file 1:po=pw-1")
        .ok();
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let point = folder.path().join("mnt");
    let read_as = |uid: u32, gid: u32| {
        let script = format!(
            r#"setpriv --reuid {uid} --regid {gid} --clear-groups cat "$M/.slotfs/metrics""#
        );
        sh(&script, &[("M", &point)])
    };
    let slots = |text: &str| -> BTreeSet<String> {
        let page = Page::read(text);
        let samples = page.0.values().flat_map(|it| &it.samples);
        let slots = samples.filter_map(|it| it.labels.get("slot").cloned());
        slots.collect()
    };

    let mount = store.start_at(point.to_str().unwrap(), &[0, 1], &["-o", "allow_other"]);
    read_as(65534, 65534).code_is_not(0);
    assert_eq!(slots(&text(&point)), ["0", "1"].map(str::to_owned).into());
    drop(mount);

    // The group of the mount may read the page and enter slot 0; slot 1 is nobody's alone.
    let options = ["-o", "allow_other,umask=007"];
    let mount = store.start_at(point.to_str().unwrap(), &[0, 1], &options);
    assert_eq!(slots(&text(&point)), ["0", "1"].map(str::to_owned).into());
    let of_group = read_as(1234, nix::unistd::getgid().as_raw()).ok().stdout;
    assert_eq!(slots(&of_group), ["0".to_owned()].into());
    assert!(!of_group.contains("slot1"), "{of_group}");
    read_as(65534, 65534).code_is_not(0);
    drop(mount);
}

/// A file that is open shows what was there when it was opened, however it is read.
#[test]
fn a_page_is_whole() {
    let hsm = two_slots(1);
    let out = sh(
        "dd if=$P/.slotfs/metrics bs=7 2>/dev/null",
        &[("P", &hsm.mount.point)],
    );
    Page::read(&out.ok().stdout);
    assert_eq!(
        names(&hsm.mount.point.join(".slotfs")),
        ["clones", "metrics", "stats"]
    );
    assert_errno!(open_excl(&hsm.mount.point.join(".slotfs/metrics")), EEXIST);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(hsm.mount.point.join(".slotfs/metrics"));
    assert!(file.is_err() || file.unwrap().write_all(b"x").is_err());
}

/// The figures of the token server that the mount runs.
#[test]
fn applications_are_counted() {
    let hsm = two_slots(1);
    let socket = hsm.store.socket();
    // The mount is there before its server.
    let running = || (page(&hsm).value("slotfs_server_running", &[]) == 1.0).then_some(());
    assert!(wait_for(running).is_some());
    let requests = page(&hsm).value("slotfs_server_requests_total", &[]);
    hsm.store
        .run("login -slot 1 -role co --password-file 1=pw-1")
        .ok();
    let after = page(&hsm);
    assert!(after.value("slotfs_server_requests_total", &[]) > requests);
    hsm.store.run("logout -slot 1 -role co").ok();
    let _open = std::os::unix::net::UnixStream::connect(socket).unwrap();
    let connected = || (page(&hsm).value("slotfs_server_connections", &[]) >= 1.0).then_some(());
    assert!(wait_for(connected).is_some());
}
