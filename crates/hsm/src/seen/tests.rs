//! Marks of several processes, and how many are kept.

#![allow(clippy::unwrap_used)]
use super::*;

fn at(slot: u32, generation: u64) -> SlotVersion {
    SlotVersion {
        slot: SlotId(slot),
        serial: u64::from(slot) + 100,
        generation,
    }
}

fn process(folder: &std::path::Path) -> Seen {
    let seen = Seen::default();
    let file = Folder::of_store(folder.join("state/slotfs"), &folder.join("store.db"));
    assert!(seen.folder.set(Ok(file)).is_ok());
    seen
}

/// Processes that raise marks at once lose none of them, and no lower one wins.
#[test]
fn several_processes_lose_no_mark() {
    let folder = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for process_number in 0..6 {
            let folder = folder.path();
            scope.spawn(move || {
                let seen = process(folder);
                for round in 0..10 {
                    // Slot 0 is everybody's; the other is this process's own.
                    seen.raise(at(0, (round * 7 + u64::from(process_number)) % 60));
                    seen.raise(at(process_number + 1, round));
                }
            });
        }
    });
    let last = process(folder.path());
    let marks = last.until_now();
    assert_eq!(marks.highest(at(0, 0)), 59);
    for own in 1..=6 {
        assert_eq!(marks.highest(at(own, 0)), 9);
    }
    // Nothing else is left there, and nothing is anybody else's.
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("state/slotfs")).unwrap() {
        let entry = entry.unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&entry.metadata().unwrap());
        assert_eq!(mode & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name());
    }
    assert_eq!(names.len(), 2, "{names:?}");
    let mode = std::fs::metadata(folder.path().join("state/slotfs")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&mode) & 0o777, 0o700);
}

/// However many partitions come and go, the file stays small.
#[test]
fn only_so_many_marks_are_kept() {
    let mut marks = Marks::default();
    for generation in 0..40 {
        let at = SlotVersion {
            serial: generation,
            ..at(0, generation)
        };
        marks.put(mark_of(at, &marks));
    }
    assert!(marks.find(SlotId(0), 31).is_none());
    assert_eq!(marks.last(SlotId(0)).unwrap().serial, 39);
    for slot in 0..5000 {
        marks.put(mark_of(at(slot, 1), &marks));
    }
    assert!(marks.find(SlotId(903), 1003).is_none());
    assert!(marks.find(SlotId(904), 1004).is_some());
    let text = marks.to_text("/store.db");
    assert!(text.len() < 1 << 20, "{}", text.len());
    let (_, read) = Marks::from_text(text.as_bytes()).ok().unwrap();
    assert_eq!(read, marks);
}
