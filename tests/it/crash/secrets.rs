//! Every change of a secret, and the logins that change a slot, each dying at each of its points. Afterwards the role whose
//! secret was changed logs in with the new one or with the old one, and the other roles log in.

use super::at_each_point::{Secrets, before_or_after, die_at_each_point};
use super::base::Base;
use super::run::Operation;

#[test]
fn changepw_dies_at_each_point() {
    die_at_each_point(
        "`role changepw` of co",
        &Base::with_roles(),
        Operation::Command(
            "role changepw -name co -newpasswordfile new -slot 0 --password-file 0=pw-0",
        ),
        Secrets::Change("co"),
        before_or_after,
    );
}

#[test]
fn changepw_of_po_dies_at_each_point() {
    die_at_each_point(
        "`role changepw` of po",
        &Base::with_roles(),
        Operation::Command(
            "role changepw -name po -newpasswordfile new -slot 0 --password-file 0:po=po-0",
        ),
        Secrets::Change("po"),
        before_or_after,
    );
}

#[test]
fn resetpw_dies_at_each_point() {
    die_at_each_point(
        "`role resetpw` of cu",
        &Base::with_roles(),
        Operation::Command(
            "role resetpw -name cu -newpasswordfile new -slot 0 --password-file 0:po=po-0",
        ),
        Secrets::Change("cu"),
        before_or_after,
    );
}

/// po and co have the same shares, and get the same new ones.
#[test]
fn shares_issued_again_die_at_each_point() {
    die_at_each_point(
        "`role changepw` of po and co, shares",
        &Base::with_shares(),
        Operation::Command(
            "role changepw -name co -shares new -slot 0 --share-file 0=shares/share-2-of-3 --share-file 0=shares/share-3-of-3",
        ),
        Secrets::Change("co"),
        before_or_after,
    );
}

/// Another role's secret was changed: the login renews the authentication key, and with it the credential.
#[test]
fn a_login_that_renews_dies_at_each_point() {
    die_at_each_point(
        "login that renews a credential",
        &Base::with_roles().changed("cu"),
        Operation::Command("role login -name co -slot 0 --password-file 0=pw-0"),
        Secrets::Stay,
        before_or_after,
    );
}

/// The schema is upgraded, after a copy was made, and the credential turned into a pair.
#[test]
fn a_login_to_a_store_of_schema_3_dies_at_each_point() {
    die_at_each_point(
        "login to a store of schema 3",
        &Base::of_schema_3(),
        Operation::Command("role login -name co -slot 0 --password-file 0=pw-0"),
        Secrets::Stay,
        before_or_after,
    );
}

/// A secret was changed before every role had a pair; the login that makes the last one gives the slot another key.
#[test]
fn a_login_that_makes_the_slot_key_that_was_due_dies_at_each_point() {
    die_at_each_point(
        "login that makes the slot key that was due",
        &Base::of_schema_3().changed("co").logged_in("po"),
        Operation::Command("role login -name cu -slot 0 --password-file 0:cu=cu-0"),
        Secrets::Stay,
        before_or_after,
    );
}
