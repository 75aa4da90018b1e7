//! The files of a slot on a mount. They are opened relative to its open folder, and no link is followed: what is below the
//! folder may be anybody's, and a timer reads and writes it as root.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::statfs::{FUSE_SUPER_MAGIC, fstatfs};
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, openat, statat, unlinkat};

use crate::hsm::MAX_BLOB_BYTES;
use crate::object::Ouid;

/// A folder that is only gone through.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// A file: no pipe blocks.
const PLAIN: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// A slot's folder, open.
pub(super) struct Files {
    hidden: OwnedFd,
}

/// Identities, and what kept others from being listed.
pub(super) type Listed = (Vec<Ouid>, Option<io::Error>);

impl Files {
    /// # Errors
    /// When no folder of a mount in user space is there.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let root = openat(CWD, folder, FOLDER, Mode::empty())?;
        // A plain folder with the same names would hold no copy that any HSM guards.
        if fstatfs(&root)?.filesystem_type() != FUSE_SUPER_MAGIC {
            return Err(io::Error::other(
                "it is a folder, and nothing is mounted there",
            ));
        }
        let inner = FOLDER | OFlags::NOFOLLOW;
        let hidden = openat(&root, ".slotfs", inner, Mode::empty())?;
        Ok(Self { hidden })
    }

    /// A text of at most so many bytes. What is longer is not whole.
    pub(super) fn text(&self, name: &str, most: u64) -> io::Result<String> {
        let file = plain(openat(
            &self.hidden,
            name,
            PLAIN | OFlags::RDONLY,
            Mode::empty(),
        )?)?;
        let mut text = String::new();
        let read = file.take(most + 1).read_to_string(&mut text)?;
        match read as u64 > most {
            true => Err(io::Error::other("it is too long")),
            false => Ok(text),
        }
    }

    /// The objects that are there.
    pub(super) fn identities(&self) -> io::Result<Listed> {
        let flags = PLAIN | OFlags::RDONLY | OFlags::DIRECTORY;
        let folder = openat(&self.hidden, "ouid", flags, Mode::empty())?;
        let mut found = Vec::new();
        for entry in Dir::new(folder)? {
            match entry {
                // Staging files and aliases are no objects.
                Ok(entry) => {
                    if let Some(Ok(ouid)) = entry.file_name().to_str().ok().map(str::parse) {
                        found.push(ouid);
                    }
                }
                Err(why) => return Ok((found, Some(why.into()))),
            }
        }
        Ok((found, None))
    }

    /// A blob, and when its object was described last.
    pub(super) fn read(&self, ouid: Ouid) -> io::Result<(Vec<u8>, u64)> {
        let (name, flags) = (ouid.to_string(), PLAIN | OFlags::RDONLY);
        let file = plain(openat(self.objects()?, name, flags, Mode::empty())?)?;
        let changed = file.metadata()?.mtime();
        let mut blob = Vec::new();
        file.take(MAX_BLOB_BYTES as u64 + 1)
            .read_to_end(&mut blob)?;
        Ok((blob, u64::try_from(changed).unwrap_or_default()))
    }

    /// Writes a blob. The slot verifies it, and says so before the file is closed.
    pub(super) fn write(&self, ouid: Ouid, blob: &[u8]) -> io::Result<()> {
        let flags = PLAIN | OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let mode = Mode::RUSR | Mode::WUSR;
        let name = ouid.to_string();
        let mut file = plain(openat(self.objects()?, name, flags, mode)?)?;
        file.write_all(blob)?;
        file.sync_all()
    }

    /// Whether the object is there.
    pub(super) fn has(&self, ouid: Ouid) -> io::Result<bool> {
        let name = ouid.to_string();
        match statat(self.objects()?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(why) => Err(why.into()),
        }
    }

    pub(super) fn remove(&self, ouid: Ouid) -> io::Result<()> {
        let name = ouid.to_string();
        Ok(unlinkat(self.objects()?, name, AtFlags::empty())?)
    }

    /// The folder of objects by identity, which is there while a role is logged in.
    fn objects(&self) -> io::Result<OwnedFd> {
        let inner = FOLDER | OFlags::NOFOLLOW;
        Ok(openat(&self.hidden, "ouid", inner, Mode::empty())?)
    }
}

/// What was opened, if it is a file.
fn plain(opened: OwnedFd) -> io::Result<File> {
    let file = File::from(opened);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a file")),
    }
}
