//! kill -9 at any moment, again and again, under everything that moves objects about.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fixture::{Store, contents, names, run};
use crate::model::Dice;

/// How often the daemon is killed, unless `SLOTFS_CRASH_ALL` is set: then ten times as often.
const KILLS: usize = 12;

/// Back and forth, copied and removed, into the trash and out of it; what fails because the daemon is dead ends it.
const WORK: &str = r#"
while :; do
    for f in "$M"/0/*; do mv "$f" "$M"/1/ || exit 1; done
    rsync -a "$M"/1/ "$M"/0/ || exit 1
    for f in "$M"/1/*; do rm "$f" || exit 1; done
    for f in "$M"/1/.slotfs/trash/*; do mv "$f" "$M"/1/ || exit 1; done
    for f in "$M"/1/.slotfs/ouid/*; do mv "$f" "$M"/0/.slotfs/ouid/ || exit 1; done
done"#;

/// By identity, wherever it is: in a slot, or in a trash.
fn whereabouts(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for slot in [0, 1] {
        for (line, list) in [("partition contents", "objects"), ("object trash", "trash")] {
            let json = store.run_in(slot, &format!("{line} --json")).ok().json();
            for row in json[list].as_array().unwrap() {
                let ouid = row["ouid"].as_str().unwrap().to_owned();
                found
                    .entry(ouid)
                    .or_default()
                    .push(format!("{list} {slot}"));
            }
        }
    }
    found
}

#[test]
fn killed_at_any_moment_no_object_is_lost() {
    let store = Store::empty();
    store.slot(0, "red");
    store.slot(1, "red");
    store.aes(0, 12);
    store.data(0, 40_000);
    let mount = store.start(&[0, 1]);
    let blobs = contents(&mount.point.join("0/.slotfs/ouid"));
    drop(mount);
    assert_eq!(blobs.len(), 13);
    let kills = match std::env::var_os("SLOTFS_CRASH_ALL") {
        Some(_) => KILLS * 10,
        None => KILLS,
    };
    let mut dice = Dice(0xdead);
    for kill in 0..kills {
        let mut mount = store.start(&[0, 1]);
        let mut work = Command::new("sh")
            .args(["-c", WORK])
            .env("M", &mount.point)
            .env("LC_ALL", "C")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(u64::from(dice.roll(400))));
        mount.announce("");
        mount.crash();
        run(Command::new("fusermount3").arg("-uz").arg(&mount.point));
        work.wait().unwrap();
        drop(mount);
        let line = "store check --password-file 0=pw-0 --password-file 1=pw-1";
        store.run(line).ok();
        let found = whereabouts(&store);
        let lost: Vec<&String> = blobs.keys().filter(|it| !found.contains_key(*it)).collect();
        assert!(
            lost.is_empty(),
            "after kill {kill}: {lost:?} are lost; {found:?}"
        );
        assert_eq!(found.len(), blobs.len());
    }
    // Every one of them is still what it was, wherever it ended up.
    let mount = store.start(&[0, 1]);
    let mut seen = BTreeMap::new();
    for slot in ["0", "1"] {
        let trash = mount.point.join(slot).join(".slotfs/trash");
        for name in names(&trash) {
            // Under a name of its own: its handle may be taken.
            let back = fs::rename(trash.join(&name), mount.point.join(slot).join("900000"));
            back.unwrap();
            let out = mount.point.join(slot).join("900000");
            if out.exists() {
                let free = (900_001..)
                    .map(|free| mount.point.join(slot).join(free.to_string()))
                    .find(|free| !free.exists());
                fs::rename(out, free.unwrap()).unwrap();
            }
        }
        seen.extend(contents(&mount.point.join(slot).join(".slotfs/ouid")));
    }
    assert!(seen == blobs);
}
