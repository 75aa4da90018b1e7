//! Options that every filesystem has (mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS").

use nix::mount::MsFlags;

/// What a generic option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generic {
    /// Sets a flag of mount(2).
    Set(MsFlags),
    /// Clears it.
    Clear(MsFlags),
    /// For mount(8), systemd or fstab(5). It says nothing about a mount that is being made.
    ForOthers,
    /// Cannot be had, for this reason.
    Refused(&'static str),
}

use Generic::{Clear, ForOthers, Refused, Set};

const NO_REMOUNT: &str = "slotfs cannot change a mount; unmount it and mount again";
const NO_BLOCK_DEVICE: &str = "a store is no block device";
const NO_CACHE: &str = "slotfs decides what the kernel caches, so that every program sees what other processes did to the store";
const ONLY_FUSE: &str = "slotfs sets this option";
/// The options of libfuse 3 and mount(8), and what slotfs does with them.
const TABLE: &[(&str, Generic)] = &[
    ("async", Clear(MsFlags::MS_SYNCHRONOUS)),
    ("atime", Clear(MsFlags::MS_NOATIME)),
    ("auto", ForOthers),
    ("defaults", ForOthers),
    ("dev", Clear(MsFlags::MS_NODEV)),
    ("diratime", Clear(MsFlags::MS_NODIRATIME)),
    ("dirsync", Set(MsFlags::MS_DIRSYNC)),
    ("exec", Clear(MsFlags::MS_NOEXEC)),
    ("group", ForOthers),
    ("lazytime", Set(MsFlags::MS_LAZYTIME)),
    ("loud", Clear(MsFlags::MS_SILENT)),
    ("noatime", Set(MsFlags::MS_NOATIME)),
    ("noauto", ForOthers),
    ("nodev", Set(MsFlags::MS_NODEV)),
    ("nodiratime", Set(MsFlags::MS_NODIRATIME)),
    ("noexec", Set(MsFlags::MS_NOEXEC)),
    ("nofail", ForOthers),
    ("nogroup", ForOthers),
    ("nolazytime", Clear(MsFlags::MS_LAZYTIME)),
    ("noowner", ForOthers),
    ("norelatime", Clear(MsFlags::MS_RELATIME)),
    ("nostrictatime", Clear(MsFlags::MS_STRICTATIME)),
    ("nosuid", Set(MsFlags::MS_NOSUID)),
    ("nouser", ForOthers),
    ("nousers", ForOthers),
    ("owner", ForOthers),
    ("relatime", Set(MsFlags::MS_RELATIME)),
    ("ro", Set(MsFlags::MS_RDONLY)),
    ("rw", Clear(MsFlags::MS_RDONLY)),
    ("silent", Set(MsFlags::MS_SILENT)),
    ("strictatime", Set(MsFlags::MS_STRICTATIME)),
    ("suid", Clear(MsFlags::MS_NOSUID)),
    ("sync", Set(MsFlags::MS_SYNCHRONOUS)),
    ("user", ForOthers),
    ("users", ForOthers),
    ("_netdev", ForOthers),
    // What nobody can have.
    ("ac_attr_timeout", Refused(NO_CACHE)),
    ("attr_timeout", Refused(NO_CACHE)),
    ("auto_cache", Refused(NO_CACHE)),
    (
        "bind",
        Refused("'mount --bind' binds a folder of a mount to another place"),
    ),
    ("blkdev", Refused(NO_BLOCK_DEVICE)),
    ("blksize", Refused(NO_BLOCK_DEVICE)),
    ("direct_io", Refused(NO_CACHE)),
    (
        "drop_privileges",
        Refused("run slotfs as the user who is to have the mount"),
    ),
    ("entry_timeout", Refused(NO_CACHE)),
    (
        "fd",
        Refused("mount at /dev/fd/N to use an open descriptor"),
    ),
    ("group_id", Refused(ONLY_FUSE)),
    (
        "hard_remove",
        Refused("an object that is removed goes to .slotfs/trash"),
    ),
    ("kernel_cache", Refused(NO_CACHE)),
    ("loop", Refused(NO_BLOCK_DEVICE)),
    ("move", Refused("'mount --move' moves a mount")),
    ("negative_timeout", Refused(NO_CACHE)),
    ("noauto_cache", Refused(NO_CACHE)),
    (
        "nonempty",
        Refused("FUSE 3 mounts over any folder, so the option has no meaning"),
    ),
    ("remount", Refused(NO_REMOUNT)),
    ("rootmode", Refused(ONLY_FUSE)),
    (
        "setuid",
        Refused("run slotfs as the user who is to have the mount"),
    ),
    (
        "use_ino",
        Refused("inode numbers are always those of slotfs"),
    ),
    ("user_id", Refused(ONLY_FUSE)),
];

/// What the option called `name` does, if every filesystem has it.
pub(super) fn of(name: &str) -> Option<Generic> {
    let is_for_others = name.starts_with("x-") || name.starts_with("X-") || name == "comment";
    let listed = || TABLE.iter().find(|(it, _)| *it == name).map(|(_, it)| *it);
    match is_for_others {
        true => Some(ForOthers),
        false => listed(),
    }
}

/// Their names, for near misses.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let accepted = TABLE.iter().filter(|(_, it)| !matches!(it, Refused(_)));
    accepted.map(|(name, _)| *name)
}

/// Whether the option may have a value: `user=NAME` is what mount(8) adds.
pub(super) fn may_have_value(name: &str) -> bool {
    name == "user" || name == "comment" || name.starts_with("x-") || name.starts_with("X-")
}

/// Changes `flags` as the option says.
pub(super) fn apply(option: Generic, flags: &mut MsFlags) {
    match option {
        Set(flag) => {
            // The three ways to keep the time of access exclude each other.
            let times = MsFlags::MS_NOATIME | MsFlags::MS_RELATIME | MsFlags::MS_STRICTATIME;
            if times.contains(flag) {
                flags.remove(times);
            }
            flags.insert(flag);
        }
        Clear(flag) => flags.remove(flag),
        ForOthers | Refused(_) => {}
    }
}

/// The flags as fusermount3 spells them.
///
/// # Errors
/// The name of one that it does not know.
pub(crate) fn for_fusermount(flags: MsFlags) -> Result<String, &'static str> {
    let unknown = [
        (MsFlags::MS_NODIRATIME, "nodiratime"),
        (MsFlags::MS_RELATIME, "relatime"),
        (MsFlags::MS_STRICTATIME, "strictatime"),
        (MsFlags::MS_LAZYTIME, "lazytime"),
        (MsFlags::MS_SILENT, "silent"),
    ];
    if let Some((_, name)) = unknown.iter().find(|(flag, _)| flags.contains(*flag)) {
        return Err(name);
    }
    let words = [
        (MsFlags::MS_RDONLY, "ro", "rw"),
        (MsFlags::MS_NOSUID, "nosuid", "suid"),
        (MsFlags::MS_NODEV, "nodev", "dev"),
        (MsFlags::MS_NOEXEC, "noexec", "exec"),
        (MsFlags::MS_NOATIME, "noatime", "atime"),
        (MsFlags::MS_SYNCHRONOUS, "sync", "async"),
    ];
    let mut spelled: Vec<&str> = words
        .iter()
        .map(|(flag, set, clear)| if flags.contains(*flag) { *set } else { *clear })
        .collect();
    if flags.contains(MsFlags::MS_DIRSYNC) {
        spelled.push("dirsync");
    }
    Ok(spelled.join(","))
}
