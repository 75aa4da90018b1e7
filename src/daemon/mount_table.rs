//! The kernel's table of mounts (proc_pid_mountinfo(5)). Paths are bytes: any user may mount at a name that is no text.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// The table of this process's mount namespace.
pub const OWN: &str = "/proc/self/mountinfo";
/// The source of our mounts. Their type is [`KIND`]; daemons of before mounted with the type `fuse`.
pub const SOURCE: &str = "slotfs";
/// The type of our mounts.
pub const KIND: &str = "fuse.slotfs";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Its mount ID, unique in the system while it is mounted; `mount --move` keeps it.
    pub id: u64,
    /// The filesystem's device number, `major:minor`: copies of a mount share it.
    pub device: String,
    /// Where it is.
    pub at: PathBuf,
    /// The filesystem's type.
    kind: Vec<u8>,
    source: Vec<u8>,
}

impl Mounted {
    /// Whether it is a slotfs.
    pub fn is_slotfs(&self) -> bool {
        self.source == SOURCE.as_bytes() && (self.kind == KIND.as_bytes() || self.kind == b"fuse")
    }

    /// From one line; `None` for one that is not as proc(5) says.
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|byte| *byte == b' ');
        let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
        let id = number(fields.next()?)?;
        let device = String::from_utf8(fields.nth(1)?.to_vec()).ok()?;
        let at = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
        // Options and optional fields, until a single dash.
        fields.find(|field| *field == b"-")?;
        Some(Self {
            id,
            device,
            at,
            kind: unescape(fields.next()?),
            source: unescape(fields.next()?),
        })
    }
}

/// Space, tab, newline and backslash are written as three octal digits behind a backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = |digit: u8| {
            (b'0'..=b'7')
                .contains(&digit)
                .then(|| u32::from(digit - b'0'))
        };
        let escaped = match *after {
            [a, b, c, ..] if first == b'\\' => octal(a).zip(octal(b)).zip(octal(c)),
            _ => None,
        };
        match escaped.and_then(|((a, b), c)| u8::try_from(a * 64 + b * 8 + c).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

/// The mounts in the table at `table`: [`OWN`], or that of another process.
///
/// # Errors
/// Those of reading it.
pub fn read(table: &Path) -> io::Result<Vec<Mounted>> {
    Ok(fs::read(table)?
        .split(|byte| *byte == b'\n')
        .filter_map(Mounted::parse)
        .collect())
}

/// The mount whose top folder `path` leads to: the topmost, when several are stacked there. `None` when `path` is no
/// mountpoint. It asks the filesystem itself nothing, so it serves for one whose daemon is gone.
///
/// # Errors
/// Those of looking at it.
pub fn topmost_at(path: &Path) -> io::Result<Option<Mounted>> {
    let there = open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", there.as_raw_fd()))?;
    let id = info
        .lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    Ok(read(Path::new(OWN))?
        .into_iter()
        .find(|mounted| Some(mounted.id) == id && mounted.at == path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_table() {
        let line =
            b"36 35 98:0 /root /mnt/a\\040b\\134c\xe9 rw,noatime master:1 - fuse.slotfs slotfs rw";
        let mounted = Mounted::parse(line).unwrap();
        assert_eq!((mounted.id, mounted.device.as_str()), (36, "98:0"));
        assert_eq!(
            mounted.at.as_os_str().as_encoded_bytes(),
            b"/mnt/a b\\c\xe9"
        );
        assert!(mounted.is_slotfs());
        let of_before = b"36 35 0:50 / /m rw shared:7 master:1 - fuse slotfs rw";
        assert!(Mounted::parse(of_before).unwrap().is_slotfs());
        for other in [
            "- fuse.slotfs sshfs rw",
            "- tmpfs slotfs rw",
            "- fuse.x slotfs rw",
        ] {
            let line = format!("36 35 0:50 / /m rw {other}");
            assert!(
                !Mounted::parse(line.as_bytes()).unwrap().is_slotfs(),
                "{other}"
            );
        }
        for bad in ["", "x", "1 2", "1 2 3 4 5 6", "1 2 3:4 / /m rw -"] {
            assert_eq!(Mounted::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_root_is_a_mount() {
        let root = topmost_at(Path::new("/")).unwrap().unwrap();
        assert!(!root.is_slotfs());
        assert_eq!(topmost_at(Path::new("/proc/self")).unwrap(), None);
    }
}
