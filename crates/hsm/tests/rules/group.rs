//! What HA groups need: marks of contents, and blobs by identity.

use std::collections::BTreeMap;

use slotfs_hsm::{
    Became, Carried, ContentKey, Description, Error, SlotError, SlotFault, Surveyed, TrashName,
};
use slotfs_object::pkcs11::CKA_LABEL;
use slotfs_object::{Attribute, Ouid};

use crate::fixture::{Fixture, Slot, assert_slot_error, domain, handle, key};

fn survey(fixture: &Fixture, slot: u32, marks: &ContentKey) -> BTreeMap<Ouid, Surveyed> {
    let mut found = BTreeMap::new();
    let each = |row: slotfs_hsm::SurveyRow| {
        found.insert(row.ouid.unwrap(), row.outcome.unwrap());
    };
    fixture.slot(slot).survey(marks, each).unwrap();
    found
}

/// Over slots, stores and domains; under another key nothing can be compared.
#[test]
fn the_same_content_has_the_same_mark() {
    let one = Fixture::of([Slot::default(), Slot::default()]);
    let other = Fixture::of([Slot {
        domain: Some(domain()),
        ..Slot::default()
    }]);
    let object = key();
    for (fixture, slot) in [(&one, 0), (&one, 1), (&other, 0)] {
        fixture.add(slot, &object).unwrap();
    }
    let marks = ContentKey::new().unwrap();
    let mark = survey(&one, 0, &marks)[&object.ouid];
    assert_eq!(mark.revision, 0);
    assert_eq!(survey(&one, 1, &marks)[&object.ouid], mark);
    assert_eq!(survey(&other, 0, &marks)[&object.ouid], mark);
    let another = ContentKey::new().unwrap();
    assert_ne!(
        survey(&one, 0, &another)[&object.ouid].content,
        mark.content
    );
    // A blob tells the same to a slot that opens it, and nothing to one that does not.
    let (_, sealed) = one.slot(0).seal_identity(object.ouid).unwrap();
    let (opened, described) = one.slot(1).describe_blob(&marks, &sealed.blob).unwrap();
    assert_eq!((opened, described), (object.clone(), mark));
    let refused = other.slot(0).describe_blob(&marks, &sealed.blob);
    assert_slot_error!(refused, SlotError::Unverified(_));
    assert_ne!(marks.of_blob(&sealed.blob), mark.content);
    // A revision is another content.
    let label = Attribute::Text("new".into());
    one.slot(0)
        .set_attributes(handle(1), &[(CKA_LABEL, Some(label))])
        .unwrap();
    let revised = survey(&one, 0, &marks)[&object.ouid];
    assert_eq!(revised.revision, 1);
    assert_ne!(revised.content, mark.content);
    // What was replaced is in the trash, with the mark that it had.
    let name = TrashName {
        handle: handle(1),
        nth: 1,
    };
    let trashed = one.slot(0).find_trashed(name).unwrap();
    assert_eq!(one.slot(0).survey_trashed(&marks, &trashed).unwrap(), mark);
}

/// Each fails by itself, and a blob under another object's name is refused.
#[test]
fn blobs_come_in_under_their_own_identity() {
    let fixture = Fixture::of([
        Slot::default(),
        Slot {
            capacity: 1,
            ..Slot::default()
        },
    ]);
    let objects = [key(), key()];
    for object in &objects {
        fixture.add(0, object).unwrap();
    }
    let [first, second] = objects.each_ref().map(|object| {
        let (_, sealed) = fixture.slot(0).seal_identity(object.ouid).unwrap();
        sealed.blob
    });
    let carried = |ouid, blob: &[u8]| Carried {
        ouid,
        want: None,
        blob: blob.to_vec(),
    };
    let blobs = [
        carried(objects[1].ouid, &first),
        carried(objects[0].ouid, &first[1..]),
        carried(objects[0].ouid, &first),
        carried(objects[0].ouid, &first),
        carried(objects[1].ouid, &second),
    ];
    let outcomes = fixture.slot(1).import_identities(&blobs).unwrap();
    let mut outcomes = outcomes.into_iter();
    let mut next = || outcomes.next().unwrap();
    assert_slot_error!(next(), SlotError::OtherIdentity { .. });
    assert_slot_error!(next(), SlotError::Unverified(_));
    assert_eq!(next().unwrap().became, Became::New);
    assert_eq!(next().unwrap().became, Became::Already);
    assert_eq!(next().err().unwrap().outcome().errno, libc::ENOSPC);
    assert!(matches!(
        fixture.slot(1).seal_identity(objects[1].ouid),
        Err(Error::Slot { .. })
    ));
}

/// Whoever planned that a blob is wanted may be wrong by the time it comes.
#[test]
fn what_was_removed_meanwhile_stays_in_the_trash() {
    let fixture = Fixture::of([Slot::default(), Slot::default()]);
    let object = key();
    fixture.add(0, &object).unwrap();
    let (_, sealed) = fixture.slot(0).seal_identity(object.ouid).unwrap();
    let carried = || {
        let (ouid, blob) = (object.ouid, sealed.blob.clone());
        [Carried {
            ouid,
            want: None,
            blob,
        }]
    };
    let import = || {
        fixture
            .slot(1)
            .import_identities(&carried())
            .unwrap()
            .remove(0)
    };
    assert_eq!(import().unwrap().became, Became::New);
    let found = fixture.slot(1).find_by_ouid(object.ouid).unwrap();
    slotfs_hsm::wait(|done| fixture.hsm.remove_found(&found, false, done)).unwrap();
    assert_slot_error!(import(), SlotError::Stored(SlotFault::Removed(_)));
    assert!(fixture.slot(1).find_by_ouid(object.ouid).is_err());
}

/// A removal is known by its row only while it is one: not restored, not destroyed, and not another object's.
#[test]
fn what_was_restored_is_not_removed_any_more() {
    let fixture = Fixture::of([Slot::default()]);
    let marks = ContentKey::new().unwrap();
    let objects = [key(), key()];
    for object in &objects {
        fixture.add(0, object).unwrap();
    }
    let [ouid, other] = objects.each_ref().map(|object| object.ouid);
    let (found, _, live) = fixture.slot(0).survey_identity(&marks, ouid).unwrap();
    slotfs_hsm::wait(|done| fixture.hsm.remove_found(&found, false, done)).unwrap();
    let trash = fixture
        .slot(0)
        .list_trash(slotfs_object::RowId::BELOW_ALL, 9);
    let trashed = trash.unwrap().remove(0).unwrap();
    let row = trashed.object.id;
    let removed = fixture.slot(0).removed_identity(ouid, row).unwrap();
    // It is described as it was.
    assert_eq!(Description::of(&removed.unwrap()), live.description);
    assert_eq!(live.description.to_string().parse(), Ok(live.description));
    assert!(
        fixture
            .slot(0)
            .removed_identity(other, row)
            .unwrap()
            .is_none()
    );
    slotfs_hsm::wait(|done| fixture.hsm.restore(&trashed, None, done)).unwrap();
    assert!(
        fixture
            .slot(0)
            .removed_identity(ouid, row)
            .unwrap()
            .is_none()
    );
}
