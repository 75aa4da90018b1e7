//! A union by identity: objects both ways, later revisions, conflicts, verdicts.

use super::*;

/// "`synchronize` is a union by OUID ... idempotent (second run moves nothing)"
#[test]
fn every_member_gets_what_the_others_have() {
    let sites = Sites::group(&[A, B, C]);
    let a = sites.keys(A, &["a1", "a2"]);
    let b = sites.keys(B, &["b1"]);
    let c = sites.keys(C, &["c1"]);
    assert_eq!(sites.each("needs_sync"), [true; 3]);
    let out = sites.sync("").ok();
    for ouid in a.iter().chain(&b).chain(&c) {
        let lines = line(&out, ouid);
        assert_eq!(lines.len(), 2, "one verdict for each target: {lines:?}");
        assert!(
            lines.iter().all(|it| it.contains(" is now handle ")),
            "{lines:?}"
        );
    }
    assert!(out.stdout.contains("Last in sync: 20"), "{out:?}");
    for place in [A, B, C] {
        assert_eq!(sites.labels(place), ["a1", "a2", "b1", "c1"]);
    }
    assert_eq!(sites.each("needs_sync"), [false; 3]);
    let before: Vec<_> = [A, B, C].map(|it| sites.objects(it)).into();
    let again = sites.sync("--json").ok().json();
    let counts = ["copied", "revised", "already", "removed", "kept", "failed"];
    assert_eq!(
        counts.map(|it| again[it].as_u64().unwrap()),
        [0, 0, 8, 0, 0, 0]
    );
    assert_eq!(again["error"], Value::Null);
    assert!(again["in_sync_secs"].as_u64().is_some(), "{again}");
    assert_eq!([A, B, C].map(|it| sites.objects(it)).to_vec(), before);
    // Every object was told, and -quiet tells none of them.
    assert_eq!(again["objects"].as_array().unwrap().len(), 8);
    let quiet = sites.sync("-quiet").ok().stdout;
    assert!(!quiet.contains("Object "), "{quiet}");
    assert!(quiet.contains("8 already there"), "{quiet}");
}

/// "a renamed object differs; a higher revision replaces"
#[test]
fn a_later_revision_replaces_an_earlier_one_everywhere() {
    let sites = Sites::group(&[A, B, C]);
    let ouid = sites.keys(A, &["old"]).remove(0);
    sites.sync("").ok();
    // Not on the first member, and twice.
    sites.rename(B, "old", "newer");
    sites.rename(B, "newer", "newest");
    sites.rename(C, "old", "other");
    // C has revision 1, B has 2: a revision with a higher number replaces.
    assert_eq!(sites.each("needs_sync"), [true, false, true]);
    let out = sites.sync("").ok();
    let lines = line(&out, &ouid);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines.iter().all(|it| it.contains("is now revision 2")),
        "{lines:?}"
    );
    for place in [A, B, C] {
        assert_eq!(sites.labels(place), ["newest"]);
        assert_eq!(sites.objects(place)[&ouid].2, 2);
    }
    // What was replaced is in the trash, which does not make it removed.
    let again = sites.sync("--json").ok().json();
    assert_eq!((&again["already"], &again["kept"]), (&2.into(), &0.into()));
}

/// "same revision with other content is a conflict: nothing changes for it, exit 1"
#[test]
fn two_revisions_of_one_number_are_a_conflict() {
    let sites = Sites::group(&[A, B, C]);
    let ouid = sites.keys(A, &["same"]).remove(0);
    sites.sync("").ok();
    // Where it is free, an object has the same handle.
    assert_eq!(sites.handle(C, "same"), sites.handle(A, "same"));
    sites.rename(A, "same", "one");
    sites.rename(B, "same", "other");
    let fresh = sites.keys(A, &["fresh"]).remove(0);
    let before = [A, B, C].map(|it| sites.objects(it)[&ouid].clone());
    let out = sites.sync("").fails(1);
    let lines = line(&out, &ouid);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("is a conflict"), "{lines:?}");
    assert!(lines[0].contains("CKA_LABEL"), "{lines:?}");
    assert!(
        out.stdout.contains("CKR_FAILED_TO_CLONE_AN_OBJECT"),
        "{out:?}"
    );
    assert!(out.stderr.contains("slotfs object set"), "{out:?}");
    assert_eq!([A, B, C].map(|it| sites.objects(it)[&ouid].clone()), before);
    // The rest went on.
    for place in [B, C] {
        assert!(sites.objects(place).contains_key(&fresh));
    }
    assert!(sites.each("needs_sync").contains(&true.into()));
    // A revision that wins, as the hint says.
    sites.rename(B, "other", "agreed");
    sites.sync("").ok();
    for place in [A, B, C] {
        assert!(sites.labels(place).contains(&"agreed".to_owned()));
    }
}

/// "-require N counts members whose blob was read back equal in this run"
#[test]
fn require_names_what_too_few_members_hold() {
    let sites = Sites::group(&[A, B]);
    let kept = sites.keys(A, &["kept"]).remove(0);
    sites.sync("-require 2").ok();
    let single = sites.keys(A, &["single"]).remove(0);
    sites.sync("-require 2").ok();
    // Removed on purpose: named, and required of nobody.
    sites.delete(B, "single");
    let out = sites.sync("-require 2").ok();
    let last = line(&out, &single).pop().unwrap().to_owned();
    assert!(last.starts_with("Not required"), "{out:?}");
    assert!(!last.contains(&kept), "{out:?}");
    assert!(!out.stdout.contains("was read back"), "{out:?}");
    sites.sync("-require 1").ok();
    // With a member that is full.
    let sites = Sites::new(&[A]);
    sites.init(B, "-domainkey red.pem -capacity 1");
    sites.create(A).ok();
    sites.add(B).ok();
    sites.keys(A, &["one", "two"]);
    let out = sites.sync("-require 2").fails(1);
    assert!(out.stdout.contains("was not cloned to slot 1"), "{out:?}");
    assert!(out.stdout.contains("full"), "{out:?}");
    assert_eq!(
        out.stdout.matches("was read back from 1 of 2").count(),
        1,
        "{out:?}"
    );
    assert_eq!(sites.objects(B).len(), 1);
}

/// "a wrong domain: per-object verdict, the rest goes on": a member whose domain was changed after it was added.
#[test]
fn objects_of_another_domain_fail_one_by_one() {
    let sites = Sites::group(&[A, B, C]);
    let ouid = sites.keys(A, &["a"]).remove(0);
    sites.0.domain("blue");
    sites
        .in_slot(
            B,
            "partition domainadd -domainkey blue.pem -domainlabel blue -primary",
        )
        .ok();
    sites
        .in_slot(B, "partition domaindelete -domainlabel primary -force")
        .ok();
    let out = sites.sync("").fails(1);
    let lines = line(&out, &ouid);
    let refused = lines
        .iter()
        .filter(|it| it.contains("was not cloned to slot 1"));
    assert_eq!(refused.count(), 1, "{lines:?}");
    assert!(out.stderr.contains("domain"), "{out:?}");
    assert_eq!(sites.labels(C), ["a"]);
    assert_eq!(sites.labels(B), [""; 0]);
    let listed = sites.listed();
    assert_eq!(listed["in_sync_secs"], Value::Null, "never wholly in sync");
}

/// A member that may not take keys in, by its policy.
#[test]
fn a_policy_keeps_back_what_it_keeps_back() {
    let sites = Sites::group(&[A, B]);
    sites.keys(A, &["a"]);
    sites
        .in_slot(B, "partition changepolicy -policy 4 -value 0")
        .ok();
    let out = sites.sync("").fails(1);
    assert!(out.stdout.contains("policy forbids taking in"), "{out:?}");
}
