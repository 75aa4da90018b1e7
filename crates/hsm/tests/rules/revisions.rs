//! Objects that are described anew: in their slot, and where another revision of them comes (docs/objects.md,
//! "Changing").

use std::sync::Arc;

use slotfs_hsm::{
    Access, Arrived, Became, Described, Error, Hsm, Policies, Rekey, Selection, SlotError,
    SlotFault, Source, TrashFile, TrashName, Wish, wait,
};
use slotfs_object::partition::Role;
use slotfs_object::pkcs11::{CKA_EXTRACTABLE, CKA_LABEL, CKA_MODIFIABLE, CKA_SIGN, CKA_VALUE};
use slotfs_object::revision::{Change, MOST_REVISIONS, ReviseError};
use slotfs_object::{Attribute, Handle, Object, RowId, SlotId, codec};
use slotfs_seal::blob::{self, Kind, Root};

use crate::fixture::{Fixture, Slot, assert_slot_error, domain, errno, forged, handle, key, text};

fn label(label: &str) -> Change {
    (CKA_LABEL, Some(Attribute::Text(label.to_owned())))
}

fn to(number: u32, value: bool) -> Change {
    (number, Some(Attribute::Bool(value)))
}

/// The object and its next revision, of another label.
fn relabelled(object: &Object, text: &str) -> Object {
    object.revised(&[label(text)], 0).unwrap().unwrap()
}

impl Fixture {
    fn set(&self, slot: u32, handle: Handle, changes: &[Change]) -> Result<Described, Error> {
        self.slot(slot).set_attributes(handle, changes)
    }

    /// The blob of `object`, as another store of the same domain gives it.
    fn blob_of(&self, object: &Object) -> Vec<u8> {
        let slot = 9;
        let there = self.add(slot, object).unwrap().handle;
        let blob = self.seal(SlotId(slot), there).unwrap();
        self.slot(slot).clear().unwrap();
        blob
    }

    fn import_object(&self, slot: u32, object: &Object) -> Result<Arrived, Error> {
        self.import(SlotId(slot), &self.blob_of(object))
    }

    fn move_to(&self, from: (u32, Handle), to: u32, wish: Wish) -> Result<Arrived, Error> {
        let source = Source {
            slot: SlotId(from.0),
            handle: from.1,
        };
        wait(|done| self.hsm.move_object(source, SlotId(to), wish, done))
    }

    fn trashed(&self, slot: u32) -> Vec<TrashFile> {
        let found = self.slot(slot).list_trash(RowId::BELOW_ALL, 100).unwrap();
        found.into_iter().map(Result::unwrap).collect()
    }

    /// What is in the trash, by its labels.
    fn trashed_labels(&self, slot: u32) -> Vec<String> {
        let object = |it: &TrashFile| self.hsm.open_trashed(it).unwrap();
        let trash = self.trashed(slot);
        trash
            .iter()
            .map(|it| object(it).label().to_owned())
            .collect()
    }

    fn clones(&self, slot: u32) -> String {
        self.hsm.journal().text(Some(SlotId(slot)))
    }

    fn check(&self) {
        let slots: Vec<_> = self
            .hsm
            .slots()
            .unwrap()
            .iter()
            .filter_map(|it| it.slot)
            .collect();
        let mut found = Vec::new();
        let checked = self.hsm.check(&slots, &mut |it| found.push(it.to_string()));
        checked.unwrap();
        assert_eq!(found, Vec::<String>::new());
    }
}

/// Slots 0 to 2, and slot 9 for blobs that come from elsewhere.
fn fixture() -> Fixture {
    let mut it = Fixture::quick(3);
    let domain = it.slot(0).session().unwrap().domains()[0].key.clone();
    let mut new = it.new_partition(SlotId(9), false);
    new.domain = domain;
    it.hsm.init_partition(new).unwrap();
    it.login(9, Role::Co).unwrap();
    it
}

#[test]
fn a_revision_takes_the_place_of_the_one_before() {
    let it = fixture();
    let born = key();
    let there = it.add(0, &born).unwrap().handle;
    let first = it.slot(0).find(there).unwrap();
    let made = it
        .set(0, there, &[label("new"), to(CKA_SIGN, false)])
        .unwrap();
    assert_eq!(made.replaced, Some(first.id));
    let now = it.slot(0).find(there).unwrap();
    assert_ne!(now.id, first.id);
    assert_eq!(
        (now.ouid, now.created_secs),
        (first.ouid, first.created_secs)
    );
    assert!(now.time_secs() > first.time_secs());
    assert_eq!(now.changed_secs, made.object.changed_secs());
    assert_eq!(it.slot(0).object(there).unwrap(), made.object);
    assert_eq!(
        (made.object.label(), made.object.revision.number),
        ("new", 1)
    );
    assert_eq!(it.slot(0).usage().unwrap().0, 1);
    assert!(matches!(it.hsm.find_by_id(first.id), Err(Error::Gone)));
    assert_eq!(it.hsm.open_trashed(&it.trashed(0)[0]).unwrap(), born);
    // What it has already is no change.
    let same = it.set(0, there, &[label("new")]).unwrap();
    assert_eq!((same.replaced, &same.object), (None, &made.object));
    // It is renumbered, sealed again and restored as every object is.
    it.renumber(0, there, handle(50)).unwrap();
    assert_eq!(it.slot(0).object(handle(50)).unwrap(), made.object);
    let later = it.set(0, handle(50), &[label("later")]).unwrap().object;
    assert!(later.changed_secs() > made.object.changed_secs());
    it.remove(0, handle(50)).unwrap();
    let name = TrashName {
        handle: handle(50),
        nth: 2,
    };
    let last = it.slot(0).find_trashed(name).unwrap();
    let back = wait(|done| it.hsm.restore(&last, Some(handle(50)), done)).unwrap();
    assert_eq!(back.became, Became::New);
    assert_eq!(it.slot(0).object(handle(50)).unwrap(), later);
    it.check();
}

#[test]
fn what_cannot_be_set_is_refused_with_its_slot_object_and_attribute() {
    let it = fixture();
    let there = it.add_key(SlotId(0));
    let refused = |handle, changes: &[Change]| {
        let error = it.set(0, handle, changes).err().unwrap();
        (
            error.outcome().errno,
            error.outcome().code.1,
            error.to_string(),
        )
    };
    let read_only = "CKR_ATTRIBUTE_READ_ONLY";
    for (changes, errno, code, says) in [
        (
            to(CKA_EXTRACTABLE, true),
            libc::EPERM,
            read_only,
            "CKA_EXTRACTABLE can only become false",
        ),
        (
            (CKA_VALUE, None),
            libc::EPERM,
            read_only,
            "CKA_VALUE never changes",
        ),
        (
            (CKA_LABEL, Some(Attribute::Number(7))),
            libc::EINVAL,
            "CKR_ATTRIBUTE_VALUE_INVALID",
            "the value of CKA_LABEL has the wrong type",
        ),
    ] {
        let says = format!("slot 0: object {there}: {says}");
        assert_eq!(refused(there, &[changes]), (errno, code, says));
    }
    assert_eq!(refused(handle(77), &[label("x")]).0, libc::ENOENT);
    let mut fixed = key();
    fixed.set(CKA_MODIFIABLE, Attribute::Bool(false));
    let fixed = it.add(0, &fixed).unwrap().handle;
    let says = format!("slot 0: object {fixed}: it cannot be changed: CKA_MODIFIABLE is false");
    let unmodifiable = (libc::EPERM, "CKR_ACTION_PROHIBITED", says);
    assert_eq!(refused(fixed, &[label("x")]), unmodifiable);
    // All of the changes or none.
    refused(there, &[label("x"), to(CKA_EXTRACTABLE, true)]);
    assert_eq!(it.slot(0).object(there).unwrap().label(), "key");
    // Only co writes.
    it.slot(0).logout();
    assert_slot_error!(it.set(0, there, &[label("x")]), SlotError::NotLoggedIn);
    it.login(0, Role::Po).unwrap();
    assert_slot_error!(
        it.set(0, there, &[label("x")]),
        SlotError::RoleNeeded { .. }
    );
}

/// The whole table, each row by a blob that comes in.
#[test]
fn a_revision_meets_another_one() {
    let it = fixture();
    let born = key();
    let (first, second) = (relabelled(&born, "first"), relabelled(&born, "second"));
    let third = relabelled(&relabelled(&first, "2"), "third");
    let arrive = |object: &Object| it.import_object(1, object);
    let there = arrive(&born).unwrap().handle;
    let row = it.slot(1).find(there).unwrap().id;

    // Higher, also where the ones between never came.
    let arrived = arrive(&first).unwrap();
    let became = Became::Revised {
        revision: 1,
        replaced: row,
    };
    assert_eq!(
        arrived,
        Arrived {
            handle: there,
            became
        }
    );
    assert_eq!(it.trashed_labels(1), ["key"]);
    assert_eq!(arrive(&third).unwrap().became.revision(), Some(3));
    assert_eq!(it.slot(1).object(there).unwrap(), third);
    assert_eq!(it.trashed_labels(1), ["key", "first"]);
    assert!(
        it.clones(1)
            .ends_with(&format!("Handle {there} on slot 1 is now revision 3\n"))
    );
    // The same.
    assert_eq!(arrive(&third).unwrap().became, Became::Already);
    // Lower.
    for older in [&born, &first] {
        assert_eq!(
            arrive(older).unwrap(),
            Arrived {
                handle: there,
                became: Became::Outdated
            }
        );
        let told = format!("slot 1 holds a newer revision, as handle {there}\n");
        assert!(it.clones(1).ends_with(&told), "{}", it.clones(1));
    }
    assert_eq!(it.slot(1).object(there).unwrap(), third);
    assert_eq!(it.slot(1).trash_count().unwrap(), 2);

    // Of one revision, and of any other that is no successor.
    let there = it.import_object(2, &first).unwrap().handle;
    let sold = it.import_object(2, &second).unwrap_err();
    assert_eq!(sold.outcome().errno, libc::EEXIST);
    assert!(
        sold.to_string().ends_with("they differ in CKA_LABEL"),
        "{sold}"
    );
    let Some(SlotFault::IdentityClash { differs, .. }) = sold.slot_fault() else {
        panic!("{sold}");
    };
    assert!(differs.can_be_described);
    let unsigned = first.revised(&[to(CKA_SIGN, false)], 0).unwrap().unwrap();
    it.import_object(2, &unsigned).unwrap();
    let signs = it.import_object(2, &third).unwrap_err();
    assert!(
        signs.to_string().ends_with("CKA_LABEL, CKA_SIGN"),
        "{signs}"
    );
    // One more description on either side wins.
    let ends = third.revised(&[to(CKA_SIGN, false)], 0).unwrap().unwrap();
    assert_eq!(
        it.import_object(2, &ends).unwrap().became.revision(),
        Some(4)
    );
    assert_eq!(it.slot(2).object(there).unwrap(), ends);
    // Other content of a higher revision.
    let mut other = relabelled(&ends, "other");
    other.set(CKA_EXTRACTABLE, Attribute::Bool(true));
    let refused = it.import_object(2, &other).unwrap_err();
    assert_eq!(refused.outcome().errno, libc::EEXIST);
    assert!(it.import_object(2, &forged(&ends)).is_err());
    assert_eq!(it.slot(2).object(there).unwrap(), ends);
    it.check();
}

/// An object that is unmodifiable on purpose is replaced by nothing, whatever a holder of its domain makes.
#[test]
fn an_unmodifiable_object_is_replaced_by_nothing() {
    let it = fixture();
    let mut fixed = key();
    fixed.set(CKA_MODIFIABLE, Attribute::Bool(false));
    let there = it.import_object(0, &fixed).unwrap().handle;
    assert_eq!(it.import_object(0, &fixed).unwrap().became, Became::Already);
    let mut free = fixed.clone();
    free.set(CKA_MODIFIABLE, Attribute::Bool(true));
    let mut forged = relabelled(&free, "forged");
    assert_eq!(errno(it.import_object(0, &forged)), libc::EEXIST);
    forged.set(CKA_MODIFIABLE, Attribute::Bool(false));
    let refused = it.import_object(0, &forged).unwrap_err();
    assert!(matches!(
        refused.slot_fault(),
        Some(SlotFault::IdentityClash { differs, .. }) if !differs.can_be_described
    ));
    assert_eq!(it.slot(0).object(there).unwrap(), fixed);
}

#[test]
fn a_revision_above_the_last_one_is_not_accepted() {
    let domain = domain();
    let it = Fixture::of([Slot {
        domain: Some(domain.clone()),
        ..Slot::default()
    }]);
    let born = key();
    let there = it.add(0, &born).unwrap().handle;
    let mut last = relabelled(&born, "last");
    last.revision.number = MOST_REVISIONS;
    let payload = codec::encode(&last).unwrap().bytes().to_vec();
    let number = [&[252][..], &MOST_REVISIONS.to_le_bytes()].concat();
    let at = payload.windows(5).position(|it| it == number).unwrap() + 1;
    let roots = [Root::of_domain(domain.key())];
    for above in [MOST_REVISIONS + 1, u32::MAX] {
        let mut payload = payload.clone();
        payload[at..at + 4].copy_from_slice(&above.to_le_bytes());
        let blob = blob::seal(Kind::Object, &roots, &payload).unwrap();
        let refused = it.import(SlotId(0), &blob).unwrap_err();
        assert_eq!(refused.outcome().errno, libc::EACCES);
        assert!(
            refused.to_string().contains(&above.to_string()),
            "{refused}"
        );
    }
    // The last one is taken, and then nobody describes the object anew.
    let blob = blob::seal(Kind::Object, &roots, &payload).unwrap();
    let arrived = it.import(SlotId(0), &blob).unwrap();
    assert_eq!(arrived.became.revision(), Some(MOST_REVISIONS));
    let exhausted = it.set(0, there, &[label("more")]);
    let why = ReviseError::Exhausted;
    assert_slot_error!(
        exhausted,
        SlotError::NotDescribed {
            why: ReviseError::Exhausted,
            ..
        }
    );
    assert!(why.to_string().contains("2147483648"));
}

/// Moving follows the same table, and the source goes only where the target has it.
#[test]
fn a_move_meets_another_revision() {
    let it = fixture();
    let born = key();
    let from = |object: &Object| (0, it.add(0, object).unwrap().handle);
    let gone = |(slot, handle)| it.slot(slot).find(handle).is_err();
    let there = it.add(1, &born).unwrap().handle;
    let first = relabelled(&born, "first");

    // A later one replaces what is there, under its handle, whatever handle was asked for.
    let source = from(&first);
    let arrived = it.move_to(source, 1, Wish::Handle(handle(77))).unwrap();
    assert_eq!(
        (arrived.handle, arrived.became.revision()),
        (there, Some(1))
    );
    assert!(gone(source) && it.trashed(0).is_empty());
    assert_eq!(it.trashed_labels(1), ["key"]);
    // An earlier one only leaves, to the trash.
    let source = from(&born);
    let arrived = it.move_to(source, 1, Wish::Any).unwrap();
    assert_eq!(
        arrived,
        Arrived {
            handle: there,
            became: Became::Outdated
        }
    );
    assert!(gone(source));
    assert_eq!(it.trashed_labels(0), ["key"]);
    assert_eq!(it.slot(1).object(there).unwrap(), first);
    // The same one leaves.
    let source = from(&first);
    assert_eq!(
        it.move_to(source, 1, Wish::Any).unwrap().became,
        Became::Already
    );
    assert!(gone(source) && it.trashed(0).len() == 1);
    // Another one stays.
    let source = from(&relabelled(&born, "second"));
    assert_eq!(errno(it.move_to(source, 1, Wish::Any)), libc::EEXIST);
    assert!(!gone(source));
    assert_eq!(it.slot(1).object(there).unwrap(), first);
    it.check();
}

#[test]
fn a_list_meets_other_revisions() {
    let it = fixture();
    let objects: Vec<Object> = (0..5).map(|_| key()).collect();
    let add = |slot, object: &Object| it.add(slot, object).unwrap().handle;
    let newer = relabelled(&objects[1], "newer");
    let other = relabelled(&objects[4], "other");
    let from = [
        add(0, &objects[0]),
        add(0, &newer),
        add(0, &objects[2]),
        add(0, &objects[3]),
        add(0, &other),
    ];
    let theirs = [
        add(1, &objects[0]),
        add(1, &objects[1]),
        add(1, &relabelled(&objects[2], "newer there")),
        add(1, &relabelled(&objects[4], "other there")),
    ];
    let became = |outcome: Result<&Arrived, &Error>| match outcome {
        Ok(Arrived { handle, became }) => (Some(*handle), became.revision(), format!("{became:?}")),
        Err(error) => (None, None, error.outcome().errno.to_string()),
    };
    let mut before = Vec::new();
    let slot = it.slot(0);
    slot.check_existing(SlotId(1), &Selection::All, |handle, outcome| {
        before.push((handle, became(outcome)));
    })
    .unwrap();
    let mut after = Vec::new();
    slot.clone_list(
        SlotId(1),
        &Selection::All,
        || false,
        |some| {
            after.extend(
                some.iter()
                    .map(|(handle, outcome)| (*handle, became(outcome.as_ref()))),
            );
        },
    )
    .unwrap();
    assert_eq!(after.iter().map(|row| row.0).collect::<Vec<_>>(), from);
    // What the check said became of those that exist; the fourth is new.
    assert_eq!(before, [&after[..3], &after[4..]].concat());
    assert_eq!(after[0].1.2, "Already");
    assert_eq!((after[1].1.0, after[1].1.1), (Some(theirs[1]), Some(1)));
    assert_eq!(after[2].1.2, "Outdated");
    assert_eq!(after[3].1.2, "New");
    assert_eq!(after[4].1.2, libc::EEXIST.to_string());
    assert_eq!(it.slot(1).object(theirs[1]).unwrap(), newer);
    assert_eq!(it.trashed_labels(1), ["key"]);
    it.check();
}

/// A restore never brings an earlier revision back over a later one, nor drops it.
#[test]
fn an_earlier_revision_stays_in_the_trash_and_a_later_one_comes_back() {
    let it = fixture();
    let born = key();
    let there = it.add(0, &born).unwrap().handle;
    let now = it.set(0, there, &[label("now")]).unwrap().object;
    let restore = |it: &Fixture, want| -> Result<Arrived, Error> {
        let oldest = it.trashed(0)[0];
        wait(|done| it.hsm.restore(&oldest, want, done))
    };
    for want in [None, Some(there), Some(handle(50))] {
        let refused = restore(&it, want);
        assert_slot_error!(refused, SlotError::Stored(SlotFault::Outdated(_)));
        assert_eq!(it.trashed_labels(0), ["key"]);
    }
    assert_eq!(errno(restore(&it, None)), libc::EEXIST);
    // The later one is removed: the earlier one comes back, and then gives way to it again.
    it.remove(0, there).unwrap();
    assert_eq!(restore(&it, Some(there)).unwrap().became, Became::New);
    assert_eq!(it.slot(0).object(there).unwrap(), born);
    assert_eq!(it.trashed_labels(0), ["now"]);
    let back = restore(&it, None).unwrap();
    assert_eq!((back.handle, back.became.revision()), (there, Some(1)));
    assert_eq!(it.slot(0).object(there).unwrap(), now);
    assert_eq!(it.trashed_labels(0), ["key"]);
    it.check();
}

#[test]
fn without_retention_a_replaced_revision_is_destroyed() {
    let none = Slot {
        retention_secs: 0,
        ..Slot::default()
    };
    let it = Fixture::of([none, Slot::default()]);
    let born = key();
    let there = it.add(0, &born).unwrap().handle;
    let first = it.set(0, there, &[label("first")]).unwrap().object;
    it.add(1, &relabelled(&first, "second")).unwrap();
    let blob = it.seal(SlotId(1), handle(1)).unwrap();
    assert_eq!(
        it.import(SlotId(0), &blob).unwrap().became.revision(),
        Some(2)
    );
    assert_eq!(it.slot(0).trash_count().unwrap(), 0);
    // An earlier revision that leaves by a move is destroyed as well.
    it.set(1, handle(1), &[label("third")]).unwrap();
    let moved = it.move_to((0, there), 1, Wish::Any).unwrap();
    assert_eq!(moved.became, Became::Outdated);
    assert_eq!(it.slot(0).usage().unwrap().0, 0);
    assert_eq!(it.slot(0).trash_count().unwrap(), 0);
    it.check();
}

/// A slot that is full takes a revision of what it has, and no new object.
#[test]
fn a_full_slot_takes_revisions() {
    let it = fixture();
    for _ in 0..100 {
        it.add_key(SlotId(0));
    }
    assert_eq!(errno(it.add(0, &key())), libc::ENOSPC);
    let long = "a longer label ".repeat(9);
    it.set(0, handle(7), &[label(&long)]).unwrap();
    it.set(0, handle(7), &[label("short")]).unwrap();
    assert_eq!(it.slot(0).usage().unwrap().0, 100);
    it.check();
}

/// Changes of many writers at once, of two processes: each applies to what is there by then.
#[test]
fn two_processes_describe_one_object_at_once() {
    let it = fixture();
    let there = it.add_key(SlotId(0));
    let other = Hsm::open(&it.path(), Access::ReadWrite).unwrap();
    other
        .partition(SlotId(0))
        .login(Role::Co, it.secret_of(0))
        .unwrap();
    std::thread::scope(|scope| {
        for (name, hsm) in [("one", &it.hsm), ("other", &other)] {
            scope.spawn(move || {
                for number in 0..8 {
                    let changes = [label(&format!("{name} {number}"))];
                    // Each try finds another revision; the last one gives up and changes nothing.
                    while let Err(error) = hsm.partition(SlotId(0)).set_attributes(there, &changes)
                    {
                        assert!(error.is_changed(), "{error}");
                    }
                }
            });
        }
    });
    let object = it.slot(0).object(there).unwrap();
    assert_eq!(object.revision.number, 16);
    assert_eq!(it.slot(0).trash_count().unwrap(), 16);
    it.check();
}

/// Blobs of a line of revisions, in any order and at once: the last one stays.
#[test]
fn revisions_that_come_at_once_end_with_the_last() {
    let it = fixture();
    let mut line = vec![key()];
    for number in 1..12 {
        let next = relabelled(&line[number - 1], &number.to_string());
        line.push(next);
    }
    let blobs: Vec<_> = line.iter().map(|object| it.blob_of(object)).collect();
    std::thread::scope(|scope| {
        for step in [1, 5, 7] {
            let (it, blobs) = (&it, &blobs);
            scope.spawn(move || {
                for number in 0..blobs.len() {
                    it.import(SlotId(1), &blobs[(number * step) % blobs.len()])
                        .unwrap();
                }
            });
        }
    });
    let now = it.slot(1).list(0, 10).unwrap();
    assert_eq!(now.len(), 1);
    let handle = now[0].as_ref().unwrap().handle;
    assert_eq!(&it.slot(1).object(handle).unwrap(), line.last().unwrap());
    it.check();
}

/// Another revision is neither where a blob came from, nor a clash.
#[test]
fn clones_names_revisions_as_what_they_are() {
    let it = fixture();
    let born = key();
    let (zero, one) = (
        it.add(0, &born).unwrap().handle,
        it.add(1, &born).unwrap().handle,
    );
    let blob = it.seal(SlotId(0), zero).unwrap();
    it.set(0, zero, &[label("new")]).unwrap();
    let newer = it.seal(SlotId(0), zero).unwrap();
    it.import(SlotId(1), &newer).unwrap();
    let told = format!("Handle {one} on slot 1 is now revision 1, from handle {zero} on slot 0\n");
    assert_eq!(it.clones(1), told);
    it.import(SlotId(2), &blob).unwrap();
    let told = it.clones(2);
    assert!(
        told.starts_with(&format!("Object {} is now", born.ouid)),
        "{told}"
    );
    it.import(SlotId(2), &newer).unwrap();
    let all = it.hsm.journal().text(None);
    assert!(!all.contains("was here first"), "{all}");
    // A sibling is one.
    it.import_object(0, &key()).unwrap();
    let sibling = it.blob_of(&relabelled(&born, "sibling"));
    it.remove(2, it.slot(2).find_by_ouid(born.ouid).unwrap().handle)
        .unwrap();
    it.import(SlotId(2), &sibling).unwrap();
    assert!(it.clones(2).contains("was here first"), "{}", it.clones(2));
}

/// Policy keeps out a revision as it keeps out the object, and what is there stays.
#[test]
fn policy_refuses_a_revision_too() {
    let common = domain();
    let slot = |secret_key_cloning| Slot {
        domain: Some(common.clone()),
        policies: Policies {
            secret_key_cloning,
            ..Policies::default()
        },
        ..Slot::default()
    };
    let it = Fixture::of([slot(true), slot(false)]);
    let born = key();
    let (zero, one) = (
        it.add(0, &born).unwrap().handle,
        it.add(1, &born).unwrap().handle,
    );
    it.set(0, zero, &[label("new")]).unwrap();
    let blob = it.seal(SlotId(0), zero).unwrap();
    assert_slot_error!(it.import(SlotId(1), &blob), SlotError::PolicyRefuses(_));
    assert_eq!(errno(it.move_to((0, zero), 1, Wish::Any)), libc::EACCES);
    assert_eq!(it.slot(1).object(one).unwrap(), born);
    // Its own co describes it all the same.
    it.set(1, one, &[label("own")]).unwrap();
}

/// Rows of revisions are sealed again with a new slot key as all others are.
#[test]
fn revisions_outlive_a_reset_password() {
    let it = Fixture::new(&[Policies::default()]);
    let there = it.add_key(SlotId(0));
    let object = it.set(0, there, &[label("new")]).unwrap().object;
    let new = text("another horse");
    it.slot(0).logout();
    it.login(0, Role::Po).unwrap();
    it.slot(0)
        .reset_secret(Role::Co, &new, it.secret_of(0), Rekey::quiet(false))
        .unwrap();
    it.slot(0).logout();
    it.slot(0).login(Role::Co, &new).unwrap();
    assert_eq!(it.slot(0).object(there).unwrap(), object);
    assert_eq!(it.trashed_labels(0), ["key"]);
    it.check();
}

/// The time in clear is bound: a tool that mirrors by time sees the right one or none.
#[test]
fn a_time_of_change_that_was_changed_is_damage() {
    for change in ["changed_secs = NULL", "changed_secs = changed_secs + 1"] {
        let it = Fixture::quick(1);
        let there = it.add_key(SlotId(0));
        it.set(0, there, &[label("new")]).unwrap();
        let it = it.tamper(&format!("UPDATE objects SET {change}"));
        it.login(0, Role::Co).unwrap();
        assert_eq!(errno(it.slot(0).object(there)), libc::EIO, "{change}");
    }
    let it = Fixture::quick(1);
    let there = it.add_key(SlotId(0));
    let it = it.tamper("UPDATE objects SET changed_secs = 1");
    it.login(0, Role::Co).unwrap();
    assert_eq!(errno(it.slot(0).object(there)), libc::EIO);
}

/// C_SetAttributeValue's way in takes the store as it is: nobody waits for the other.
#[test]
fn a_read_only_store_describes_nothing() {
    let it = fixture();
    let there = it.add_key(SlotId(0));
    let reader: Arc<Hsm> = Hsm::open(&it.path(), Access::ReadOnly).unwrap();
    reader
        .partition(SlotId(0))
        .login(Role::Co, it.secret_of(0))
        .unwrap();
    let refused = reader
        .partition(SlotId(0))
        .set_attributes(there, &[label("x")]);
    assert_eq!(errno(refused), libc::EROFS);
}
