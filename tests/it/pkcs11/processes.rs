//! What processes do to a module: fork, exit, dlopen and dlclose.

use super::Served;
use crate::fixture::run;

/// Runs a program of scripts/pkcs11/c, which ends with 1 at the first thing that is not as it must be.
#[track_caller]
fn passes(name: &str) -> String {
    let served = Served::new();
    let program = served.compiled(name);
    run(&mut served.of_slot(&program, 0)).ok().stdout
}

/// Two processes see each other's changes; a forked child is a new application; four processes make keys at once.
#[test]
fn processes_and_forked_children_see_the_same_token() {
    let told = passes("coherence");
    assert!(
        told.contains("keys of four processes, 25 each: 0x64"),
        "{told}"
    );
}

/// As OpenSSL's cleanup does.
#[test]
fn the_module_can_be_called_by_the_last_exit_handler() {
    assert!(passes("exit_order").contains("late: "));
}

#[test]
fn the_module_can_be_closed_in_threads() {
    assert!(passes("unload").contains("20 times"));
}

/// No cryptography, no threads, no store: nothing but the C library.
#[test]
fn the_module_needs_nothing_but_the_c_library() {
    let served = Served::new();
    let needed = served
        .sh("readelf -d \"$MODULE\" | sed -n 's/.*(NEEDED).*\\[\\(.*\\)\\].*/\\1/p'")
        .ok()
        .stdout;
    for library in needed.lines() {
        assert!(
            [
                "libc.so.6",
                "libgcc_s.so.1",
                "ld-linux-x86-64.so.2",
                "libm.so.6"
            ]
            .contains(&library),
            "{needed}"
        );
    }
    let flags = served
        .sh("readelf -d \"$MODULE\" | grep FLAGS_1")
        .ok()
        .stdout;
    assert!(flags.contains("NODELETE"), "{flags}");
}

/// p11-kit loads the module into every process with GnuTLS or NSS: without a store there is nothing to see and nothing to start.
#[test]
fn nothing_is_started_without_a_store() {
    let served = Served::new();
    let mut command = served.program("pkcs11-tool");
    command
        .arg("--module")
        .arg(super::module())
        .arg("--list-token-slots")
        .env("SLOTFS_STORE", served.store.path("none.db"));
    let out = run(&mut command);
    assert!(!out.text().contains("token label"), "{out:?}");
    assert!(served.servers().is_empty());
    assert!(!served.store.path("none.db").exists());
}
