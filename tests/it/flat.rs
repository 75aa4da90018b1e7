//! "Resident memory and descriptors flat over 100,000 create and destroy cycles; a writer that opens 10,000 incoming files
//! and never finishes is bounded, and harms nobody else." `scripts/soak` runs the cycles in full and prints them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::unistd::Pid;

use crate::fixture::{Hsm, Store, assert_errno, sh, spoiled, store_excl, two_slots, wait_for};

/// Cycles, unless `SLOTFS_SOAK_CYCLES` says otherwise.
const CYCLES: usize = 2_000;
/// What resident memory may grow by from a tenth of the cycles to the end: what the allocator and SQLite's cache keep.
const MOST_GROWTH_KIB: u64 = 12 * 1024;

fn resident_kib(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn descriptors(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn bytes_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[test]
fn memory_descriptors_and_files_stay_flat() {
    let cycles = std::env::var("SLOTFS_SOAK_CYCLES").map_or(CYCLES, |text| text.parse().unwrap());
    let mut hsm = two_slots(50);
    hsm.mount.without_watchdog();
    hsm.mount.announce_rejections();
    let pid = hsm.mount.pid();
    let blobs: Vec<Vec<u8>> = hsm.blobs(0).into_values().collect();
    let store = hsm.store.path("store.db");
    let wal = hsm.store.path("store.db-wal");
    let (live, trashed, staged) = (hsm.file(1, 7), hsm.control(1, "trash/7"), hsm.file(1, ".x"));
    let bad = spoiled(&blobs[0]);
    println!(
        "| cycles | resident KiB | descriptors | store bytes | log bytes |\n| --- | --- | --- | --- | --- |"
    );
    let mut first = None;
    let mut last = (0, 0, 0, 0);
    for cycle in 0..cycles {
        // Made, removed, destroyed: each its own commit. Every tenth is refused first, and staged.
        let blob = &blobs[cycle % blobs.len()];
        if cycle % 10 == 0 {
            assert_errno!(store_excl(&live, &bad), EACCES);
            fs::write(&staged, &bad).unwrap();
            assert_errno!(fs::rename(&staged, &live), EACCES);
            fs::remove_file(&staged).unwrap();
        }
        store_excl(&live, blob).unwrap();
        fs::read(&live).unwrap();
        fs::remove_file(&live).unwrap();
        fs::remove_file(&trashed).unwrap();
        if (cycle + 1) % (cycles / 10) == 0 {
            last = (
                resident_kib(pid),
                descriptors(pid),
                bytes_of(&store),
                bytes_of(&wal),
            );
            println!(
                "| {} | {} | {} | {} | {} |",
                cycle + 1,
                last.0,
                last.1,
                last.2,
                last.3
            );
            first.get_or_insert(last);
        }
    }
    let first = first.unwrap();
    assert!(
        last.0 < first.0 + MOST_GROWTH_KIB,
        "{first:?} became {last:?}"
    );
    // A connection more for readers, as many as there are event loops, with two files each.
    assert!(
        last.1 <= first.1 + 8,
        "descriptors: {first:?} became {last:?}"
    );
    assert!(
        last.2 <= first.2 + 64 * 1024,
        "the store grows: {first:?} became {last:?}"
    );
    assert!(last.3 < 8 << 20, "the log grows: {last:?}");
}

/// A process that opens files under names that `$1` makes, hands in `$3` bytes of a blob to each and never finishes.
const HOG: &str = r#"
import os, resource, sys, time
folder, prefix, count, size, blob = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
data = open(blob, "rb").read()[:size]
opened = refused = 0
kept = []
for number in range(count):
    try:
        fd = os.open(f"{folder}/{prefix}{number + 100000}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        kept.append(fd)
        opened += 1
        if data:
            os.write(fd, data)
    except OSError:
        refused += 1
print(opened, refused, flush=True)
time.sleep(600)
"#;

struct Hog {
    child: Child,
    opened: usize,
    refused: usize,
}

impl Hog {
    fn start(hsm: &Hsm, prefix: &str, count: usize, size: usize) -> Self {
        let blob = hsm.store.path("large-blob");
        fs::write(&blob, hsm.blob(0, 3)).unwrap();
        let mut child = Command::new("python3")
            .args(["-c", HOG])
            .arg(hsm.slot(1))
            .args([prefix, &count.to_string(), &size.to_string()])
            .arg(&blob)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).unwrap();
        let mut words = line.split_whitespace().map(|word| word.parse().unwrap());
        Self {
            child,
            opened: words.next().unwrap(),
            refused: words.next().unwrap(),
        }
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two keys and an object of 60 kB in slot 0.
fn with_a_large_one() -> Hsm {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 2);
    store.data(0, 60_000);
    store.mount(&[0, 1])
}

/// What others do in the same slot meanwhile, again and again.
#[track_caller]
fn nobody_else_is_harmed(hsm: &Hsm) {
    let (zero, one) = (hsm.slot(0), hsm.slot(1));
    for _ in 0..5 {
        sh(
            "cp $A/* $B/ && cmp $A/1 $B/1 && rm $B/1 $B/2 $B/3 && rsync -a $A/ $B/ && mv $B/1 $B/50 && mv $B/50 $A/ && rm $B/2 $B/3",
            &[("A", &zero), ("B", &one)],
        )
        .ok();
    }
}

#[test]
fn ten_thousand_unfinished_blobs_harm_nobody_else() {
    let hsm = with_a_large_one();
    hsm.mount.announce("");
    let before = resident_kib(hsm.mount.pid());
    let hog = Hog::start(&hsm, "", 10_000, 50_000);
    assert_eq!((hog.opened, hog.refused), (2048, 10_000 - 2048));
    // 72 KiB for each, and as much again for what the allocator does with it.
    let grown = resident_kib(hsm.mount.pid()).saturating_sub(before);
    assert!(grown < 2 * 2048 * 72, "{grown} KiB");
    nobody_else_is_harmed(&hsm);
    drop(hog);
    // All of it is given back: the same again.
    let freed = wait_for(|| {
        let again = Hog::start(&hsm, "", 2048, 10);
        (again.opened == 2048).then_some(())
    });
    assert!(freed.is_some());
}

#[test]
fn staging_files_without_end_harm_nobody_else() {
    let hsm = with_a_large_one();
    hsm.mount.announce("");
    // In bytes: 64 MiB are reached after 1,342 of them.
    let hog = Hog::start(&hsm, ".hog", 3_000, 50_000);
    assert_eq!(hog.opened, 3_000);
    nobody_else_is_harmed(&hsm);
    drop(hog);
    nobody_else_is_harmed(&hsm);
}
