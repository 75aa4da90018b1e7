//! Members that are not there, and come back.

use std::fs;

use super::*;

fn move_store(sites: &Sites, from: &str, to: &str) {
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (
            sites.0.path(format!("{from}{end}")),
            sites.0.path(format!("{to}{end}")),
        );
        if from.exists() {
            fs::rename(from, to).unwrap();
        }
    }
}

/// "an HA group whose member was away for a day": both sides go on meanwhile.
#[test]
fn a_member_that_was_away_for_a_day_comes_back() {
    let sites = Sites::group(&[A, C]);
    sites.keys(A, &["kept", "renamed-here", "removed-here"]);
    sites.keys(C, &["renamed-there", "removed-there"]);
    sites.sync("").ok();
    let in_sync = sites.listed()["in_sync_secs"].clone();
    // The site goes, and its store with it.
    move_store(&sites, "other.db", "away.db");
    sites.keys(A, &["made-here"]);
    sites.rename(A, "renamed-here", "renamed-here-2");
    sites.delete(A, "removed-here");
    let out = sites.sync("").fails(1);
    assert!(out.stdout.contains("takes no part, it is down"), "{out:?}");
    assert!(
        out.stderr.contains("fewer than two of its members"),
        "{out:?}"
    );
    assert!(out.stdout.contains("CKR_CLONE_NOT_ATTEMPTED"), "{out:?}");
    assert_eq!(sites.each("status"), ["alive", "down"]);
    assert_eq!(sites.each("needs_sync"), [false.into(), Value::Null]);
    assert_eq!(sites.listed()["in_sync_secs"], in_sync);
    // There, it is in use.
    let there = ("away.db", 0);
    fs::copy(sites.0.path(file(C)), sites.0.path(file(there))).unwrap();
    sites.keys(there, &["made-there"]);
    sites.rename(there, "renamed-there", "renamed-there-2");
    sites.delete(there, "removed-there");
    // And comes back. Removals are respected on both sides, and nothing else is lost.
    move_store(&sites, "away.db", "other.db");
    let out = sites.sync("").ok();
    assert_eq!(
        out.stdout.matches("was not put back on").count(),
        2,
        "{out:?}"
    );
    let everywhere = [
        "kept",
        "made-here",
        "made-there",
        "renamed-here-2",
        "renamed-there-2",
    ];
    let with = |label: &str| {
        let mut all: Vec<String> = everywhere.iter().map(|it| (*it).to_owned()).collect();
        all.push(label.to_owned());
        all.sort();
        all
    };
    assert_eq!(sites.labels(A), with("removed-there"));
    assert_eq!(sites.labels(C), with("removed-here"));
    // The first member's removals are carried out when that is asked for.
    sites.sync("-delete -force").ok();
    assert_eq!(sites.labels(C), everywhere);
    assert_eq!(sites.labels(A), with("removed-there"));
    let again = sites.sync("--json").ok().json();
    assert_eq!(
        (&again["copied"], &again["revised"]),
        (&0.into(), &0.into())
    );
    assert!(sites.listed()["in_sync_secs"].as_u64() >= in_sync.as_u64());
}

/// Of three, the two that are there go on, and the one that is away loses nothing.
#[test]
fn the_others_go_on_without_it() {
    let sites = Sites::group(&[A, B, C]);
    sites.keys(A, &["old"]);
    sites.sync("").ok();
    move_store(&sites, "other.db", "away.db");
    sites.keys(B, &["new"]);
    sites.delete(A, "old");
    let out = sites.sync("-delete -force").fails(1);
    assert!(
        out.stderr
            .contains("these members took no part: slot 0 of "),
        "{out:?}"
    );
    assert!(out.stderr.contains("other.db"), "{out:?}");
    assert_eq!(sites.labels(A), ["new"]);
    assert_eq!(sites.labels(B), ["new"]);
    move_store(&sites, "away.db", "other.db");
    assert_eq!(sites.labels(C), ["old"]);
    sites.sync("-delete -force").ok();
    assert_eq!(sites.labels(C), ["new"]);
}

/// The first member is away: nothing is removed because of it.
#[test]
fn a_first_member_that_is_away_removes_nothing() {
    let sites = Sites::group(&[C, A, B]);
    sites.keys(C, &["old"]);
    sites.sync("").ok();
    sites.delete(C, "old");
    move_store(&sites, "other.db", "away.db");
    sites.keys(B, &["new"]);
    sites.sync("-delete -force").fails(1);
    for place in [A, B] {
        assert_eq!(sites.labels(place), ["new", "old"]);
    }
    move_store(&sites, "away.db", "other.db");
    sites.sync("-delete -force").ok();
    for place in [A, B, C] {
        assert_eq!(sites.labels(place), ["new"]);
    }
}

/// "a re-initialised member" is not taken for the old one, and `recover` takes it in when that is meant.
#[test]
fn a_slot_that_was_initialized_again_is_recovered() {
    let sites = Sites::group(&[A, B, C]);
    sites.keys(A, &["a"]);
    sites.keys(C, &["c"]);
    sites.sync("").ok();
    sites.init(B, "-domainkey red.pem");
    let out = sites.sync("").fails(1);
    assert!(
        out.stdout.contains("takes no part, it is re-initialized"),
        "{out:?}"
    );
    assert!(out.stderr.contains("hagroup recover"), "{out:?}");
    assert_eq!(sites.labels(B), [""; 0]);
    let out = sites.ha("recover -group pay -slot 1").fails(1);
    assert!(out.stderr.contains("would take the place of"), "{out:?}");
    assert!(out.stderr.contains("use -force to proceed"), "{out:?}");
    let out = sites.ha("recover -group pay -slot 1 -force").ok();
    assert!(out.stdout.contains("2 objects copied"), "{out:?}");
    assert_eq!(sites.labels(B), ["a", "c"]);
    assert_eq!(sites.each("status"), ["alive"; 3]);
    // Again: nothing to ask, nothing to move.
    let again = sites.ha("recover -group pay -slot 1 --json").ok().json();
    assert_eq!(
        (&again["copied"], &again["already"]),
        (&0.into(), &2.into())
    );
    sites.sync("").ok();
    // With another domain it is not taken.
    sites.0.domain("blue");
    sites.init(B, "-domainkey blue.pem");
    let out = sites.ha("recover -group pay -slot 1 -force").fails(1);
    assert!(
        out.stderr.contains("no cloning domain in common"),
        "{out:?}"
    );
    // The first one is what the others are recovered from.
    let out = sites.ha("recover -group pay -slot 0").fails(1);
    assert!(
        out.stderr
            .contains("the first member is what the others are recovered from"),
        "{out:?}"
    );
}

/// One way: what only the member has stays there, until the group is synchronized.
#[test]
fn recover_gives_a_member_what_the_first_has() {
    let sites = Sites::group(&[A, B]);
    sites.keys(A, &["first"]);
    sites.keys(B, &["second"]);
    sites.ha("recover -group pay").ok();
    assert_eq!(sites.labels(A), ["first"]);
    assert_eq!(sites.labels(B), ["first", "second"]);
    sites.sync("").ok();
    assert_eq!(sites.labels(A), ["first", "second"]);
}

/// A slot that is gone.
#[test]
fn a_partition_that_was_deleted_is_down() {
    let sites = Sites::group(&[A, B, C]);
    sites.keys(A, &["a"]);
    sites.in_slot(B, "partition delete -force").ok();
    let out = sites.sync("").fails(1);
    assert!(
        out.stdout
            .contains("there is no partition in the slot any more"),
        "{out:?}"
    );
    assert_eq!(sites.labels(C), ["a"]);
    assert_eq!(sites.each("status"), ["alive", "down", "alive"]);
}
