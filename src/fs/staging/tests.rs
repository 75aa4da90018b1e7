use super::*;

const HERE: Place = Place {
    slot: SlotId(1),
    folder: Folder::Slot,
};
const ELSEWHERE: Place = Place {
    slot: SlotId(2),
    folder: Folder::Slot,
};

/// A file of `size` bytes that process `pid` makes, or why not.
fn stage(
    staging: &Staging,
    place: Place,
    name: &str,
    pid: u32,
    size: usize,
) -> Result<Arc<StagingFile>, i32> {
    let file = staging
        .create(place, OsStr::new(name), pid, None)
        .map_err(|why| why.errno())?;
    staging
        .write(&file, 0, &vec![7; size])
        .map_err(Refused::errno)?;
    Ok(file)
}

#[test]
fn files_are_found_renamed_and_bounded() {
    let staging = Staging::default();
    let name = OsStr::new(".a");
    let file = staging.create(HERE, name, 1, None).unwrap();
    staging.write(&file, 0, b"abc").unwrap();
    assert_eq!(file.read(1, 9), Ok(b"bc".to_vec()));
    assert_eq!(staging.by_id(file.id).unwrap().1.id(), file.id);
    let other = OsStr::new(".b");
    staging.rename((HERE, name), (HERE, other), true).unwrap();
    assert!(staging.find(HERE, name).is_none());
    staging.create(HERE, name, 1, None).unwrap();
    let kept = staging.rename((HERE, name), (HERE, other), true);
    assert!(matches!(
        kept,
        Err(Error::Incoming {
            why: IncomingError::NameTaken,
            ..
        })
    ));
    assert_eq!(staging.list(HERE, StagingId(0)).len(), 2);
    for n in 2..LIMITS.entries.slot {
        let name = format!(".{n}");
        staging.create(HERE, OsStr::new(&name), 1, None).unwrap();
    }
    let full = staging.create(HERE, OsStr::new(".full"), 1, None);
    assert!(matches!(
        full,
        Err(Error::Incoming {
            why: IncomingError::StagingFull,
            ..
        })
    ));
    let full = staging.create_folder(HERE, OsStr::new(".full"), 1);
    assert!(matches!(
        full,
        Err(Error::Incoming {
            why: IncomingError::StagingFull,
            ..
        })
    ));
    // Those that are there still take what fits, and other processes and slots have room.
    staging.write(&file, 3, b"def").unwrap();
    staging
        .create(HERE, OsStr::new(".another"), 2, None)
        .unwrap();
    staging.create(ELSEWHERE, name, 1, None).unwrap();
    assert_eq!(
        staging.list(HERE, StagingId(0)).len(),
        LIMITS.entries.slot + 1
    );
    staging.clear(HERE.slot);
    assert!(staging.list(HERE, StagingId(0)).is_empty());
    staging.create(HERE, OsStr::new(".full"), 1, None).unwrap();
}

#[test]
fn a_folder_goes_only_when_it_is_empty() {
    let staging = Staging::default();
    let name = OsStr::new(".~tmp~");
    let inside = Place {
        folder: Folder::Staging(staging.create_folder(HERE, name, 1).unwrap()),
        ..HERE
    };
    staging.create(inside, OsStr::new("124"), 1, None).unwrap();
    let kept = staging.remove_folder(HERE, name);
    assert!(matches!(
        kept,
        Err(Error::Incoming {
            why: IncomingError::NotEmpty,
            ..
        })
    ));
    staging.remove(inside, OsStr::new("124")).unwrap();
    staging.remove_folder(HERE, name).unwrap();
    assert!(staging.list(HERE, StagingId(0)).is_empty());
    assert!(staging.ledger.is_empty());
}

#[test]
fn too_much_is_remembered_until_it_is_emptied() {
    let staging = Staging::default();
    let file = stage(&staging, HERE, ".a", 1, 100).unwrap();
    staging.write(&file, 1 << 30, b"x").unwrap();
    assert_eq!(file.bytes(), Err(Refused::TooLarge));
    staging.write(&file, 0, b"x").unwrap();
    staging.truncate(&file, 10).unwrap();
    assert_eq!(file.bytes(), Err(Refused::TooLarge));
    staging.truncate(&file, 0).unwrap();
    assert_eq!(file.bytes(), Ok(Vec::new()));
    file.published();
    assert_eq!(staging.write(&file, 0, b"x"), Err(Refused::Published));
}

/// "what was accepted is kept until its owner renames or removes it": by the process that filled the room and
/// by others, whatever anybody asks for.
#[test]
fn what_was_taken_in_is_kept_and_what_does_not_fit_is_refused() {
    let staging = Staging::default();
    let files: Vec<_> = (0..2_000)
        .map_while(|n| stage(&staging, HERE, &format!(".{n}"), 1, 60_000).ok())
        .collect();
    assert_eq!(files.len(), LIMITS.bytes.slot / 60_000);
    let rest = LIMITS.bytes.slot % 60_000;
    stage(&staging, HERE, ".rest", 1, rest).unwrap();
    let last = OsStr::new(".another").to_owned();
    let another = staging.create(HERE, &last, 1, None).unwrap();
    let full = staging.write(&another, 0, &[7; 60_000]);
    assert_eq!(full, Err(Refused::NoRoom));
    assert_eq!(staging.truncate(&another, 60_000), Err(Refused::NoRoom));
    assert_eq!(another.bytes(), Ok(Vec::new()));
    // A write that fails leaves what was there, and one that needs no more room succeeds.
    assert_eq!(
        staging.write(&files[0], 59_990, &[8; 5_000]),
        Err(Refused::NoRoom)
    );
    staging.write(&files[0], 59_990, &[7; 10]).unwrap();
    for pid in 2..100 {
        let name = format!(".of {pid}");
        let _ = stage(&staging, HERE, &name, pid, 60_000);
        staging.remove(HERE, OsStr::new(&name)).unwrap();
    }
    for file in &files {
        assert_eq!(file.bytes(), Ok(vec![7; 60_000]));
    }
    // What is removed makes room once nobody has it open any more.
    staging.remove(HERE, OsStr::new(".0")).unwrap();
    assert_eq!(
        staging.write(&another, 0, &[7; 60_000]),
        Err(Refused::NoRoom)
    );
    drop(files);
    staging.write(&another, 0, &[7; 60_000]).unwrap();
    staging.clear(HERE.slot);
    drop(another);
    assert!(staging.ledger.is_empty());
}

#[test]
fn a_full_slot_leaves_the_others_their_room() {
    let staging = Staging::default();
    let mut kept = Vec::new();
    for slot in 0..4 {
        let place = Place {
            slot: SlotId(slot),
            ..HERE
        };
        let before = kept.len();
        kept.extend(
            (0..2_000).map_while(|n| stage(&staging, place, &format!(".{n}"), 1, 60_000).ok()),
        );
        assert_eq!(kept.len() - before, LIMITS.bytes.slot / 60_000);
    }
    // Nor does a rename to another slot go past its limit.
    let (from, to) = (OsStr::new(".0"), OsStr::new(".renamed"));
    let moved = staging.rename((HERE, from), (ELSEWHERE, to), false);
    assert!(
        matches!(moved, Err(Error::Incoming { slot, why: IncomingError::StagingFull }) if slot == ELSEWHERE.slot)
    );
    assert!(staging.find(HERE, from).is_some());
    staging.clear(ELSEWHERE.slot);
    kept.clear();
    staging
        .rename((HERE, from), (ELSEWHERE, to), false)
        .unwrap();
    assert!(staging.find(ELSEWHERE, to).is_some());
}

/// A process that fills its slot leaves room for what others write and rename one after the other, as rsync does.
#[test]
fn who_fills_a_slot_does_not_keep_others_from_writing() {
    let staging = Staging::default();
    let full = vec![1; crate::hsm::MAX_BLOB_BYTES];
    let hogs: Vec<_> = (0..2_000)
        .map_while(|n| stage(&staging, HERE, &format!(".{n}"), 1, full.len()).ok())
        .collect();
    for n in 0..100 {
        let name = format!(".other{n}");
        let other = stage(&staging, HERE, &name, 2, full.len()).unwrap();
        assert!(other.bytes().is_ok());
        staging.remove(HERE, OsStr::new(&name)).unwrap();
    }
    assert!(hogs.iter().all(|hog| hog.bytes().is_ok()));
}
