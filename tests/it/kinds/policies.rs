//! Capabilities and policies, with lunacm's numbers.

use serde_json::Value;

use super::{FAILED, USAGE, aes, init, login, run_in};
use crate::fixture::Store;

fn policies(store: &Store, slot: u32) -> Vec<(u64, u64, u64)> {
    let out = store.run(&format!("partition showpolicies -slot {slot} --json"));
    let number = |policy: &Value, key: &str| policy[key].as_u64().unwrap();
    let document = out.ok().json();
    let policies = document["policies"].as_array().unwrap();
    policies
        .iter()
        .map(|it| {
            (
                number(it, "policy"),
                number(it, "capability"),
                number(it, "value"),
            )
        })
        .collect()
}

/// As po, whose password or shares are co's.
fn change(store: &Store, slot: u32, policy: u32, value: u32) -> crate::fixture::Out {
    let login = login(store, slot).replace(&format!("{slot}="), &format!("{slot}:po="));
    store.run_without_terminal(&format!(
        "partition changepolicy -policy {policy} -value {value} -slot {slot} {login}"
    ))
}

#[test]
fn capability_and_policy_are_two_things() {
    let store = Store::empty();
    init(&store, 0, None, 0);
    init(&store, 1, Some("2/3"), 1);
    let common = vec![(0, 1, 1), (1, 1, 0), (4, 1, 1), (5, 1, 0)];
    assert_eq!(
        policies(&store, 0),
        [common.clone(), vec![(20, 10, 10), (1000, 1, 0)]].concat()
    );
    // Nobody guesses at key shares.
    assert_eq!(policies(&store, 1), [common, vec![(1000, 1, 0)]].concat());
    for (slot, policy, value, code, words) in [
        (
            0,
            1,
            1,
            FAILED,
            "0x8000007d (CKR_CONFIG_FAILS_DEPENDENCIES)",
        ),
        (1, 20, 3, FAILED, "0x80000030 (CKR_OPERATION_NOT_ALLOWED)"),
        (0, 0, 2, USAGE, "0x7 (CKR_ARGUMENTS_BAD)"),
        (0, 20, 11, USAGE, "0x7 (CKR_ARGUMENTS_BAD)"),
        (0, 20, 0, USAGE, "0x7 (CKR_ARGUMENTS_BAD)"),
    ] {
        let out = change(&store, slot, policy, value).fails(code);
        assert!(out.stdout.contains(words), "{out:?}");
    }
    change(&store, 0, 0, 0).ok();
    let out = store.run("partition showinfo -slot 0").ok();
    assert!(
        out.stdout.contains("Cloning Mode, private keys stay"),
        "{out:?}"
    );
    change(&store, 0, 4, 0).ok();
    let out = store.run("partition showinfo -slot 0").ok();
    assert!(out.stdout.contains("No Backup Mode"), "{out:?}");
    // Keys were promised not to leave wrapped either.
    let out = change(&store, 0, 1, 1).fails(FAILED);
    assert!(out.stderr.contains("would destroy"), "{out:?}");
    store
        .run("partition changepolicy -policy 1 -value 1 -slot 0 -force --password-file 0:po=pw-0")
        .ok();
    let out = store.run("partition showinfo -slot 0").ok();
    assert!(out.stdout.contains("Key Export Mode"), "{out:?}");
    let out = change(&store, 0, 0, 1).fails(FAILED);
    assert!(
        out.stdout.contains("CKR_CONFIG_FAILS_DEPENDENCIES"),
        "{out:?}"
    );
}

/// Several in one command, all of them or none.
#[test]
fn several_policies_at_once() {
    let store = Store::empty();
    init(&store, 0, None, 0);
    let po = "-slot 0 --password-file 0:po=pw-0";
    let run =
        |line: &str| store.run_without_terminal(&format!("partition changepolicy {line} {po}"));
    run("-policy 0,4 -value 0").fails(USAGE);
    run("-policy 0,1 -value 0,1").fails(FAILED);
    assert_eq!(policies(&store, 0)[0], (0, 1, 1));
    run("-policy 0,4,20 -value 0,0,3").ok();
    let values: Vec<u64> = policies(&store, 0).iter().map(|it| it.2).collect();
    assert_eq!(values, [0, 0, 0, 0, 3, 0]);
    let out = run("-policy 0,4 -value 1,1").fails(FAILED);
    assert!(
        out.stderr
            .contains("turning on policy 0 and 4 of slot 0 would destroy"),
        "{out:?}"
    );
    let out = store.run("partition showpolicies -slot 0 -verbose").ok();
    assert!(out.stdout.contains("Destructive"), "{out:?}");
    assert!(
        out.stdout
            .contains("1       Allow private key wrapping      0      off to on"),
        "{out:?}"
    );
}

/// Says exactly what is lost, asks, clears the slot; roles, domains and the storage master key stay.
#[test]
fn a_destructive_change_says_what_is_lost() {
    let store = Store::empty();
    init(&store, 0, Some("2/3"), 1);
    change(&store, 0, 4, 0).ok();
    aes(&store, 0, 3);
    run_in(&store, 0, "object delete -handle 2 -force").ok();
    let before = run_in(&store, 0, "partition smklist").ok().stdout;
    let out = change(&store, 0, 4, 1).fails(FAILED);
    assert!(
        out.stderr.contains("2 objects, and 1 in the trash"),
        "{out:?}"
    );
    let kept = run_in(&store, 0, "partition contents --json").ok().json();
    assert_eq!(kept["objects"].as_array().unwrap().len(), 2);
    let po = login(&store, 0).replace("0=", "0:po=");
    let out = store
        .run(&format!(
            "partition changepolicy -policy 4 -value 1 -slot 0 -force {po}"
        ))
        .ok();
    assert!(
        out.stdout.contains("2 objects on slot 0 were destroyed"),
        "{out:?}"
    );
    let left = run_in(&store, 0, "partition contents --json").ok().json();
    assert_eq!(left["objects"].as_array().unwrap().len(), 0);
    let trash = run_in(&store, 0, "object trash --json").ok().json();
    assert_eq!(trash["trash"].as_array().unwrap().len(), 0);
    assert_eq!(run_in(&store, 0, "partition smklist").ok().stdout, before);
}
