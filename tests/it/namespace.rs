//! Shell scripts in a mount namespace of their own: other tests do not see their mounts, and they see no other test's.

use std::process::Command;

use crate::fixture::Store;

/// What every script begins with. Inherited mounts go first, or the namespace would hold them and their daemons would not
/// end. At the end, also of a script that failed, its own go, and so do the processes that it named in `holders`; for this, a
/// script does not end by `exec`.
const PRELUDE: &str = r#"
set -eu
die() { echo "FAILED: $*" >&2; cat log store.db.log err >&2 2>/dev/null || :; exit 99; }
detach() {
    grep -F ' - fuse.slotfs ' /proc/self/mountinfo | cut -d' ' -f5 | while read -r at; do
        umount -l "$(printf '%b' "$at")" 2>/dev/null || :
    done
}
detach
m=$PWD/mnt holders=
at_exit() {
    for holder in $holders; do
        nsenter -m -t "$holder" umount -l "$m" 2>/dev/null || :
        kill "$holder" 2>/dev/null || :
    done
    detach
}
trap at_exit EXIT
is_alive() { [ -e "/proc/$1" ] && ! grep -q '^[0-9]* (.*) Z' "/proc/$1/stat" 2>/dev/null; }
ended() { # PID
    tries=0
    while is_alive "$1"; do
        tries=$((tries + 1)); [ $tries -lt 600 ] || die "process $1 does not end"
        sleep 0.05
    done
}
as_user() { setpriv --reuid nobody --regid nogroup --clear-groups env HOME="$PWD/home" XDG_STATE_HOME="$PWD/home/state" "$@"; }
"#;

/// A script with what it needs before it, in the store's folder. It knows the program as `$SLOTFS`, and the
/// store as `$STORE`.
pub fn script(store: &Store, functions: &str, script: &str) -> Command {
    let mut command = Command::new("unshare");
    command
        .args(["-m", "sh", "-c", &format!("{PRELUDE}{functions}\n{script}")])
        .current_dir(store.path(""))
        .env("SLOTFS", env!("CARGO_BIN_EXE_slotfs"))
        .env("STORE", store.location())
        .env("HOME", store.path(""))
        .env("XDG_STATE_HOME", store.path(".local/state"))
        .env("LC_ALL", "C");
    command
}
