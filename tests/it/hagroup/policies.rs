//! Policies of a member: they keep blobs from leaving, and nothing else.

use super::*;

fn forbid(sites: &Sites, place: Place) {
    for policy in [0, 4] {
        sites
            .in_slot(
                place,
                &format!("partition changepolicy -policy {policy} -value 0 -force"),
            )
            .ok();
    }
}

/// What may not leave one member comes from another that has the same.
#[test]
fn another_member_gives_what_one_may_not() {
    let sites = Sites::group(&[A, B, C]);
    let ouid = sites.keys(A, &["key"]).remove(0);
    sites.sync("").ok();
    sites.delete(C, "key");
    sites.in_slot(C, "object destroy -trash all -force").ok();
    forbid(&sites, A);
    let out = sites.sync("").ok();
    assert!(
        line(&out, &ouid)
            .iter()
            .any(|it| it.contains(", from slot 1 of ")),
        "{out:?}"
    );
    assert_eq!(sites.labels(C), ["key"]);
}

/// Comparing and removing take no blob out.
#[test]
fn what_may_not_leave_is_compared_and_removed() {
    let sites = Sites::group(&[A, B]);
    let changed = sites.keys(A, &["changed", "removed"]).remove(0);
    sites.sync("").ok();
    sites.rename(A, "changed", "here");
    sites.rename(B, "changed", "there");
    sites.delete(A, "removed");
    forbid(&sites, A);
    forbid(&sites, B);
    let out = sites.sync("-delete -force").fails(1);
    assert!(line(&out, &changed)[0].contains("is a conflict"), "{out:?}");
    assert!(out.stdout.contains(" is in the trash of "), "{out:?}");
    assert_eq!(sites.labels(B), ["there"]);
}
