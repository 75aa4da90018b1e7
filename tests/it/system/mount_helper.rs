//! `mount -t fuse.slotfs`, /etc/fstab and the options of -o.
//!
//! Each test runs in a mount namespace of its own, in which /usr/sbin has the helper.

use crate::fixture::{Out, Store, run};
use crate::namespace;

const FUNCTIONS: &str = r#"
mkdir real sbin; mount --bind /usr/sbin real; cp -as "$PWD/real/." sbin/
ln -s "$SLOTFS" sbin/mount.fuse.slotfs; mount --bind sbin /usr/sbin
# The store as it is named everywhere, and in its folder.
s="$STORE"; here="${STORE#"$PWD"/}"; pw="$PWD/pw-0"
# Fields of the mount table: the source and the options, those of the filesystem last.
source() { awk -v at="$m" '$5 == at { for (i = 6; i < NF; i++) if ($i == "-") print $(i + 2) }' /proc/self/mountinfo; }
flags() { awk -v at="$m" '$5 == at { print $6 }' /proc/self/mountinfo; }
fs_options() { awk -v at="$m" '$5 == at { print $NF }' /proc/self/mountinfo; }
is_mounted() { grep -q " $m .* - fuse.slotfs " /proc/self/mountinfo; }
daemon() { sed -n 's/^pid //p' "$m/.slotfs/stats"; }
unmounted() { tries=0; while is_mounted; do
    tries=$((tries + 1)); [ $tries -lt 600 ] || die "still mounted"; sleep 0.05; done; }
# The exit status of a command that fails; its standard error goes to the file err.
status() { "$@" >out 2>err && echo 0 || echo $?; }
end() { pid=$(daemon); umount "$m"; ended "$pid"; }
"#;

#[track_caller]
fn script(store: &Store, script: &str) -> Out {
    run(&mut namespace::script(store, FUNCTIONS, script)).ok()
}

fn store() -> Store {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 2);
    store
}

/// "The mount table says `fuse.slotfs` with the store as its source"
#[test]
fn mount_mounts_and_umount_unmounts() {
    script(
        &store(),
        r#"
        mount -t fuse.slotfs "$s" "$m" -o login=0,passfile="$pw",log="$PWD/log"
        is_mounted || die "no mount"
        [ "$(source)" = "$s" ] || die "source: $(source)"
        [ "$(flags)" = rw,nosuid,nodev,noexec,noatime ] || die "flags: $(flags)"
        cat "$m/0/1" > /dev/null
        end
        mount -t fuse.slotfs "$here" mnt -o ro,sync,login=0,passfile=0=pw-0,log=log
        [ "$(flags)" = ro,nosuid,nodev,noexec,noatime ] || die "flags: $(flags)"
        case "$(fs_options)" in ro,sync,*default_permissions) ;; *) die "$(fs_options)" ;; esac
        if cp mnt/0/1 mnt/0/9 2>/dev/null; then die "written"; fi
        end
        "$SLOTFS" --store "$here" mount mnt -o exec,relatime,log=log
        [ "$(flags)" = rw,nosuid,nodev,relatime ] || die "flags: $(flags)"
        end
        "#,
    );
}

/// "an fstab line with `login=`, `passfile=`, `x-systemd.automount`, `nofail`, `_netdev`, `user`", and "a reboot-like cycle"
#[test]
fn a_line_of_fstab_is_mounted_by_mount_a() {
    script(
        &store(),
        r#"
        cat > fstab <<END
$s $m fuse.slotfs login=0,passfile=$pw,log=$PWD/log,x-systemd.automount,nofail,_netdev,user,noauto 0 0
END
        mount -a -T fstab; if is_mounted; then die "noauto is mounted"; fi
        sed -i s/,noauto// fstab
        mount -a -T fstab; mount -a -T fstab
        [ "$(grep -c " $m " /proc/self/mountinfo)" = 1 ] || die "mounted twice"
        cp "$m/0/1" copy
        pid=$(daemon); kill -KILL "$pid"; ended "$pid"
        is_mounted || die "the dead mount is gone"
        "$SLOTFS" umount "$m"
        mount -a -T fstab
        cmp copy "$m/0/1"
        mount -T fstab "$m" 2>err && die "mounted over itself"
        grep -q "is mounted by slotfs already\|already mounted" err || die "$(cat err)"
        end
        mount -T fstab "$m"; end
        "#,
    );
}

/// "The helper has a grammar of its own: `SPEC DIR -sfnv -N NS -o OPTS -t TYPE`"
#[test]
fn the_helper_reads_what_mount_passes() {
    script(
        &store(),
        r#"
        mount -v -n -t fuse.slotfs "$s" "$m" -o login=0,passfile="$pw",log=log > out
        grep -q "$s is mounted at $m" out || die "$(cat out)"; end
        # All but the mount itself.
        mount -fv -t fuse.slotfs "$s" "$m" -o login=0 > out
        grep -q "could be mounted" out || die "$(cat out)"
        if is_mounted; then die "mounted by -f"; fi
        [ "$(status mount -f -t fuse.slotfs none.db "$m")" = 32 ] || die "-f of no store"
        [ "$(status mount -f -t fuse.slotfs "$s" "$PWD/none")" = 32 ] || die "-f at no folder"
        # Unknown options.
        [ "$(status mount -t fuse.slotfs "$s" "$m" -o allow_othr)" = 1 ] || die "unknown option"
        grep -q "allow_othr is not a mount option of slotfs; did you mean 'allow_other'" err || die "$(cat err)"
        mount -s -t fuse.slotfs "$s" "$m" -o zzz,zzz=1,log=log; end
        # Clusters of letters, a value at once, places anywhere.
        /usr/sbin/mount.fuse.slotfs -vsnolog=log "$s" -tfuse.slotfs "$m" > /dev/null; end
        for wrong in "-x" "-t ext4" "-o" "third"; do
            [ "$(status /usr/sbin/mount.fuse.slotfs "$s" "$m" $wrong)" = 1 ] || die "$wrong"
            grep -q usage: err || die "$wrong: $(cat err)"
        done
        # Another namespace: the mount is there, and not here.
        unshare -m sh -c 'echo ready; exec sleep 600' > ready & other=$!; holders=$other
        tries=0; until [ -s ready ]; do tries=$((tries + 1)); [ $tries -lt 600 ] || die "no namespace"; sleep 0.05; done
        /usr/sbin/mount.fuse.slotfs "$s" "$m" -N "$other" -o "log=$PWD/log"
        if is_mounted; then die "mounted here"; fi
        grep -q " $m .* - fuse.slotfs " "/proc/$other/mountinfo" || die "not mounted there"
        pid=$(nsenter -m -t "$other" sed -n 's/^pid //p' "$m/.slotfs/stats")
        [ "$(cat "/proc/$pid/comm")" = slotfs ] || die "$(cat "/proc/$pid/comm")"
        nsenter -m -t "$other" umount "$m"; ended "$pid"
        /usr/sbin/mount.fuse.slotfs "$s" "$m" -N "/proc/$other/ns/mnt" -o "log=$PWD/log"
        nsenter -m -t "$other" umount "$m"
        kill "$other"
        "#,
    );
}

/// "the store as its source (commas escaped for fusermount3), also for root"
#[test]
fn the_source_is_the_path_of_the_store_whatever_is_in_it() {
    script(
        &store(),
        r#"
        for name in 'a,b c.db' 'a\b"c.db' 'ü#.db'; do
            cp "$s" "$name"
            for more in "" auto_unmount; do
                "$SLOTFS" --store "$name" mount "$m" -o "log=log,$more"
                printf '%b\n' "$(source)" > shown; printf '%s\n' "$PWD/$name" > expected
                # The table escapes a backslash once more.
                cmp shown expected || die "$(cat shown)"
                end
            done
        done
        "$SLOTFS" --store "$s" mount "$m" -o 'fsname=my\,keys,log=log'
        [ "$(source)" = my,keys ] || die "$(source)"
        "$SLOTFS" umount "$m"
        "#,
    );
}

/// "`auto_unmount`": fusermount3 unmounts, whatever ends the daemon.
#[test]
fn auto_unmount_unmounts_after_a_daemon_that_was_killed() {
    script(
        &store(),
        r#"
        mount -t fuse.slotfs "$s" "$m" -o "auto_unmount,log=log"
        pid=$(daemon); kill -KILL "$pid"; ended "$pid"; unmounted
        # One that ends by itself leaves no helper that would unmount the next mount.
        mount -t fuse.slotfs "$s" "$m" -o "auto_unmount,log=log"; end
        mount -t fuse.slotfs "$s" "$m" -o "log=log"
        sleep 0.5; is_mounted || die "the next mount was unmounted"
        end
        "#,
    );
}

/// "generic options accepted or refused as libfuse does, unknown ones named": for a user who is not root, too.
#[test]
fn a_user_mounts_with_the_same_options() {
    script(
        &store(),
        r#"
        mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
        chmod 755 .; cp "$SLOTFS" slotfs; chmod 755 slotfs; mkdir home
        chown -R nobody store.db* pw-0 mnt home .
        as_user ./slotfs --store "$s" mount "$m" -o login=0,passfile=pw-0,ro,noatime,max_read=65536,log=/dev/null
        [ "$(source)" = "$s" ] || die "source: $(source)"
        case "$(fs_options)" in *max_read=65536*) ;; *) die "$(fs_options)" ;; esac
        as_user ./slotfs umount "$m"
        [ "$(status as_user ./slotfs --store "$s" mount "$m" -o relatime)" = 5 ] || die "relatime"
        grep -q "relatime is not possible here: fusermount3 does not know it" err || die "$(cat err)"
        # Root, and nobody else, beside the owner.
        echo user_allow_other > fuse.conf; mount --bind fuse.conf /etc/fuse.conf
        as_user ./slotfs --store "$s" mount "$m" -o login=0,passfile=pw-0,allow_root,umask=0,log=/dev/null
        cat "$m/0/1" > /dev/null || die "root may not read"
        if setpriv --reuid 1234 --regid 1234 --clear-groups cat "$m/0/1" 2>err; then die "another user may read"; fi
        as_user ./slotfs umount "$m"
        # The file of the mount options may be any user's: fusermount3 ignores what only root may ask for.
        as_user ./slotfs --store "$s" mount "$m" -o suid,dev,log=/dev/null 2>err
        case "$(flags)" in *nosuid,nodev*) ;; *) die "$(flags)" ;; esac
        as_user ./slotfs umount "$m"
        "#,
    );
}

/// "`user`": whoever may read the store mounts and unmounts by fstab.
#[test]
fn a_user_mounts_a_line_of_fstab() {
    script(
        &store(),
        r#"
        mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
        chmod 755 .; cp "$SLOTFS" slotfs; chmod 755 slotfs; mkdir home
        ln -sf "$PWD/slotfs" sbin/mount.fuse.slotfs
        chown -R nobody store.db* pw-0 mnt home .
        echo "$s $m fuse.slotfs login=0,passfile=$pw,user,log=$PWD/home/log 0 0" > fstab
        chmod 644 fstab; mount --bind fstab /etc/fstab
        as_user mount "$m"
        [ "$(source)" = "$s" ] || die "source: $(source)"
        as_user cat "$m/0/1" > /dev/null
        as_user umount "$m"; unmounted
        "#,
    );
}

#[test]
fn options_that_cannot_be_had_say_why() {
    let store = store();
    for (options, says) in [
        (
            "remount,ro",
            "-o remount is not possible: slotfs cannot change a mount",
        ),
        ("nonempty", "-o nonempty is not possible"),
        (
            "kernel_cache",
            "-o kernel_cache is not possible: slotfs decides what the kernel caches",
        ),
        ("subtype=other", "-o subtype takes only the value slotfs"),
        ("passfile=pw-0", "no login is requested; add login=SLOT"),
        ("login=0:po", "-o login takes SLOT or SLOT:ROLE"),
        ("hunter2", "word 1 after -o is not a mount option"),
    ] {
        let out = store.args(&["mount", "mnt", "-o", options]).fails(2);
        assert!(out.stderr.contains(says), "{options}: {}", out.stderr);
        assert!(!out.stderr.contains("hunter2"), "{}", out.stderr);
    }
}
