//! The daemon unmounts only its own mount; `umount` names what still holds it; paths are bytes.
//!
//! Each test runs in a mount namespace of its own, so its mounts are invisible to other tests.

use std::fs;
use std::path::Path;

use crate::fixture::{Out, STATE, Store, is_mounted, names, run};
use crate::namespace;

/// Functions for the scripts.
const FUNCTIONS: &str = r#"
daemon() { sed -n 's/^pid //p' "$1/.slotfs/stats"; }
# Every thread: one that runs still answers.
stopped() { # PID
    kill -STOP "$1"; tries=0
    while grep -hL '^[0-9]* (.*) T' "/proc/$1"/task/*/stat | grep -q .; do
        tries=$((tries + 1)); [ $tries -lt 600 ] || die "daemon $1 does not stop"
        sleep 0.05
    done
}
slotfs() { "$SLOTFS" --store "$STORE" "$@"; }
serve() { slotfs mount "$1" --login 0 --password-file 0=pw-0 --log store.db.log; }
type_at() { awk -v at="$1" '$5 == at { for (i = 6; i < NF; i++) if ($i == "-") kind = $(i + 1) } END { print kind }' /proc/self/mountinfo; }
"#;

/// Runs a script in a mount namespace of its own, in the store's folder.
#[track_caller]
fn in_namespace(store: &Store, script: &str) -> Out {
    run(&mut namespace::script(store, FUNCTIONS, script)).ok()
}

fn store_with_a_key() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 1);
    store
}

/// A bind mount below ours survives, whoever unmounts ours and however; its type is `fuse.slotfs`.
#[test]
fn a_mount_below_survives() {
    in_namespace(
        &store_with_a_key(),
        r#"
        mkdir data; echo kept > data/below
        mount --bind data "$m"
        for how in 'slotfs umount' umount 'umount -l' 'fusermount3 -u' 'fusermount3 -uz' TERM INT QUIT XCPU USR1 ALRM; do
            serve "$m"
            [ "$(type_at "$m")" = fuse.slotfs ] || die "type $(type_at "$m")"
            pid=$(daemon "$m")
            case $how in
            TERM | INT | QUIT | XCPU | USR1 | ALRM) kill -"$how" "$pid" ;;
            *) $how "$m" ;;
            esac
            ended "$pid"
            [ "$(cat "$m/below")" = kept ] || die "$how took the mount below"
        done
        umount "$m"
        "#,
    );
}

/// A daemon that does not answer keeps no command waiting for ever: its mount is detached, and that is told.
#[test]
fn a_stopped_daemon() {
    in_namespace(
        &store_with_a_key(),
        r#"
        serve "$m"; pid=$(daemon "$m")
        stopped "$pid"
        status=0; slotfs mount "$m" 2>err || status=$?
        [ $status = 5 ] || die "mount: exit $status: $(cat err)"
        grep -q 'does not answer' err || die "$(cat err)"
        status=0; slotfs umount "$m" 2>err || status=$?
        [ $status = 5 ] || die "umount: exit $status: $(cat err)"
        grep -q 'does not answer' err || die "$(cat err)"
        [ -z "$(type_at "$m")" ] || die "it is mounted still"
        kill -CONT "$pid"; ended "$pid"
        serve "$m"; slotfs umount "$m"
        "#,
    );
}

/// What is mounted at the same path at once, ours or another's, survives the end of the first daemon.
#[test]
fn a_new_mount_survives() {
    in_namespace(
        &store_with_a_key(),
        r#"
        for round in 1 2; do
            serve "$m"; pid=$(daemon "$m")
            umount "$m" && mount -t tmpfs other "$m"
            ended "$pid"
            [ "$(type_at "$m")" = tmpfs ] || die "the tmpfs is gone"
            umount "$m"
            serve "$m"; pid=$(daemon "$m")
            umount "$m"; serve "$m"
            ended "$pid"
            [ -e "$m/0/1" ] || die "the second daemon's mount is gone"
            pid=$(daemon "$m"); slotfs umount "$m"; ended "$pid"
        done
        [ -z "$(type_at "$m")" ] || die "something is left"
        "#,
    );
}

/// Another mount on top: a signal logs out, says so, and ends the daemon without touching it.
#[test]
fn a_mount_on_top_survives() {
    in_namespace(
        &store_with_a_key(),
        r#"
        serve "$m"; pid=$(daemon "$m")
        mount -t tmpfs other "$m"; echo kept > "$m/top"
        slotfs umount "$m" 2>err && die "umount of a tmpfs"
        grep -q 'is not mounted by slotfs' err || die "$(cat err)"
        kill -TERM "$pid"; ended "$pid"
        [ "$(cat "$m/top")" = kept ] || die "the mount on top is gone"
        grep -q 'another mount lies on top' store.db.log || die "not said"
        umount "$m"
        serve "$m" 2>err && die "mounted over a dead mount"
        grep -q 'was left behind' err || die "$(cat err)"
        slotfs umount "$m"
        serve "$m"; slotfs umount "$m"
        "#,
    );
}

/// Another namespace holds the mount: `umount` fails and names the process, and the keys are gone.
#[test]
fn another_namespace_is_named() {
    in_namespace(
        &store_with_a_key(),
        r#"
        serve "$m"; pid=$(daemon "$m")
        mkfifo held
        unshare -m sh -c 'echo > held; exec sleep 600' & holder=$!; holders=$holder
        cat held > none
        status=0; slotfs umount "$m" 2>err || status=$?
        [ $status = 5 ] || die "exit $status: $(cat err)"
        grep -q "process $holder (" err || die "$holder is not named: $(cat err)"
        is_alive "$pid" || die "it ended all the same"
        grep -q 'every slot is logged out' store.db.log || die "logged in still"
        nsenter -m -t $holder cat "$m/0/1" 2>err && die "read without a login"
        grep -qi 'required key' err || die "$(cat err)"
        kill $holder; ended "$pid"
        serve "$m"; slotfs umount "$m"
        "#,
    );
}

/// A bind mount is a copy: it comes and goes; while it is there, the end of the first is told.
#[test]
fn bind_mounts() {
    in_namespace(
        &store_with_a_key(),
        r#"
        mkdir copy slot
        serve "$m"; pid=$(daemon "$m")
        mount --bind "$m" copy; mount --bind "$m/0" slot
        slotfs umount copy || die "a copy alone"
        slotfs umount slot || die "a copy of a slot alone"
        [ -e "$m/0/1" ] || die "the first is gone too"
        cat "$m/0/1" > none || die "logged out"
        mount --bind "$m" copy
        status=0; slotfs umount "$m" 2>err || status=$?
        [ $status = 5 ] || die "exit $status"
        grep -q "the mount at $PWD/copy" err || die "$(cat err)"
        ls copy/0 2> err && die "logged in still"
        slotfs umount copy || :
        ended "$pid"
        "#,
    );
}

/// `mount --move` keeps the mount what it is: logged in, and unmounted where it is now.
#[test]
fn a_moved_mount() {
    in_namespace(
        &store_with_a_key(),
        r#"
        mkdir elsewhere
        for how in 'slotfs umount elsewhere' 'kill -TERM $pid'; do
            serve "$m"; pid=$(daemon "$m")
            mount --move "$m" elsewhere
            mount -t tmpfs other "$m"
            cat elsewhere/0/1 > none || die "logged out by the move"
            eval "$how"; ended "$pid"
            [ -z "$(type_at "$PWD/elsewhere")" ] || die "it is there still"
            [ "$(type_at "$m")" = tmpfs ] || die "the mount at the old path is gone"
            umount "$m"
        done
        "#,
    );
}

/// Paths are bytes: what others have mounted, our own mountpoint, the store, the log.
#[test]
fn paths_are_bytes() {
    in_namespace(
        &store_with_a_key(),
        r#"
        odd=$(printf 'caf\351'); mkdir "$odd"; mount -t tmpfs none "$odd"
        serve "$m"
        serve "$m" 2>err && die "mounted twice"
        grep -q 'mounted by slotfs already' err || die "$(cat err)"
        kill -9 "$(daemon "$m")"
        slotfs umount "$m" || die "a stale mount"
        lines=$(printf 'two\nlines')
        for name in "$odd/mnt" 'a b' 'back\slash\040x' 'tab	x' "$lines" 'hash#x' 'é'; do
            mkdir "$name"
            serve "$name"; pid=$(daemon "$name")
            serve "$name" 2>err && die "mounted twice: $name"
            [ "$(wc -l < err)" -le 2 ] || die "a message of more lines: $(cat err)"
            slotfs umount "$name" || die "umount of $name"
            ended "$pid"
        done
        serve "$odd/mnt"; slotfs mount "$odd/mnt" 2>err && die "mounted twice"
        grep -qF 'caf\xE9/mnt' err || die "$(cat err)"
        slotfs umount "$odd/mnt"
        cp store.db "$odd/store.db"
        "$SLOTFS" --store "$odd/store.db" mount "$m" --log-file "$odd/log" --login 0 --password-file 0=pw-0
        cat "$m/0/1" > none
        [ -s "$odd/log" ] || die "no log"
        "$SLOTFS" umount "$m"
        umount "$odd"
        "#,
    );
}

/// A mount over the folder of its own store would hide it.
#[test]
fn a_store_is_not_hidden() {
    let store = store_with_a_key();
    let out = store.run(&format!("mount {}", store.path("").display()));
    let out = out.fails(5);
    assert!(out.stderr.contains("would hide it"), "{out:?}");
    assert!(Path::new(&store.path("store.db")).exists());
}

/// Neither would a daemon find what it keeps of stores: it would ask itself, and wait for the answer.
#[test]
fn a_state_folder_is_not_hidden() {
    let store = store_with_a_key();
    // Which is there by now, and which is not.
    for state in [STATE, "new/state"] {
        let home = store.path("home");
        fs::create_dir_all(home.join(state)).unwrap();
        fs::remove_dir(home.join(state)).unwrap();
        for made in [false, true] {
            if made {
                fs::create_dir_all(home.join(state).join("slotfs")).unwrap();
            }
            let mut command = store.command(&["mount"]);
            command.arg(&home).env("XDG_STATE_HOME", home.join(state));
            let out = run(&mut command).fails(5);
            assert!(out.stderr.contains("the state folder"), "{out:?}");
            assert!(!is_mounted(&home));
        }
    }
    // Its own folder, and none that it is in.
    let beside = store.path("home/beside");
    fs::create_dir(&beside).unwrap();
    let mut command = store.command(&["mount", "--login", "0", "--password-file", "0=pw-0"]);
    command
        .arg(&beside)
        .env("XDG_STATE_HOME", store.path("home/new/state"));
    run(&mut command).ok();
    assert_eq!(names(&beside.join("0")), ["1"]);
    store.args(&["umount", beside.to_str().unwrap()]).ok();
}
