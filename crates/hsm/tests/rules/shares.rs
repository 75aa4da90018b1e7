//! Key shares: gathered one by one, refused one by one, forgotten.

use std::time::Duration;

use slotfs_hsm::{Presented, SlotError};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_object::secret::SecretBytes;
use slotfs_seal::credential::ShareFault;

use crate::fixture::{Fixture, assert_slot_error, errno, password};

#[test]
fn shares_make_a_secret_once_they_are_enough() {
    let fixture = Fixture::quick(1);
    let texts: Vec<_> = fixture.shares.iter().map(|share| share.to_text()).collect();
    let slot = fixture.slot(0);
    let mut gathering = slot.gather(Role::Co).unwrap();
    assert_eq!((gathering.quorum().m(), gathering.quorum().n()), (2, 3));
    assert!(gathering.add("one", texts[0].bytes()).unwrap().is_none());
    let repeated = gathering.add("one", texts[0].bytes());
    assert_eq!(errno(repeated), libc::EALREADY);
    assert_slot_error!(
        gathering.add("text", b"no share at all"),
        SlotError::ShareRefused { .. }
    );
    // A share of another slot.
    let (_, others) = Fixture::secret(slot.row().unwrap().serial + 1);
    let other = gathering.add("other", others[1].to_text().bytes());
    assert_slot_error!(other, SlotError::ShareRefused { .. });
    // Those that were refused are forgotten, the first is not.
    assert_eq!(gathering.have(), 1);
    let secret = gathering.add("three", texts[2].bytes()).unwrap().unwrap();
    slot.logout();
    slot.login(Role::Co, &secret).unwrap();
    assert_slot_error!(slot.gather(Role::Cu).map(drop), SlotError::RoleMissing(_));
}

#[test]
fn shares_that_are_presented_wait_for_the_others() {
    let fixture = Fixture::quick(2);
    let texts: Vec<_> = fixture.shares.iter().map(|share| share.to_text()).collect();
    let slot = fixture.slot(1);
    slot.logout();
    let first = slot.present(Role::Co, &texts[0]).unwrap();
    assert_eq!(first, Presented::Share { have: 1, need: 2 });
    assert_eq!(slot.waiting_shares(), [(Role::Co, 1, 2)]);
    let again = slot.present(Role::Co, &texts[0]);
    assert_slot_error!(
        again,
        SlotError::ShareRefused {
            why: ShareFault::Repeated,
            ..
        }
    );
    // A share of one role is none of another's wait, and a password is no share.
    let po = slot.present(Role::Po, &texts[1]).unwrap();
    assert_eq!(po, Presented::Share { have: 1, need: 2 });
    let password = slot.present(Role::Co, &SecretBytes::from(b"correct horse".as_slice()));
    assert_slot_error!(password, SlotError::OtherAuthentication(_));
    assert_eq!(
        slot.present(Role::Co, &texts[2]).unwrap(),
        Presented::LoggedIn
    );
    assert!(slot.may_write().is_ok());
    assert_eq!(slot.waiting_shares(), [(Role::Po, 1, 2)]);
    // A logout forgets what waits for the slot; so does time.
    slot.logout();
    assert!(slot.waiting_shares().is_empty());
    slot.present(Role::Co, &texts[0]).unwrap();
    fixture.hsm.forget_shares_after(Duration::ZERO);
    assert!(slot.waiting_shares().is_empty());
    assert!(fixture.slot(0).session().is_ok());
    assert_eq!(slot.id().err().unwrap().outcome().errno, libc::ENOKEY);
}

#[test]
fn passwords_and_shares_do_not_stand_for_each_other() {
    let fixture = Fixture::quick(1);
    let refused = fixture.slot(0).login(Role::Co, &password());
    assert_slot_error!(refused, SlotError::OtherAuthentication(_));
    let refused = fixture.slot(0).init_role(Role::Cu, &password());
    assert_slot_error!(refused, SlotError::OtherAuthentication(_));
    assert!(fixture.hsm.partition(SlotId(9)).gather(Role::Co).is_err());
}
