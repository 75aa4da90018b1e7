//! Under every limit of a process, `mount` works or fails cleanly: with a message, and without a mount or a process left.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};

use crate::fixture::{Out, Store, daemons_of, is_mounted, run, sh, wait_for};
use crate::namespace;

fn store_with_a_key() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 1);
    store
}

const MOUNT: &str = "mount mnt --login 0 --password-file 0=pw-0";

/// A command under `ulimit`.
fn limited(store: &Store, limit: &str, line: &str) -> Out {
    run(Command::new("sh")
        .args([
            "-c",
            &format!("ulimit {limit} && exec \"$SLOTFS\" --store \"$STORE\" {line}"),
        ])
        .current_dir(store.path(""))
        .env("SLOTFS", env!("CARGO_BIN_EXE_slotfs"))
        .env("STORE", store.location())
        .env("HOME", store.path(""))
        .env("SLOTFS_SOCKET", store.socket())
        .env("LC_ALL", "C"))
}

#[track_caller]
fn nothing_is_left(store: &Store, why: &str) {
    assert!(!is_mounted(&store.path("mnt")), "{why}: a mount");
    // By the environment: a daemon leaves its folder, and other tests mount at the same name.
    let home = format!("HOME={}", store.path("").display());
    let ours = |pid: &nix::unistd::Pid| {
        fs::read(format!("/proc/{pid}/environ")).is_ok_and(|all| {
            all.split(|byte| *byte == 0)
                .any(|one| one == home.as_bytes())
        })
    };
    let ended = wait_for(|| {
        let daemons = daemons_of(Path::new("mnt"));
        (!daemons.iter().any(ours)).then_some(())
    });
    assert!(ended.is_some(), "{why}: a process");
}

#[track_caller]
fn unmount(store: &Store) {
    store.run("umount mnt").ok();
    nothing_is_left(store, "after an unmount");
}

/// Address space, data, descriptors, stack, locked memory, file size.
#[test]
fn every_limit_is_met_or_named() {
    let store = store_with_a_key();
    for (limit, name) in [
        ("-v 60000", "RLIMIT_AS"),
        ("-v 200000", "RLIMIT_AS"),
        ("-v 300000", "RLIMIT_AS"),
        ("-d 50000", "RLIMIT_DATA"),
        ("-n 6", "RLIMIT_NOFILE"),
        ("-n 14", "RLIMIT_NOFILE"),
        ("-n 26", "RLIMIT_NOFILE"),
        ("-s 100", ""),
        ("-l 0", ""),
        ("-c 0", ""),
        ("-f 0", "ulimit -f"),
        ("-f 1", "ulimit -f"),
        ("-f 2000", ""),
    ] {
        let out = limited(&store, limit, MOUNT);
        if out.code == 0 {
            assert!(store.path("mnt/0/1").exists(), "{limit}: a dead mount");
            fs::read(store.path("mnt/0/1")).unwrap();
            unmount(&store);
        } else if limit == "-f 0" && store.is_in_cluster() {
            // Nothing of its store is a file that grows. What failed is to say that it is mounted.
            unmount(&store);
        } else {
            assert!(!name.is_empty(), "{limit} is no obstacle: {out:?}");
            // With a limit of 0 the file that takes the message in here stays empty too.
            let is_told = limit == "-f 0" || out.stderr.contains(name);
            assert!(is_told, "{limit} is not named: {out:?}");
            nothing_is_left(&store, limit);
        }
    }
    // And nothing was counted or broken.
    store.run(MOUNT).ok();
    unmount(&store);
}

/// A file that may grow no more is an error of that object, and the daemon lives.
#[test]
fn the_file_size_limit_kills_nothing() {
    let store = store_with_a_key();
    limited(&store, "-f 400", MOUNT).ok();
    let daemon = fs::read_to_string(store.path("mnt/.slotfs/stats")).unwrap();
    let blob = fs::read(store.path("mnt/0/1")).unwrap();
    let out = sh(
        r#"for i in $(seq 400); do
               rm "$M/0/1" || exit 7
               cp "$B" "$M/0/1" || exit 8
           done"#,
        &[
            ("M", &store.path("mnt")),
            ("B", &{
                fs::write(store.path("blob"), &blob).unwrap();
                store.path("blob")
            }),
        ],
    );
    if out.code != 0 {
        assert!(
            out.stderr.contains("No space left") || out.stderr.contains("File too large"),
            "{out:?}"
        );
    }
    let pid = daemon.lines().next().unwrap();
    let now = fs::read_to_string(store.path("mnt/.slotfs/stats")).unwrap();
    assert_eq!(now.lines().next(), Some(pid), "the daemon lives");
    unmount(&store);
    // Commands live as well.
    let out = limited(
        &store,
        "-f 1",
        "object generate -type aes -bits 256 -label k -slot 0 --password-file 0=pw-0",
    );
    assert!((1..128).contains(&out.code), "{out:?}");
}

/// A login whose memory is not there is not counted.
#[test]
fn a_login_without_memory_is_not_counted() {
    let store = store_with_a_key();
    // The most that a credential may ask for.
    let connection = rusqlite::Connection::open(store.path("store.db")).unwrap();
    let cost = |kib: u32| {
        let set = format!("UPDATE credentials SET memory_kib = {kib}");
        connection.execute_batch(&set).unwrap();
    };
    let real = "SELECT memory_kib FROM credentials WHERE memory_kib > 0";
    let real: u32 = connection.query_row(real, [], |row| row.get(0)).unwrap();
    cost(1 << 20);
    for _ in 0..12 {
        let out = limited(
            &store,
            "-v 500000",
            "partition contents -slot 0 --password-file 0=pw-0",
        );
        assert_eq!(out.code, 3, "{out:?}");
        assert!(out.stderr.contains("not enough memory"), "{out:?}");
    }
    cost(real);
    store.run_in(0, "partition contents").ok();
}

/// What the daemon inherited is closed: a lock is free again, and a pipe ends.
#[test]
fn inherited_descriptors_are_closed() {
    let store = store_with_a_key();
    let slotfs = Path::new(env!("CARGO_BIN_EXE_slotfs"));
    sh(
        r#"cd "$D" || exit 1
           flock lk "$SLOTFS" --store "$STORE" mount mnt --login 0 --password-file 0=/dev/fd/9 9<pw-0 || exit 2
           flock -n lk true || exit 3
           [ -e mnt/0/1 ] || exit 4
           "$SLOTFS" umount mnt || exit 5
           mkfifo pipe
           cat pipe > read & reader=$!
           exec 7> pipe
           "$SLOTFS" --store "$STORE" mount mnt || exit 6
           exec 7>&-
           wait $reader || exit 8
           "$SLOTFS" umount mnt"#,
        &[
            ("D", &store.path("")),
            ("SLOTFS", slotfs),
            ("STORE", &store.location()),
        ],
    )
    .ok();
}

/// A log is a regular file: `--log-file`, and the one in the state folder.
#[test]
fn a_log_is_a_regular_file() {
    let store = store_with_a_key();
    fs::write(store.path("victim"), "").unwrap();
    fs::create_dir(store.path("folder")).unwrap();
    symlink(store.path("victim"), store.path("link")).unwrap();
    symlink(store.path("new"), store.path("dangling")).unwrap();
    sh("mkfifo \"$P\"", &[("P", &store.path("fifo"))]).ok();
    for log in ["link", "dangling", "fifo", "folder", "/dev/zero"] {
        for more in ["", "--foreground"] {
            let out = store.run(&format!("{MOUNT} --log-file {log} {more}"));
            assert_ne!(out.code, 0, "{log}: {out:?}");
            assert!(out.stderr.contains(log), "{log}: {out:?}");
            nothing_is_left(&store, log);
        }
    }
    assert_eq!(fs::read(store.path("victim")).unwrap(), b"");
    assert!(!store.path("new").exists());
    store.run(MOUNT).ok();
    unmount(&store);
    let log = store.log_file();
    fs::remove_file(&log).unwrap();
    symlink(store.path("victim"), &log).unwrap();
    let out = store.run(MOUNT);
    assert_ne!(out.code, 0, "{out:?}");
    assert!(out.stderr.contains("symbolic link"), "{out:?}");
    nothing_is_left(&store, "a link in the state folder");
    fs::remove_file(&log).unwrap();
    for log in ["/dev/null", "-", "plain"] {
        store.run(&format!("{MOUNT} --log-file {log}")).ok();
        unmount(&store);
    }
    assert_eq!(fs::read(store.path("victim")).unwrap(), b"");
}

/// A daemon that is killed as soon as it is ready leaves nothing that `umount` cannot clear.
#[test]
fn a_daemon_that_dies_is_cleared() {
    let store = store_with_a_key();
    store.run(MOUNT).ok();
    let stats = fs::read_to_string(store.path("mnt/.slotfs/stats")).unwrap();
    let pid = stats.lines().next().unwrap().strip_prefix("pid ").unwrap();
    kill(
        nix::unistd::Pid::from_raw(pid.parse().unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    unmount(&store);
}

/// A user mounts by fusermount3: the same promises, and words that fit what is missing.
#[test]
fn as_a_user() {
    let store = store_with_a_key();
    run(&mut namespace::script(&store, "", AS_A_USER)).ok();
}

/// In a namespace without other tests' mounts, with a /dev/fuse that everybody may open.
const AS_A_USER: &str = r#"
mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
cp "$SLOTFS" slotfs; chmod 755 slotfs .; chown -R nobody store.db* pw-0 mnt
mkdir home; chown nobody . home
serve() { as_user "$@" ./slotfs --store "$STORE" mount mnt --login 0 --password-file 0=pw-0; }
is_there() { grep -q " $PWD/mnt .* - fuse.slotfs " /proc/self/mountinfo; }
for limit in --nproc=1 --nproc=4 --nproc=8 --nproc=12 --as=200000000 --nofile=14; do
    if serve prlimit "$limit" 2>err; then
        as_user cat mnt/0/1 > none || die "$limit: a dead mount"
        as_user ./slotfs umount mnt
    fi
    if is_there; then die "$limit: a mount is left"; fi
done
serve prlimit --nproc=1 2>err && die "with one process"
grep -q RLIMIT_NPROC err || die "not named"
grep -q 'Debian' err && die "fusermount3 is there"
serve setpriv --no-new-privs 2>err && die "without privileges"
grep -q no_new_privs err || die "not named"
serve env FUSERMOUNT_PATH=/nonexistent 2>err && die "without fusermount3"
grep -q 'needs fusermount3' err || die "not named"
chmod 600 /dev/fuse
serve 2>err && die "without /dev/fuse"
grep -q 'the mode of /dev/fuse' err || die "not named"
chmod 666 /dev/fuse
# Only its own mount goes here too.
mkdir data; mount --bind data mnt; chown nobody mnt
for how in TERM './slotfs umount' 'fusermount3 -u'; do
    serve; is_there || die "no mount"
    case $how in
    TERM) as_user sh -c 'kill -TERM $(sed -n "s/^pid //p" mnt/.slotfs/stats)' ;;
    *) as_user $how mnt ;;
    esac
    tries=0
    while is_there; do tries=$((tries + 1)); [ $tries -lt 400 ] || die "$how: it stays"; sleep 0.05; done
    grep -q " $PWD/mnt " /proc/self/mountinfo || die "$how: the mount below is gone"
done
umount mnt
"#;
