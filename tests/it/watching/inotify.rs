//! docs/mount.md, "Watching for changes": what inotify sees.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

use crate::fixture::{Hsm, assert_errno, sh, spoiled, store_excl, two_slots, wait_for};

/// What happens in a folder.
struct Watch(OwnedFd);

/// The bits that say what happened.
const SEEN: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE);

impl Watch {
    fn new(folder: &Path) -> Self {
        let watch = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
        add_watch(&watch, folder, SEEN).unwrap();
        Self(watch)
    }

    /// What happened since the last call: event and name.
    fn seen(&self) -> Vec<(ReadFlags, String)> {
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.0, &mut room);
        let mut seen = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().unwrap().to_str().unwrap();
                    seen.push((event.events(), name.to_owned()));
                }
                Err(rustix::io::Errno::AGAIN) => return seen,
                Err(why) => panic!("{why}"),
            }
        }
    }

    #[track_caller]
    fn saw(&self, event: ReadFlags, name: &str) {
        let seen = self.seen();
        let is_there = seen.iter().any(|it| *it == (event, name.to_owned()));
        assert!(is_there, "no {event:?} of {name} in {seen:?}");
    }
}

fn watched(hsm: &Hsm) -> Watch {
    Watch::new(&hsm.slot(1))
}

/// "What any process does through the same mount is seen."
#[test]
fn changes_through_the_same_mount_are_seen() {
    let hsm = two_slots(2);
    hsm.mount.announce_rejections();
    let watch = watched(&hsm);
    sh("cp $P/0/1 $P/1/7", &[("P", &hsm.mount.point)]).ok();
    let seen = watch.seen();
    for event in [ReadFlags::CREATE, ReadFlags::CLOSE_WRITE] {
        assert!(seen.contains(&(event, "7".into())), "{event:?}: {seen:?}");
    }
    fs::rename(hsm.file(1, 7), hsm.file(1, 8)).unwrap();
    let seen = watch.seen();
    assert!(
        seen.contains(&(ReadFlags::MOVED_FROM, "7".into())),
        "{seen:?}"
    );
    assert!(
        seen.contains(&(ReadFlags::MOVED_TO, "8".into())),
        "{seen:?}"
    );
    fs::remove_file(hsm.file(1, 8)).unwrap();
    watch.saw(ReadFlags::DELETE, "8");
    fs::rename(hsm.file(0, 2), hsm.file(1, 2)).unwrap();
    watch.saw(ReadFlags::MOVED_TO, "2");
    // rsync writes a staging file and renames it.
    sh("rsync -a $P/0/ $P/1/", &[("P", &hsm.mount.point)]).ok();
    watch.saw(ReadFlags::MOVED_TO, "1");
    // "A name that is created is no object yet": a refused blob is created and closed too.
    let blob = hsm.blob(1, 1);
    assert_errno!(store_excl(&hsm.file(1, 9), &spoiled(&blob)), EACCES);
    watch.saw(ReadFlags::CREATE, "9");
    assert!(!hsm.file(1, 9).exists());
    // "The name is the one that was asked for": the slot chose another handle.
    fs::write(hsm.file(1, "new"), hsm.blob(0, 1)).unwrap();
    watch.saw(ReadFlags::CREATE, "new");
}

/// "What others do is not seen", and "the store's own files change with every commit".
#[test]
fn changes_by_other_processes_are_seen_at_the_store_alone() {
    let hsm = two_slots(1);
    let slot = Watch::new(&hsm.slot(0));
    let store = Watch::new(&hsm.store.path(""));
    hsm.store.aes(0, 1);
    let changed = || {
        let seen = store.seen();
        let wal = (ReadFlags::MODIFY, "store.db-wal".to_owned());
        seen.contains(&wal).then_some(())
    };
    assert!(wait_for(changed).is_some());
    // The mount has taken it in, and no event came of that.
    assert_eq!(hsm.list(0), ["1", "2"]);
    let other = hsm.store.start_at("second", &[0], &["-o", "no_socket"]);
    fs::remove_file(other.point.join("0/1")).unwrap();
    drop(other);
    assert_eq!(hsm.list(0), ["2"]);
    fs::remove_file(hsm.file(0, 2)).unwrap();
    assert_eq!(slot.seen(), [(ReadFlags::DELETE, "2".to_owned())]);
}
