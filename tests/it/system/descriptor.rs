//! Mounts that another process made: `slotfs mount /dev/fd/N`.

use crate::fixture::{Out, Store, run};
use crate::namespace;

/// A helper with privileges, as a container runtime or a CSI driver has one: opens /dev/fuse, mounts, and starts a program
/// that has the descriptor as number 9.
const HELPER: &str = r#"
import ctypes, os, sys
point, options, program = sys.argv[1], sys.argv[2], sys.argv[3:]
libc = ctypes.CDLL(None, use_errno=True)
device = os.open("/dev/fuse", os.O_RDWR)
data = f"fd={device},rootmode=40000,{options}".encode()
if libc.mount(b"passed", point.encode(), b"fuse.slotfs", 6, data):
    raise OSError(ctypes.get_errno(), "mount")
os.dup2(device, 9, inheritable=True)
os.close(device)
os.execvp(program[0], program)
"#;

const FUNCTIONS: &str = r#"
s="$STORE"
chmod 755 .; cp "$SLOTFS" slotfs; chmod 755 slotfs; mkdir home; chown -R nobody store.db* pw-* mnt home .
passed() { # OPTIONS PROGRAM...
    options=$1; shift; python3 helper.py "$m" "$options" "$@"
}
daemon() { as_user sed -n 's/^pid //p' "$m/.slotfs/stats"; }
nobody="user_id=65534,group_id=65534"
unprivileged="setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs env HOME=$PWD/home XDG_STATE_HOME=$PWD/home/state"
serve="./slotfs --store $s mount /dev/fd/9 --login 0 --login 1 --password-file 0=pw-0 --password-file 1=pw-1 --log-file log"
"#;

#[track_caller]
fn script(store: &Store, script: &str) -> Out {
    std::fs::write(store.path("helper.py"), HELPER).unwrap();
    run(&mut namespace::script(store, FUNCTIONS, script)).ok()
}

fn store() -> Store {
    let store = Store::empty();
    for slot in [0, 1] {
        store.slot(slot, "red");
        store.aes(slot, 1);
    }
    store
}

/// "`/dev/fd/N` as the mountpoint: an already opened FUSE descriptor (containers without privileges)"
#[test]
fn a_mount_is_served_without_privileges() {
    script(
        &store(),
        r#"
        # No right to mount, and no /dev/fuse to open.
        serve_it() { passed "$nobody,default_permissions" $unprivileged $serve "$@"; }
        serve_it
        as_user cp "$m/0/1" "$m/1/7"
        as_user ls "$m/1" | grep -q 7 || die "no clone"
        pid=$(daemon)
        umount "$m"; ended "$pid"
        grep -q "is unmounted" log || die "the log does not say that it ended"
        # A daemon that is told to end leaves the mount to its maker.
        serve_it
        pid=$(daemon); kill "$pid"; ended "$pid"
        grep -q " $m .* - fuse.slotfs passed " /proc/self/mountinfo || die "unmounted"
        as_user ls "$m" 2>err && die "it still answers"
        umount "$m"
        grep -q "stopped serving /dev/fd/9; the process that made the mount must unmount it" log || die "the log does not say so"
        "#,
    );
}

/// "it may lack `default_permissions`, and then nobody checks modes: ... check the uid ourselves"
#[test]
fn without_checks_of_the_kernel_slotfs_admits_its_own_user_alone() {
    let store = store();
    store
        .run("partition set -slot 1 -uid 1234 --password-file 1:po=pw-1")
        .ok();
    script(
        &store,
        r#"
        echo user_allow_other > fuse.conf
        passed "$nobody,allow_other" $unprivileged $serve
        as_user cat "$m/0/1" > /dev/null || die "its own user"
        # A slot of another owner is closed, also by a name that was listed.
        as_user ls -l "$m" > /dev/null
        for way in "ls $m/1" "cat $m/1/1" "cat $m/1/.slotfs/status" "cp $m/0/1 $m/1/9"; do
            if as_user $way 2>err; then die "another's slot: $way"; fi
            grep -q "Permission denied" err || die "$way: $(cat err)"
        done
        for other in 1234 0; do
            if setpriv --reuid "$other" --regid "$other" --clear-groups cat "$m/0/1" >/dev/null 2>err; then die "user $other"; fi
            grep -q "Permission denied" err || die "$(cat err)"
        done
        pid=$(daemon); umount "$m"; ended "$pid"
        # What would need those checks is refused.
        for option in allow_other uid=1234 gid=1234; do
            if passed "$nobody" $unprivileged $serve -o "$option" 2>err; then die "$option"; fi
            grep -q "the mount table does not show that the kernel checks permissions there" err || die "$(cat err)"
            umount "$m"
        done
        "#,
    );
}

#[test]
fn what_is_no_open_fuse_device_is_refused() {
    let store = store();
    for (place, says) in [
        ("/dev/fd/9", "/dev/fd/9 is not open"),
        ("/dev/fd/1", "/dev/fd/1 is standard input, output or error"),
    ] {
        let out = store.args(&["mount", place]).fails(5);
        assert!(out.stderr.contains(says), "{}", out.stderr);
    }
    let out = script(
        &store,
        r#"
        for file in store.db /dev/null /proc/self/mountinfo; do
            if $serve 9<"$file" 2>err; then die "$file"; fi
            grep -q "/dev/fd/9 is not an open /dev/fuse" err || die "$(cat err)"
        done
        # Opened, and not mounted.
        if $serve 9<>/dev/fuse 2>err; then die "no mount"; fi
        cat err
        if passed "$nobody,default_permissions" $serve -o fsname=x 2>err; then die "fsname"; fi
        grep -q -e "-o fsname has no effect at /dev/fd/9: the process that made the mount sets it" err || die "$(cat err)"
        umount "$m"
        "#,
    );
    assert!(out.stdout.contains("/dev/fuse"), "{}", out.stdout);
}
