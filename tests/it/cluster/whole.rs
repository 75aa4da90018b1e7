//! The store as a whole: copied to a file and back, backed up, checked, and what is left of destroyed objects.

use std::path::Path;
use std::time::Duration;

use super::fixture::{ALL, Site};
use super::members::{MEMBERS, delete, location, occurrences, put};
use super::proxy::{Fate, Proxies};
use crate::fixture::{Mount, Out, Store, contents, names, run, sh, wait_for};

/// Every object of every slot, and the names and sizes in the trash, which shows no more.
fn everything(mount: &Mount) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for slot in ALL {
        let folder = mount.point.join(slot.to_string());
        let trash = folder.join(".slotfs/trash");
        for (name, blob) in contents(&folder) {
            all.push((format!("{slot}/{name}"), blob));
        }
        for name in names(&trash) {
            let size = std::fs::metadata(trash.join(&name)).unwrap().len();
            all.push((format!("{slot}/trash/{name}"), size.to_be_bytes().to_vec()));
        }
    }
    all
}

fn mounted_at(site: &Site, location: &Path) -> Vec<(String, Vec<u8>)> {
    let mut host = site.host(&[]);
    host.use_file(location);
    let mount = host.start(&ALL);
    everything(&mount)
}

/// Keys, large objects and trash in several slots.
fn filled() -> Site {
    let site = Site::new(300);
    site.first.data(0, 65_000);
    site.first.data(3, 30_000);
    let mount = site.first.start(&ALL);
    sh(
        "cp $M/0/1 $M/0/301 $M/1/ && rm $M/0/2 $M/0/3 && mv $M/0/4 $M/2/99",
        &[("M", &mount.point)],
    )
    .ok();
    drop(mount);
    site
}

#[test]
fn a_store_goes_to_a_file_and_back() {
    let site = filled();
    let host = site.host(&[]);
    let here = host.location();
    let before = mounted_at(&site, &here);
    assert!(before.len() > 300);
    let file = site.first.path("copy.db");
    let there = site.cluster.location("again", &[]);
    let copy = |from: &Path, to: &Path| {
        let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
        host.bare(&["store", "copy", from, to]).output().unwrap()
    };
    for (from, to) in [(here.as_path(), file.as_path()), (&file, Path::new(&there))] {
        let out = copy(from, to);
        assert!(out.status.success(), "{out:?}");
        assert!(mounted_at(&site, to) == before, "{} differs", to.display());
        // What is there is not written over.
        assert!(!copy(from, to).status.success());
        assert!(mounted_at(&site, to) == before);
    }
    // The source is in use as before, and the copies go their own ways.
    let mount = host.start(&[0]);
    std::fs::remove_file(mount.point.join("0/10")).unwrap();
    drop(mount);
    assert!(mounted_at(&site, Path::new(&there)) == before);
    assert!(mounted_at(&site, &file) == before);
    // New objects take no row of an old one: the numbers go on above all that there were.
    for location in [Path::new(&there), &file] {
        let mut other = site.host(&[]);
        other.use_file(location);
        other.aes(1, 20);
        other
            .run("store check --password-file 0=pw-0 --password-file 1=pw-1")
            .ok();
    }
    site.check();
}

#[test]
fn a_backup_is_a_file_that_mounts() {
    let site = filled();
    let host = site.host(&[]);
    let before = mounted_at(&site, &host.location());
    let file = host.path("backup.db");
    host.run("store backup backup.db").ok();
    host.aes(0, 5);
    assert!(mounted_at(&site, &file) == before);
    host.run("store backup backup.db").code_is_not(0);
    host.run("store backup --force backup.db").ok();
    assert_eq!(mounted_at(&site, &file).len(), before.len() + 5);
}

/// A backup that is made while others write holds the store as it was at one moment.
#[test]
fn a_backup_under_writes_is_whole() {
    let site = Site::new(300);
    let blobs = site.blobs();
    let host = site.host(&[]);
    let mount = host.start(&[1]);
    let mut cp = super::writers::Writers::cp(&host, 4, &blobs, &mount.point.join("1"));
    cp.wait_for_acks(50);
    let acknowledged = cp.acknowledged();
    site.first.run("store backup backup.db").ok();
    cp.finish();
    let mut backup = site.host(&[]);
    backup.use_file(site.first.path("backup.db"));
    let mount = backup.start(&[1]);
    blobs.assert_hold(&mount.point.join("1"), &acknowledged);
    drop(mount);
    backup
        .run("store check --password-file 0=pw-0 --password-file 1=pw-1")
        .ok();
}

/// "gone from the database after compaction and defragmentation". The Raft log keeps old bytes; nothing here looks there.
#[test]
fn a_destroyed_object_is_in_no_database_after_defragmentation() {
    let site = Site::new(3);
    let rows = site
        .cluster
        .ctl(&["get", "--prefix", "/slotfs/keys/o/", "-w", "json"])
        .json();
    let rows: Vec<Vec<u8>> = rows["kvs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| decoded(row["value"].as_str().unwrap()))
        .collect();
    assert_eq!(rows.len(), 3);
    // Ciphertext that is in one row alone.
    let marks: Vec<&[u8]> = rows.iter().map(|row| &row[row.len() - 48..]).collect();
    let mount = site.first.start(&[0]);
    sh(
        "rm $M/0/1 $M/0/2 && rm $M/0/.slotfs/trash/1",
        &[("M", &mount.point)],
    )
    .ok();
    drop(mount);
    let count = |member: usize| -> Vec<usize> {
        let database = site.cluster.database(member);
        marks
            .iter()
            .map(|mark| occurrences(&database, mark))
            .collect()
    };
    for member in 0..MEMBERS {
        // bbolt commits within 100 ms; the search finds what is there.
        let there = wait_for(|| count(member).iter().all(|it| *it > 0).then_some(()));
        assert!(there.is_some(), "{:?}", count(member));
    }
    let status = site
        .cluster
        .ctl(&["endpoint", "status", "-w", "json"])
        .json();
    let revision = status[0]["Status"]["header"]["revision"].as_u64().unwrap();
    site.cluster
        .ctl(&["compact", "--physical", &revision.to_string()]);
    site.cluster.ctl(&["defrag"]);
    for member in 0..MEMBERS {
        let (destroyed, in_trash, kept) = match count(member).as_slice() {
            &[a, b, c] => sorted(a, b, c),
            other => panic!("{other:?}"),
        };
        assert_eq!(destroyed, 0, "member {member}");
        assert!(in_trash > 0 && kept > 0, "member {member}");
    }
    site.check();
}

/// Rows come in no order of handles: one is gone, two are there.
fn sorted(a: usize, b: usize, c: usize) -> (usize, usize, usize) {
    let mut all = [a, b, c];
    all.sort_unstable();
    let [a, b, c] = all;
    (a, b, c)
}

fn decoded(base64: &str) -> Vec<u8> {
    data_encoding::BASE64.decode(base64.as_bytes()).unwrap()
}

/// Members that were set back to an older state, or another cluster in their place, are refused until that is accepted.
fn set_back(is_another: bool) {
    let mut site = Site::new(2);
    let snapshot = site.first.path("snapshot");
    site.cluster.save(&snapshot);
    let host = site.host(&[]);
    host.aes(0, 3);
    host.aes(0, 3);
    let changed =
        "partition changepolicy -policy 4 -value 0 -force -slot 0 --password-file 0:po=pw-0";
    host.run(changed).ok();
    // The cluster's revision is remembered at each login, and the slot's generation.
    host.run_in(0, "role login -name co").ok();
    let token = match is_another {
        true => "another".to_owned(),
        false => site.cluster.token(),
    };
    site.cluster.set_back(&snapshot, &token);
    // Anybody may look at it, and nobody logs in.
    for line in [
        "role login -name co",
        "object generate -type aes -label key",
    ] {
        let out = host.run_in(0, line).code_is_not(0);
        assert!(out.text().contains("store accept"), "{out:?}");
    }
    // A slot is accepted by its own name, also where another cluster is accepted.
    let first = host.run("store accept -slot 1 --json").ok().json();
    assert_eq!(first["cluster"]["accepted"], true, "{first}");
    let out = host.run_in(0, "role login -name co").code_is_not(0);
    assert!(
        out.text().contains("older than the one seen here"),
        "{out:?}"
    );
    let second = host.run("store accept --json").ok().json();
    assert_eq!(second["cluster"]["accepted"], false, "{second}");
    assert_eq!(second["slots"][0]["accepted"], true, "{second}");
    host.run_in(0, "role login -name co").ok();
    let mount = host.start(&[0]);
    assert_eq!(names(&mount.point.join("0")).len(), 2);
}

#[test]
fn a_cluster_set_back_is_refused_until_accepted() {
    set_back(false);
}

#[test]
fn another_cluster_is_refused_until_accepted() {
    set_back(true);
}

/// Each process remembers what it saw, and none takes a state that another one saw a moment later for a way back.
#[test]
fn logins_side_by_side_see_no_way_back() {
    const TIMES: usize = 8;
    let site = Site::new(1);
    let host = site.host(&[]);
    std::thread::scope(|scope| {
        for slot in 0..4 {
            let host = &host;
            scope.spawn(move || {
                for _ in 0..TIMES {
                    host.aes(slot, 1);
                }
            });
        }
    });
}

/// `store check` reads all of it, and tells of a row that somebody removed from the cluster.
#[test]
fn a_check_finds_a_row_that_is_missing() {
    let site = Site::new(3);
    site.check();
    let rows = site
        .cluster
        .ctl(&[
            "get",
            "--prefix",
            "/slotfs/keys/o/",
            "--keys-only",
            "-w",
            "json",
        ])
        .json();
    let key = decoded(rows["kvs"][0]["key"].as_str().unwrap());
    delete(&site.cluster, &key);
    let out = site.host(&[]).run("store check --password-file 0=pw-0");
    assert!(out.code != 0, "{out:?}");
}

/// A store in a cluster that nobody made.
#[test]
fn a_store_that_is_not_there_is_no_empty_store() {
    let site = Site::new(0);
    let mut other = Store::of_file();
    other.use_file(site.cluster.location("another", &[]));
    for line in ["slot list", "store check", "partition showinfo -slot 0"] {
        let out = other.run(line).code_is_not(0);
        assert!(!out.stderr.contains("panicked"), "{out:?}");
    }
    let keys = site
        .cluster
        .ctl(&["get", "--prefix", "/slotfs/another/", "--keys-only"]);
    assert_eq!(keys.stdout, "", "asking made something");
}

fn copied(host: &Store, from: &Path, to: &Path) -> Out {
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    run(&mut host.bare(&["store", "copy", from, to]))
}

fn keys_below(site: &Site, prefix: &str) -> String {
    let below = ["get", "--prefix", prefix, "--keys-only"];
    site.cluster.ctl(&below).stdout
}

/// A key of slot 0 of the kind `h` or `t`, without its last field.
fn placed(site: &Site, kind: char) -> Vec<u8> {
    let list = ["get", "--prefix", "/slotfs/keys/h/", "--keys-only"];
    let list = [list.as_slice(), &["--limit", "1", "-w", "json"]].concat();
    let rows = site.cluster.ctl(&list).json();
    let key = decoded(rows["kvs"][0]["key"].as_str().unwrap());
    let place = &key["/slotfs/keys/h/".len()..key.len() - 4];
    let mut placed = format!("/slotfs/keys/{kind}/").into_bytes();
    placed.extend(place);
    placed
}

const REMAINS: &str =
    "what is there is no store: a copy that was not completed, or that is being made";

#[test]
fn the_remains_of_a_copy_are_built_on_by_nobody() {
    let site = Site::new(3);
    // More than one transaction takes.
    for size in 0..25 {
        site.first.data(0, 60_000 + size);
    }
    let host = site.host(&[]);
    let half = site.cluster.location("half", &[]);
    // What is copied last is damaged, so the copy ends after some of it was put.
    let strange = [placed(&site, 't'), vec![0xff; 5]].concat();
    put(&site.cluster, &strange, b"");
    let out = copied(&host, &host.location(), Path::new(&half)).code_is_not(0);
    assert!(out.text().contains("a key t names no object"), "{out:?}");
    delete(&site.cluster, &strange);
    let remains = keys_below(&site, "/slotfs/half/");
    assert!(remains.contains("/slotfs/half/m/") && remains.contains("/slotfs/half/o/"));
    let mut other = site.host(&[]);
    other.use_file(&half);
    for claim in [true, false] {
        if !claim {
            // Of a copy by an earlier slotfs.
            site.cluster.ctl(&["del", "/slotfs/half/m/"]);
        }
        let before = keys_below(&site, "/slotfs/half/");
        let init = "partition init -slot 5 -label five -domainkey red.pem --password-file 5=pw-0";
        for out in [
            other.run(init),
            copied(&host, &host.location(), Path::new(&half)),
        ] {
            assert_eq!(out.code, 4, "{out:?}");
            assert!(out.text().contains(REMAINS), "{out:?}");
        }
        assert!(keys_below(&site, "/slotfs/half/") == before);
    }
    other.run("slot list").code_is_not(0);
    // As the message says.
    site.cluster.ctl(&["del", "--prefix", "/slotfs/half/"]);
    copied(&host, &host.location(), Path::new(&half)).ok();
    assert_eq!(keys_below(&site, "/slotfs/half/m/"), "");
    assert!(mounted_at(&site, Path::new(&half)) == mounted_at(&site, &host.location()));
}

/// A member may keep a request for long and do it then. The copy is in use by that time.
#[test]
fn late_requests_of_a_copy_change_nothing() {
    let site = filled();
    let host = site.host(&[]);
    let proxies = Proxies::before(&site.cluster.clients());
    proxies.decide(|_, _| Fate::Copy(Duration::from_secs(8)));
    let to = location(proxies.addresses(), "again", None, &[]);
    copied(&host, &host.location(), Path::new(&to)).ok();
    proxies.pass();
    let there = site.cluster.location("again", &[]);
    let mut other = site.host(&[]);
    other.use_file(&there);
    let mount = other.start(&[0]);
    sh(
        "rm $M/0/10 $M/0/11 && rm $M/0/.slotfs/trash/10 && mv $M/0/12 $M/0/4000",
        &[("M", &mount.point)],
    )
    .ok();
    drop(mount);
    let before = mounted_at(&site, Path::new(&there));
    // The claim, what was put, and the version.
    assert!(proxies.copies_arrived() >= 3);
    assert!(mounted_at(&site, Path::new(&there)) == before);
    let check = "store check --password-file 0=pw-0 --password-file 1=pw-1";
    other.run(check).ok();
    // A name that was given up takes none of them either.
    assert_eq!(keys_below(&site, "/slotfs/again/m/"), "");
}

/// The slower of two copies to one name changes nothing in the store that the faster one made.
#[test]
fn of_two_copies_to_one_name_one_is_refused() {
    let site = filled();
    let host = site.host(&[]);
    let proxies = Proxies::before(&site.cluster.clients());
    proxies.decide(|n, _| match n {
        0 => Fate::Delay(Duration::from_secs(5)),
        _ => Fate::Pass,
    });
    let there = site.cluster.location("again", &[]);
    let to = location(proxies.addresses(), "again", None, &["engine-timeout=30"]);
    let from = host.location();
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| copied(&host, &from, Path::new(&to)));
        assert!(wait_for(|| (proxies.count() > 0).then_some(())).is_some());
        let out = copied(&host, &from, Path::new(&there));
        let slow = slow.join().unwrap();
        // Which one comes first is not certain: the delayed request is sent again to the next member.
        let refused = match out.code {
            0 => slow,
            _ => {
                assert_eq!(slow.code, 0, "{slow:?} {out:?}");
                out
            }
        };
        assert_eq!(refused.code, 4, "{refused:?}");
        assert!(
            refused.text().contains("there is a store already") || refused.text().contains(REMAINS),
            "{refused:?}"
        );
    });
    assert!(mounted_at(&site, Path::new(&there)) == mounted_at(&site, &from));
}

/// Keys that slotfs does not put, in the middle of those that it does. Nothing takes them for objects, and nothing goes on
/// for ever.
#[test]
fn keys_that_name_no_object_are_told_and_end_no_listing() {
    let site = Site::new(20);
    let mount = site.first.start(&[0]);
    sh("rm $M/0/5 $M/0/6", &[("M", &mount.point)]).ok();
    drop(mount);
    let (handles, trash) = (placed(&site, 'h'), placed(&site, 't'));
    let strange = [
        [handles.as_slice(), &[0, 0, 0, 3, 0, 0, 0, 1]].concat(),
        [handles.as_slice(), &[0, 0, 0, 9, 0xff]].concat(),
        [handles.as_slice(), &[0xff; 8]].concat(),
        [trash.as_slice(), &[0xff; 8]].concat(),
        [trash.as_slice(), &[0x80, 0, 0, 0, 0, 0, 0, 0]].concat(),
        [trash.as_slice(), &[0; 8]].concat(),
        [trash.as_slice(), &[0, 0]].concat(),
    ];
    for key in &strange {
        put(&site.cluster, key, b"no object");
    }
    let host = site.host(&[]);
    let out = host.run("store check --password-file 0=pw-0");
    assert_eq!(out.code, 4, "{out:?}");
    for kind in ['h', 't'] {
        let told = format!("a key {kind} names no object");
        assert!(out.text().contains(&told), "{out:?}");
    }
    let mount = host.start(&[0]);
    assert_eq!(names(&mount.point.join("0")).len(), 18);
    assert_eq!(names(&mount.point.join("0/.slotfs/trash")), ["5", "6"]);
    drop(mount);
    let out = host.run_in(0, "object trash").ok();
    assert!(!out.stdout.contains("damaged"), "{out:?}");
    // New objects take free handles, and none that is in use behind such a key.
    let new = host.aes(0, 3);
    assert!(
        new.iter().all(|it| *it > 20 || [5, 6].contains(it)),
        "{new:?}"
    );
    std::fs::write(host.path("new"), "another password").unwrap();
    host.run("role resetpw -name co -newpasswordfile new -force -slot 0 --password-file 0:po=pw-0")
        .ok();
    for key in &strange {
        delete(&site.cluster, key);
    }
    host.run("store check").ok();
}

/// Wrong counts are corrected, and what lost its sealed row can be destroyed, in the slot and in the trash.
#[test]
fn a_repair_counts_again_and_what_is_damaged_can_be_destroyed() {
    let site = Site::new(8);
    let mount = site.first.start(&[0]);
    sh("rm $M/0/5 $M/0/6", &[("M", &mount.point)]).ok();
    drop(mount);
    let read = |key: &str, prefix: &[&str]| -> Vec<(Vec<u8>, Vec<u8>)> {
        let get = [&["get", "-w", "json", key], prefix].concat();
        let found = site.cluster.ctl(&get).json();
        let rows = found["kvs"].as_array().unwrap().iter();
        let bytes = |it: &serde_json::Value| decoded(it.as_str().unwrap_or_default());
        rows.map(|it| (bytes(&it["key"]), bytes(&it["value"])))
            .collect()
    };
    // Objects, bytes, trash and the highest handle.
    let (key, mut writes) = read("/slotfs/keys/w/", &["--prefix"]).swap_remove(0);
    writes[32..60].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 77].repeat(4)[..28]);
    put(&site.cluster, &key, &writes);
    let host = site.host(&[]);
    host.run("store check").fails(4);
    host.run("store check -repair").ok();
    host.run("store check").ok();
    // Rows are numbered as the objects were made: those of 2, 4 and of 5, which is in the trash.
    let mut rows = read("/slotfs/keys/o/", &["--prefix", "--keys-only"]);
    assert_eq!(rows.len(), 8);
    let (in_trash, fourth, in_slot) = (
        rows.swap_remove(4).0,
        rows.swap_remove(3).0,
        rows.swap_remove(1).0,
    );
    for row in [&in_trash, &fourth, &in_slot] {
        delete(&site.cluster, row);
    }
    let out = host.run("store check").fails(4);
    assert_eq!(
        out.text().matches("its sealed row is missing").count(),
        3,
        "{out:?}"
    );
    let row = i64::from_be_bytes(in_slot[in_slot.len() - 8..].try_into().unwrap());
    let out = host.run_in(0, &format!("object delete -row {row} -force"));
    assert_eq!(out.code, 0, "{out:?}");
    let mount = host.start(&[0]);
    assert_eq!(names(&mount.point.join("0")), ["1", "3", "4", "7", "8"]);
    mount.announce("its sealed row is missing");
    let out = sh("cat $M/0/4", &[("M", &mount.point)]).fails(1);
    assert!(out.stderr.contains("Input/output error"), "{out:?}");
    sh("rm $M/0/4", &[("M", &mount.point)]).ok();
    assert_eq!(names(&mount.point.join("0/.slotfs/trash")), ["4", "5", "6"]);
    sh(
        "rm $M/0/.slotfs/trash/4 $M/0/.slotfs/trash/5",
        &[("M", &mount.point)],
    )
    .ok();
    assert_eq!(names(&mount.point.join("0/.slotfs/trash")), ["6"]);
    drop(mount);
    site.check();
}
