//! Long lists of new objects and of clones, in batches.

use slotfs_hsm::{Access, Became, Error, Hsm, Selection, SlotError};
use slotfs_object::partition::Role;
use slotfs_object::{Object, SlotId};

use crate::fixture::{Fixture, Slot, assert_slot_error, domain, handle, key};

fn keys(count: usize) -> impl Iterator<Item = Object> {
    std::iter::repeat_with(key).take(count)
}

/// Another process changes the slot between and under batches: each key is stored all the same, once, and opens.
#[test]
fn a_slot_that_changes_while_keys_are_generated() {
    let it = Fixture::quick(1);
    let slot = SlotId(0);
    let elsewhere = Hsm::open(&it.path(), Access::ReadWrite).unwrap();
    elsewhere
        .partition(slot)
        .login(Role::Po, it.secret_of(0))
        .unwrap();
    let mut domains = 0;
    let groups = keys(90).enumerate().map(|(index, key)| {
        // Before the first batch is handed over, and while it is written.
        if [30, 70].contains(&index) {
            domains += 1;
            let domain = domain();
            elsewhere
                .partition(slot)
                .add_domain(&domain, &format!("more {domains}"), false)
                .unwrap();
        }
        Ok::<_, Error>(vec![key])
    });
    let mut told = Vec::new();
    it.hsm
        .partition(slot)
        .add_list(groups, 512, |added| {
            for group in added {
                let [there] = group.stored.unwrap()[..] else {
                    panic!("one object, one place");
                };
                told.push((group.objects[0].ouid, there.handle));
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(told.len(), 90);
    for (ouid, handle) in told {
        assert_eq!(it.hsm.partition(slot).object(handle).unwrap().ouid, ouid);
    }
    assert_eq!(it.hsm.partition(slot).usage().unwrap().0, 90);
}

/// The slot is made anew under the list: what was told before is all there was, and the list ends with the reason.
#[test]
fn a_slot_made_anew_while_keys_are_generated() {
    let it = Fixture::quick(1);
    let slot = SlotId(0);
    let elsewhere = Hsm::open(&it.path(), Access::ReadWrite).unwrap();
    elsewhere
        .partition(slot)
        .login(Role::Po, it.secret_of(0))
        .unwrap();
    let groups = keys(90).enumerate().map(|(index, key)| {
        if index == 70 {
            elsewhere.partition(slot).delete().unwrap();
        }
        Ok::<_, Error>(vec![key])
    });
    let mut failed = 0;
    let outcome = it.hsm.partition(slot).add_list(groups, 512, |added| {
        failed += added.iter().filter(|it| it.stored.is_err()).count();
        std::ops::ControlFlow::Continue(())
    });
    assert!(outcome.is_err() || failed > 0);
    assert!(it.hsm.partition(slot).find(handle(1)).is_err());
}

/// More than one batch, with a handle that names nothing in between: every other object arrives under its own handle.
#[test]
fn a_list_is_cloned_in_its_order() {
    let fixture = Fixture::quick(2);
    let all: Vec<_> = (0..80).map(|_| fixture.add_key(SlotId(0))).collect();
    let mut list: Vec<_> = all.iter().rev().copied().collect();
    list.insert(70, handle(9_999));
    let mut told = Vec::new();
    let which = Selection::These(list.clone());
    let clone = |which: &Selection, told: &mut Vec<_>| {
        let tell = |some: &[_]| {
            told.extend(
                some.iter()
                    .map(|(h, it): &(_, Result<_, _>)| (*h, it.as_ref().ok().copied())),
            )
        };
        fixture.slot(0).clone_list(SlotId(1), which, || false, tell)
    };
    clone(&which, &mut told).unwrap();
    let order: Vec<_> = told.iter().map(|it| it.0).collect();
    assert_eq!(order, list);
    for (handle, arrived) in &told {
        assert_eq!(
            arrived.map(|it| it.handle),
            all.contains(handle).then_some(*handle)
        );
    }
    told.clear();
    clone(&Selection::All, &mut told).unwrap();
    assert_eq!(told.len(), 80);
    assert!(
        told.iter()
            .all(|(_, it)| it.is_some_and(|it| it.became == Became::Already))
    );
}

#[test]
fn a_list_that_is_stopped_ends_between_batches() {
    let fixture = Fixture::quick(2);
    for _ in 0..70 {
        fixture.add_key(SlotId(0));
    }
    let asked = std::cell::Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) == 1;
    let mut told = 0;
    let to = SlotId(1);
    let slot = fixture.slot(0);
    slot.clone_list(to, &Selection::All, stop, |some| told += some.len())
        .unwrap();
    assert_eq!(told, 64);
    assert_eq!(fixture.slot(1).usage().unwrap().0, 64);
}

#[test]
fn what_cannot_be_cloned_is_said_before() {
    let v1 = Slot {
        v1: true,
        ..Slot::default()
    };
    let fixture = Fixture::of([v1, Slot::default()]);
    let added = fixture.add_key(SlotId(0));
    let mut refused = Vec::new();
    let slot = fixture.slot(0);
    let counts = slot.check_cloneable(SlotId(1), &Selection::All, |handle, why| {
        let not_for_v0 = matches!(why.slot_error(), Some(SlotError::NotForV0 { .. }));
        refused.push((handle, not_for_v0));
    });
    assert_eq!(counts.unwrap(), (0, 1));
    assert_eq!(refused, [(added, true)]);
    // Of a list, handles that name nothing are counted as well.
    let which = Selection::These(vec![handle(5), added]);
    let counts = fixture
        .slot(0)
        .check_cloneable(SlotId(0), &which, |handle, _| refused.push((handle, false)));
    assert_eq!(counts.unwrap(), (1, 1));
    assert_eq!(refused[1], (handle(5), false));
    fixture.slot(1).logout();
    let existing = fixture.slot(0).check_existing(SlotId(1), &which, |_, _| {});
    assert_slot_error!(existing, SlotError::NotLoggedIn);
}
