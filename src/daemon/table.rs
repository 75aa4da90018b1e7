//! Reads the kernel's mount table (proc(5), `mountinfo`). Its paths are bytes and need not be UTF-8.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The type of slotfs mounts.
pub(crate) const TYPE: &str = "fuse.slotfs";
/// The source of mounts of earlier versions; today it is the store's path.
const EARLIER_SOURCE: &[u8] = b"slotfs";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Unique while the mount exists. `mount --move` keeps it.
    pub(crate) id: u64,
    /// The mount that this one is mounted on.
    pub(crate) parent: u64,
    /// `major:minor`, the same in every namespace and for every bind mount of one filesystem.
    pub(crate) device: String,
    pub(crate) point: PathBuf,
    kind: Vec<u8>,
    source: Vec<u8>,
    /// What the filesystem itself was told, with commas.
    options: Vec<u8>,
}

impl Entry {
    /// Whether a slotfs daemon made it. Daemons of earlier versions used the type `fuse`.
    pub(crate) fn is_slotfs(&self) -> bool {
        match self.kind.as_slice() {
            b"fuse" => self.source == EARLIER_SOURCE,
            kind => kind == TYPE.as_bytes(),
        }
    }

    /// Whether the kernel checks the modes of files and folders before it asks the daemon.
    pub(crate) fn checks_modes(&self) -> bool {
        let mut options = self.options.split(|byte| *byte == b',');
        options.any(|option| option == b"default_permissions")
    }

    /// A mount that a test makes up.
    #[cfg(test)]
    pub(crate) fn at_for_tests(point: &Path, device: &str) -> Self {
        Self {
            id: 1,
            parent: 0,
            device: device.to_owned(),
            point: point.to_owned(),
            kind: TYPE.as_bytes().to_vec(),
            source: Vec::new(),
            options: Vec::new(),
        }
    }

    /// The store, where the mount's source is its path, or its location in a cluster.
    pub(crate) fn store(&self) -> Option<&Path> {
        let path = Path::new(OsStr::from_bytes(&self.source));
        let is_store = path.is_absolute() || slotfs_config::store::is_in_cluster(path);
        is_store.then_some(path)
    }
}

/// Every mount in the namespace of this process.
pub(crate) fn read() -> io::Result<Vec<Entry>> {
    of(Path::new("/proc/self"))
}

/// Every mount in the namespace of a process, given as its folder in /proc.
///
/// The kernel gives the table in pieces. If another mount goes between two of them, one that is there can be missing, so the
/// table is read until it is the same twice.
pub(crate) fn of(process: &Path) -> io::Result<Vec<Entry>> {
    const ATTEMPTS: usize = 16;
    let read = || std::fs::read(process.join("mountinfo"));
    let mut table = read()?;
    for _ in 0..ATTEMPTS {
        let again = read()?;
        if again == table {
            break;
        }
        table = again;
    }
    Ok(parse(&table))
}

fn parse(table: &[u8]) -> Vec<Entry> {
    table
        .split(|byte| *byte == b'\n')
        .filter_map(entry)
        .collect()
}

fn entry(line: &[u8]) -> Option<Entry> {
    // ID, parent, device, root, mountpoint, options, optional fields; then "-", type, source, options.
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let point = unescape(fields.nth(1)?);
    let mut filesystem = fields.skip_while(|field| *field != b"-").skip(1);
    Some(Entry {
        id,
        parent,
        device,
        point: PathBuf::from(OsString::from_vec(point)),
        kind: unescape(filesystem.next()?),
        source: unescape(filesystem.next()?),
        options: filesystem.next().map(unescape).unwrap_or_default(),
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Decodes the escapes of the table: space, tab, newline, backslash and `#` are a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let octal = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    bytes
}

/// The topmost mount at `path`; `None` if `path` is not a mountpoint.
pub(crate) fn at(path: &Path) -> Option<Entry> {
    let table = read().ok()?;
    // Ask the kernel for the mount's ID: after `mount --move`, the order of the table does not show which one is on top.
    let topmost = match id_at(path) {
        Some(id) => table.into_iter().find(|entry| entry.id == id),
        None => topmost(table, path),
    };
    topmost.filter(|entry| entry.point.as_os_str().as_bytes() == path.as_os_str().as_bytes())
}

/// The ID of the mount that `path` lies in. It sends no request to a FUSE daemon, so it also works if the daemon is dead.
fn id_at(path: &Path) -> Option<u64> {
    let place = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_CLOEXEC)
        .open(path)
        .ok()?;
    fd_info(&place, "mnt_id:")
}

/// Reads a number from the kernel's information about an open file.
fn fd_info(file: impl AsFd, name: &str) -> Option<u64> {
    let number = file.as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .trim()
        .parse()
        .ok()
}

/// The device number of the FUSE filesystem that an open `/dev/fuse` serves. Older kernels do not report it.
pub(crate) fn device_of(fuse: &File) -> Option<String> {
    let number = fd_info(fuse, "fuse_connection:")?;
    // The kernel's internal dev_t has 20 bits for the minor number.
    Some(format!("{}:{}", number >> 20, number & 0xf_ffff))
}

/// The mount at `path` on which no other mount lies.
fn topmost(table: Vec<Entry>, path: &Path) -> Option<Entry> {
    let here: Vec<Entry> = table
        .into_iter()
        .filter(|entry| entry.point == path)
        .collect();
    let top = here
        .iter()
        .rposition(|entry| !here.iter().any(|other| other.parent == entry.id))?;
    here.into_iter().nth(top)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 21 0:40 / /mnt/caf\xe9 rw - tmpfs none rw
31 21 0:41 / /mnt/a\\040b\\012c\\134d rw,nosuid shared:2 master:3 - fuse.slotfs /srv/a\\040b rw,user_id=0,default_permissions
32 21 0:42 /0 /mnt/x rw - fuse slotfs rw
34 33 0:44 / /mnt/x rw - tmpfs none rw
33 32 0:43 / /mnt/x rw - fuse.sshfs slotfs rw
broken
";

    #[test]
    fn the_table_is_bytes() {
        let table = parse(TABLE);
        assert_eq!(table.len(), 6);
        assert_eq!(table[1].point.as_os_str().as_bytes(), b"/mnt/caf\xe9");
        assert_eq!(table[2].point, Path::new("/mnt/a b\nc\\d"));
        assert_eq!(table[2].device, "0:41");
        assert_eq!(table[0].store(), Some(Path::new("/dev/sda1")));
        assert_eq!(table[2].store(), Some(Path::new("/srv/a b")));
        assert_eq!(table[3].store(), None);
        let ours: Vec<u64> = table
            .iter()
            .filter(|entry| entry.is_slotfs())
            .map(|entry| entry.id)
            .collect();
        assert_eq!(ours, [31, 32]);
        assert!(table[2].checks_modes() && !table[3].checks_modes());
        assert_eq!(topmost(table, Path::new("/mnt/x")).unwrap().id, 34);
    }
}
