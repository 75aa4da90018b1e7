//! Staged files and folders against a map.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use super::super::node::StagingId;
use super::super::staging::{Folder, Limit, Limits, Place, Refused, Staged, Staging, StagingFile};
use crate::fuzzing::Input;
use crate::hsm::MAX_BLOB_BYTES;
use crate::object::SlotId;

/// The processes that do it all.
const WRITERS: &[u32] = &[1, 2];
const NAMES: &[&str] = &[".a", ".b", ".c"];

/// So little that it is soon full.
const LIMITS: Limits = Limits {
    bytes: Limit {
        slot: 700,
        spare: 300,
        little: 50,
        mount: 1_000,
        assured: 200,
    },
    entries: Limit {
        slot: 4,
        spare: 2,
        little: 1,
        mount: 7,
        assured: 2,
    },
};

#[derive(Clone)]
enum Entry {
    File(Arc<StagingFile>),
    Folder(StagingId),
}

#[derive(Default)]
struct Model {
    entries: BTreeMap<(Place, OsString), Entry>,
    /// Content by number: `Err` after it went past the largest blob. It is that of the open file, whatever its name
    /// is by now.
    contents: BTreeMap<StagingId, Content>,
    /// Who made each, by number.
    makers: BTreeMap<StagingId, u32>,
}

impl Entry {
    fn id(&self) -> StagingId {
        match self {
            Self::File(file) => file.id,
            Self::Folder(id) => *id,
        }
    }
}

/// Bytes, and entries.
type Held = (usize, usize);

impl Model {
    fn held(&self, counts: impl Fn(SlotId, u32) -> bool) -> Held {
        let held = self
            .entries
            .iter()
            .filter(|((place, _), entry)| counts(place.slot, self.makers[&entry.id()]));
        held.fold((0, 0), |(bytes, entries), (_, entry)| {
            let content = self.contents.get(&entry.id());
            let more = content.map_or(0, |content| content.as_ref().map_or(0, Vec::len));
            (bytes + more, entries + 1)
        })
    }

    /// Whether `more` of `slot` fits for process `pid`.
    fn fits(&self, slot: SlotId, pid: u32, more: Held) -> bool {
        let all = self.held(|_, _| true);
        let in_slot = self.held(|its, _| its == slot);
        let own = self.held(|its, maker| (its, maker) == (slot, pid));
        let fits = |limit: Limit, more, all, in_slot, own| {
            let most = match own + more <= limit.little {
                true => limit.slot + limit.spare,
                false => limit.slot,
            };
            let bound = all + more <= limit.mount || in_slot + more <= limit.assured;
            more == 0 || (in_slot + more <= most && bound)
        };
        fits(LIMITS.bytes, more.0, all.0, in_slot.0, own.0)
            && fits(LIMITS.entries, more.1, all.1, in_slot.1, own.1)
    }
}

pub(super) fn run(input: &mut Input<'_>) {
    let staging = Staging::with_limits(LIMITS);
    let mut model = Model::default();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        step(&staging, &mut model, input);
        compare(&staging, &model);
    }
    for slot in 0..2 {
        staging.clear(SlotId(slot));
        model.entries.retain(|(place, _), _| place.slot.0 != slot);
        compare(&staging, &model);
    }
}

/// There are no folders in staging folders.
fn outside(place: Place) -> Place {
    match place.folder {
        Folder::Staging(_) => Place {
            folder: Folder::Slot,
            ..place
        },
        Folder::Slot | Folder::Identities => place,
    }
}

/// A place that there is, and a name.
fn key(model: &Model, input: &mut Input<'_>) -> (Place, OsString) {
    let choice = input.byte();
    let slot = SlotId(u32::from(choice & 1));
    let folders: Vec<StagingId> = model
        .entries
        .iter()
        .filter_map(|((place, _), entry)| match entry {
            Entry::Folder(id) if place.slot == slot => Some(*id),
            _ => None,
        })
        .collect();
    let folder = match choice & 2 {
        0 => Folder::Slot,
        _ => folders
            .get(usize::from(choice >> 2) % folders.len().max(1))
            .map_or(Folder::Identities, |id| Folder::Staging(*id)),
    };
    (Place { slot, folder }, input.pick(NAMES).into())
}

fn step(staging: &Staging, model: &mut Model, input: &mut Input<'_>) {
    let what = input.byte() % 9;
    let pid = input.pick(WRITERS);
    let at = key(model, input);
    let there = model.entries.get(&at).cloned();
    let (place, name): (Place, &OsStr) = (at.0, &at.1);
    match (what, there) {
        (0, there) => match (staging.create(place, name, pid, None), there) {
            (Ok(file), None) => {
                assert!(model.fits(place.slot, pid, (0, 1)));
                model.makers.insert(file.id, pid);
                model.contents.insert(file.id, Ok(Vec::new()));
                model.entries.insert(at, Entry::File(file));
            }
            (Ok(file), Some(Entry::File(there))) => assert_eq!(file.id, there.id),
            (outcome, None) => {
                assert!(outcome.is_err() && !model.fits(place.slot, pid, (0, 1)));
            }
            (outcome, there) => {
                assert!(outcome.is_err() && matches!(there, Some(Entry::Folder(_))));
            }
        },
        (1, _) => {
            let at = (outside(place), at.1);
            let free = !model.entries.contains_key(&at);
            let fits = model.fits(at.0.slot, pid, (0, 1));
            let made = staging.create_folder(at.0, &at.1, pid);
            assert_eq!(made.is_ok(), free && fits);
            if let Ok(id) = made {
                model.makers.insert(id, pid);
                model.entries.insert(at, Entry::Folder(id));
            }
        }
        (2, there) => {
            let gone = staging.remove(place, name).is_ok();
            assert_eq!(gone, matches!(there, Some(Entry::File(_))));
            if gone {
                model.entries.remove(&at);
            }
        }
        (3, _) => {
            let at = (outside(place), at.1);
            let empty = match model.entries.get(&at) {
                Some(Entry::Folder(id)) => !model
                    .entries
                    .keys()
                    .any(|key| key.0.folder == Folder::Staging(*id)),
                _ => false,
            };
            assert_eq!(staging.remove_folder(at.0, &at.1).is_ok(), empty);
            if empty {
                model.entries.remove(&at);
            }
        }
        (4, there) => {
            let (to, keep) = (key(model, input), input.flag());
            let target = model.entries.get(&to);
            let free = target.is_none() || (!keep && matches!(target, Some(Entry::File(_))));
            let fits = there.as_ref().is_none_or(|entry| {
                let content = model.contents.get(&entry.id());
                let bytes = content.map_or(0, |content| content.as_ref().map_or(0, Vec::len));
                to.0.slot == place.slot
                    || model.fits(to.0.slot, model.makers[&entry.id()], (bytes, 1))
            });
            let may = matches!(there, Some(Entry::File(_))) && free && fits;
            let done = staging.rename((place, name), (to.0, &to.1), keep).is_ok();
            assert_eq!(done, may);
            if let (true, Some(entry)) = (done, there) {
                model.entries.remove(&at);
                model.entries.insert(to, entry);
            }
        }
        (5, Some(Entry::File(file))) => {
            let offset = input.pick(&[0, 1, 7, 300, MAX_BLOB_BYTES as u64, u64::MAX]);
            let data = input.short();
            let before = model.contents[&file.id].clone();
            let mut after = before.clone();
            write(&mut after, offset, data);
            let done = staging.write(&file, offset, data);
            changed(model, place.slot, &file, (before, after), done);
        }
        (6, Some(Entry::File(file))) => {
            let length = input.pick(&[0, 1, 5, 400, MAX_BLOB_BYTES as u64 + 1]);
            let before = model.contents[&file.id].clone();
            let mut after = before.clone();
            if length == 0 {
                after = Ok(Vec::new());
            }
            match &mut after {
                Ok(bytes) if length <= MAX_BLOB_BYTES as u64 => bytes.resize(length as usize, 0),
                _ => after = Err(Refused::TooLarge),
            }
            let done = staging.truncate(&file, length);
            changed(model, place.slot, &file, (before, after), done);
        }
        (7, Some(Entry::File(file))) => {
            staging.remove_file(place, name, &file);
            model.entries.remove(&at);
        }
        (8, _) if input.byte() == 0 => {
            staging.clear(place.slot);
            model.entries.retain(|(at, _), _| at.slot != place.slot);
        }
        _ => {}
    }
}

type Content = Result<Vec<u8>, Refused>;

/// A change that would take `file` from the one content to the other: all of it is done, or nothing where it does
/// not fit.
fn changed(
    model: &mut Model,
    slot: SlotId,
    file: &StagingFile,
    (before, after): (Content, Content),
    done: Result<(), Refused>,
) {
    // What goes past the largest blob asks for no room: it is too large either way.
    let more = match (&before, &after) {
        (Ok(before), Ok(after)) => after.len().saturating_sub(before.len()),
        (_, Err(_)) | (Err(_), _) => 0,
    };
    let fits = model.fits(slot, model.makers[&file.id], (more, 0));
    assert_eq!(done, if fits { Ok(()) } else { Err(Refused::NoRoom) });
    if fits {
        model.contents.insert(file.id, after);
    }
}

fn write(content: &mut Content, offset: u64, data: &[u8]) {
    let Ok(bytes) = content else { return };
    match offset.checked_add(data.len() as u64) {
        Some(end) if end <= MAX_BLOB_BYTES as u64 => {
            if !data.is_empty() {
                let (start, end) = (offset as usize, end as usize);
                bytes.resize(bytes.len().max(end), 0);
                bytes[start..end].copy_from_slice(data);
            }
        }
        _ => *content = Err(Refused::TooLarge),
    }
}

/// Everything is where it should be, and says what it should.
fn compare(staging: &Staging, model: &Model) {
    let mut places: Vec<Place> = (0..2)
        .flat_map(|slot| [(slot, Folder::Slot), (slot, Folder::Identities)])
        .map(|(slot, folder)| Place {
            slot: SlotId(slot),
            folder,
        })
        .collect();
    places.extend(
        model
            .entries
            .iter()
            .filter_map(|((place, _), entry)| match entry {
                Entry::Folder(id) => Some(Place {
                    folder: Folder::Staging(*id),
                    ..*place
                }),
                Entry::File(_) => None,
            }),
    );
    let mut found = 0;
    for place in places {
        for (name, staged) in staging.list(place, StagingId(0)) {
            found += 1;
            let expected = model
                .entries
                .get(&(place, name.clone()))
                .expect("it is known");
            assert_eq!(
                staging.find(place, &name).map(|it| it.id()),
                Some(staged.id())
            );
            assert_eq!(staging.by_id(staged.id()).map(|it| it.0), Some(place));
            match (expected, staged) {
                (Entry::File(file), Staged::File(staged)) => {
                    assert_eq!(file.id, staged.id);
                    let content = &model.contents[&file.id];
                    assert_eq!(&staged.bytes(), content);
                    assert_eq!(staged.len(), content.as_ref().map_or(0, Vec::len));
                }
                (Entry::Folder(id), Staged::Folder(staged, _)) => assert_eq!(*id, staged),
                _ => panic!("a file is a folder"),
            }
        }
    }
    assert_eq!(found, model.entries.len());
}
