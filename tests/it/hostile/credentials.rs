//! Rows that say how a password is tried.

use std::process::Command;

use super::{door, doors, mount_and_read, remove, tampered, victim};
use crate::fixture::{Store, run};

const LOGIN: &str = "role login -name co -slot 0 --password-file 0=pw-0";

/// The most memory that a login took, in KiB, and what it said.
fn login_with_peak(store: &Store, name: &str) -> (u64, String) {
    let slotfs = store.bare(&["--store", name]);
    let mut command = Command::new("python3");
    command
        .arg("-c")
        .arg(
            "import resource, subprocess, sys
subprocess.run(sys.argv[1:])
print('peak', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)",
        )
        .arg(slotfs.get_program())
        .args(slotfs.get_args())
        .args(LOGIN.split_whitespace())
        .current_dir(store.path(""))
        .env_remove("SLOTFS_LOG");
    let out = run(&mut command).ok();
    let peak = out.stdout.lines().find_map(|it| it.strip_prefix("peak "));
    (peak.unwrap().parse().unwrap(), out.text())
}

/// "Accepted on read, before anything is allocated: 19 MiB to 1 GiB, t 1 to 16, p 1 to 16".
#[test]
fn absurd_argon2_costs_are_refused_before_memory_is_taken() {
    let (store, blobs) = victim(1);
    // Whatever a new password costs here (the feature light): what 64 MiB look like.
    tampered(
        &store,
        "copy.db",
        "UPDATE credentials SET memory_kib = 65536 WHERE slot = 0",
    );
    let (honest, _) = login_with_peak(&store, "copy.db");
    remove(&store, "copy.db");
    assert!(honest > 64 * 1024, "64 MiB are taken: {honest} KiB");
    for cost in [
        "memory_kib = 1048577",
        "memory_kib = 4294967295",
        "memory_kib = 2147483648",
        "memory_kib = 19455",
        "memory_kib = 0",
        "passes = 17",
        "passes = 4294967295",
        "passes = 0",
        "lanes = 17",
        "lanes = 0",
        "lanes = 4294967295",
        // Not even numbers of 32 bits.
        "memory_kib = 9223372036854775807",
        "passes = -1",
        "lanes = 4294967296",
    ] {
        tampered(
            &store,
            "copy.db",
            &format!("UPDATE credentials SET {cost} WHERE slot = 0"),
        );
        let (peak, said) = login_with_peak(&store, "copy.db");
        assert!(
            said.contains("CKR_DEVICE_ERROR") && !said.contains("panicked"),
            "{cost}: {said}"
        );
        // Under what the least cost that is accepted takes beside the program itself.
        assert!(peak < honest - 48 * 1024, "{cost}: {peak} of {honest} KiB");
        let read = mount_and_read(&store, "copy.db", &blobs);
        assert!(read.refused.is_some(), "{cost}");
        remove(&store, "copy.db");
    }
}

/// Salts, commitments and wrapped keys of other lengths, and rows that are of nobody.
#[test]
fn credentials_of_a_wrong_shape_open_nothing() {
    let (store, _) = victim(1);
    for change in [
        "salt = x''",
        "salt = zeroblob(15)",
        "salt = zeroblob(100000)",
        "commitment = x''",
        "commitment = CAST(substr(commitment, 1, 31) AS BLOB)",
        "commitment = CAST(commitment || x'00' AS BLOB)",
        "wrapped = x''",
        "wrapped = substr(wrapped, 1, 59)",
        "wrapped = CAST(wrapped || x'00' AS BLOB)",
        "wrapped = zeroblob(1000000)",
        "role = 9",
        "role = -1",
        "role = 9223372036854775807",
        "failures = -1",
        "failures = 9223372036854775807",
        "id = -1",
    ] {
        let change = format!("UPDATE credentials SET {change} WHERE slot = 0 AND role = 2");
        tampered(&store, "copy.db", &change);
        let out = door(&store, "copy.db", LOGIN);
        assert!(
            out.code == 3 || out.code == 4 || out.code == 1,
            "{change}: {out:?}"
        );
        doors(&store, "copy.db");
        door(
            &store,
            "copy.db",
            "partition contents -slot 1 --password-file 1=pw-1",
        )
        .ok();
        remove(&store, "copy.db");
    }
}

/// The count of failed logins is in clear: "It stops who can reach `login`, not who can copy the file".
#[test]
fn a_failure_count_put_back_buys_attempts_and_nothing_else() {
    let (store, _) = victim(1);
    tampered(
        &store,
        "copy.db",
        "UPDATE credentials SET failures = 10 WHERE slot = 0 AND role = 2",
    );
    let out = door(&store, "copy.db", LOGIN).fails(3);
    assert!(out.text().contains("CKR_USER_LOCKED_OUT"), "{out:?}");
    // As documented, the file's owner can take the lock off; the password is still needed.
    tampered(
        &store,
        "copy.db",
        "UPDATE credentials SET failures = 0 WHERE slot = 0 AND role = 2",
    );
    let wrong = LOGIN.replace("pw-0", "pw-1");
    let out = door(&store, "copy.db", &wrong).fails(3);
    assert!(out.text().contains("9 attempts left"), "{out:?}");
    door(&store, "copy.db", LOGIN).ok();
}
