//! "8 writers and 8 readers by cp, rsync and clone at once, from several processes (mount and commands on one store) [...];
//! a model that knows what must be there agrees at the end."
//!
//! It takes 15 seconds; `SLOTFS_LOAD_SECS` says how many.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::fixture::{Store, contents, names};

const SECS: u64 = 15;
/// Objects that each writer has for itself.
const OWN: usize = 4;

/// Six that write on a mount: each moves its own objects by identity, from slot to slot, to the trash and back, and counts
/// its rounds. None of it may fail, as nobody else touches these. They end where they began: in slot 1 alone.
const ON_A_MOUNT: &str = r#"
set -e
ouid() { echo "$M/$1/.slotfs/ouid/$2"; }
while [ ! -e "$STOP" ]; do
    for o in $OWN; do
        case $KIND in
        cp) cp "$(ouid 0 $o)" "$(ouid 2 $o)"; cmp "$(ouid 0 $o)" "$(ouid 2 $o)"; rm "$(ouid 2 $o)" ;;
        mv) mv "$(ouid 1 $o)" "$(ouid 2 $o)"; mv "$(ouid 2 $o)" "$(ouid 1 $o)" ;;
        rsync) rsync -a "$(ouid 0 $o)" "$M/2/.slotfs/ouid/"; rm "$(ouid 2 $o)" ;;
        esac
    done
    echo round >> "$ROUNDS"
done"#;

/// Two that use commands, in a slot of their own: what they make they delete, restore, delete and destroy.
const BY_COMMAND: &str = r#"
set -e
slotfs() { "$BIN" --store "$STORE" "$@" --password-file 3=pw-3 --password-file 4=pw-4; }
while [ ! -e "$STOP" ]; do
    handles=$(slotfs object generate -type aes -label load -count 3 -slot $SLOT | sed -n 's/^Handle //p' | paste -sd,)
    slotfs --active-slot $SLOT partition clone -o $handles -s $OTHER -f > "$OUT" 2>&1 || { cat "$OUT" >&2; exit 1; }
    clones=$(sed -n 's/.* is now handle \([0-9]*\) on slot .*/\1/p' "$OUT" | paste -sd,)
    slotfs object delete -handle $clones -destroy -force -slot $OTHER > /dev/null
    slotfs object delete -handle $handles -force -slot $SLOT > /dev/null
    # The other one's clone may have taken a handle meanwhile: then it comes back under another.
    back=$(slotfs object restore -trash $handles -slot $SLOT | sed -n 's/.* is handle \([0-9]*\) again/\1/p' | paste -sd,)
    slotfs object delete -handle $back -destroy -force -slot $SLOT > /dev/null
    echo round >> "$ROUNDS"
done"#;

/// Eight that read all the while. Slot 0 never changes: all of it is read, each time. In the others an object may go between
/// the listing and the reading, but what is read is whole.
const READ: &str = r#"
set -e
while [ ! -e "$STOP" ]; do
    case $KIND in
    diff) diff -r "$M/0/.slotfs/ouid" "$KNOWN" ;;
    rsync) rsync -c "$M/0/"* "$OUT.d/"; diff -r "$M/0" "$OUT.d" ;;
    tar) tar -C "$M" -cf - 0 | tar -tf - > "$OUT" ;;
    churn)
        for f in "$M"/2/.slotfs/ouid/* "$M"/1/.slotfs/ouid/*; do
            if cat "$f" > "$OUT" 2> /dev/null; then cmp "$OUT" "$KNOWN/${f##*/}"; fi
        done ;;
    esac
    echo round >> "$ROUNDS"
done"#;

struct Worker {
    what: String,
    child: Child,
    rounds: PathBuf,
    errors: PathBuf,
}

struct Crew<'a> {
    store: &'a Store,
    workers: Vec<Worker>,
}

impl Crew<'_> {
    fn start(&mut self, what: &str, script: &str, env: &[(&str, &str)]) {
        let number = self.workers.len();
        let path = |kind: &str| self.store.path(format!("{kind}-{number}"));
        let (rounds, errors) = (path("rounds"), path("errors"));
        fs::create_dir(self.store.path(format!("out-{number}.d"))).unwrap();
        let child = Command::new("bash")
            .args(["-c", script])
            .current_dir(self.store.path(""))
            .env("LC_ALL", "C")
            .env("XDG_STATE_HOME", self.store.path(crate::fixture::STATE))
            .env("STOP", self.store.path("stop"))
            .env("KNOWN", self.store.path("known"))
            .env("BIN", env!("CARGO_BIN_EXE_slotfs"))
            .env("STORE", self.store.location())
            .env("ROUNDS", &rounds)
            .env("OUT", path("out"))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(fs::File::create(path("stdout")).unwrap())
            .stderr(fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        self.workers.push(Worker {
            what: what.to_owned(),
            child,
            rounds,
            errors,
        });
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        let _ = fs::write(self.store.path("stop"), "");
        for worker in &mut self.workers {
            let _ = worker.child.wait();
        }
    }
}

#[test]
fn eight_writers_and_eight_readers_from_several_processes() {
    let secs = std::env::var("SLOTFS_LOAD_SECS").map_or(SECS, |text| text.parse().unwrap());
    let store = Store::empty();
    for slot in 0..5 {
        store.slot(slot, "red");
    }
    store.aes(0, 6 * u32::try_from(OWN).unwrap());
    store.data(0, 60_000);
    let mut one = store.start_at("mnt", &[0, 1, 2], &[]);
    let mut two = store.start_at("mnt2", &[0, 1, 2], &[]);
    one.without_watchdog();
    two.without_watchdog();
    let known = contents(&one.point.join("0/.slotfs/ouid"));
    crate::fixture::write_dir(&store.path("known"), &known);
    for (name, blob) in &known {
        crate::fixture::store_excl(&one.point.join("1/.slotfs/ouid").join(name), blob).unwrap();
    }
    let ouids: Vec<&str> = known.keys().map(String::as_str).collect();
    let points = [&one.point, &two.point].map(|point| point.to_str().unwrap().to_owned());

    let mut crew = Crew {
        store: &store,
        workers: Vec::new(),
    };
    for (number, kind) in ["cp", "mv", "rsync", "cp", "mv", "rsync"]
        .into_iter()
        .enumerate()
    {
        let own = ouids[number * OWN..(number + 1) * OWN].join(" ");
        let env = [
            ("KIND", kind),
            ("OWN", own.as_str()),
            ("M", points[number % 2].as_str()),
        ];
        crew.start(&format!("writer by {kind}"), ON_A_MOUNT, &env);
    }
    for (slot, other) in [("3", "4"), ("4", "3")] {
        crew.start(
            "writer by command",
            BY_COMMAND,
            &[("SLOT", slot), ("OTHER", other)],
        );
    }
    for (number, kind) in ["diff", "rsync", "tar", "churn"]
        .iter()
        .cycle()
        .take(8)
        .enumerate()
    {
        let env = [("KIND", *kind), ("M", points[number / 4].as_str())];
        crew.start(&format!("reader by {kind}"), READ, &env);
    }
    // As long as it was said, or until one of them stops by itself, which is what must not be.
    for _ in 0..secs * 10 {
        std::thread::sleep(Duration::from_millis(100));
        let ended = crew
            .workers
            .iter_mut()
            .any(|it| it.child.try_wait().unwrap().is_some());
        if ended {
            break;
        }
    }
    fs::write(store.path("stop"), "").unwrap();
    let mut rounds: BTreeMap<String, usize> = BTreeMap::new();
    let mut failed = Vec::new();
    for worker in &mut crew.workers {
        let status = worker.child.wait().unwrap();
        let said = fs::read_to_string(&worker.errors).unwrap();
        // A reader can hold the log up; then that is told, and tried again.
        let said: String = said
            .lines()
            .filter(|line| !line.contains("are still in"))
            .collect();
        if !status.success() || !said.is_empty() {
            failed.push(format!("{}: {status}: {said}", worker.what));
        }
        let done = fs::read_to_string(&worker.rounds)
            .unwrap_or_default()
            .lines()
            .count();
        *rounds.entry(worker.what.clone()).or_default() += done;
    }
    drop(crew);
    println!("rounds in {secs} s: {rounds:?}");
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(rounds.values().all(|done| *done > 0), "{rounds:?}");

    // What must be there, by both mounts and by command; and nothing else.
    for mount in [&one, &two] {
        for slot in ["0", "1"] {
            assert!(
                contents(&mount.point.join(slot).join(".slotfs/ouid")) == known,
                "slot {slot}"
            );
        }
        assert_eq!(names(&mount.point.join("2")), [""; 0]);
    }
    let count = |slot: u32| {
        let json = store.run_in(slot, "partition contents --json").ok().json();
        json["objects"].as_array().unwrap().len()
    };
    assert_eq!(
        (0..5).map(count).collect::<Vec<_>>(),
        [known.len(), known.len(), 0, 0, 0]
    );
    // What was removed from slot 2 is in its trash, each object once.
    let trash = names(&one.point.join("2/.slotfs/trash"));
    assert!(trash.len() <= known.len(), "{trash:?}");
    let logins: Vec<String> = (0..5)
        .map(|slot| format!("--password-file {slot}=pw-{slot}"))
        .collect();
    store.run(&format!("store check {}", logins.join(" "))).ok();
    assert!(
        Path::new(&store.path("store.db-wal"))
            .metadata()
            .map_or(0, |it| it.len())
            < 64 << 20
    );
    for mount in [&one, &two] {
        mount.announce("still in");
    }
}
