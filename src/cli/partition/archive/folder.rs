//! The files of a folder of backups. Everything is opened relative to a descriptor of its folder and without following
//! links, so that nobody who can write there leads a command out of it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, flock, fstat, fsync, mkdirat, openat,
    renameat, unlinkat,
};
use rustix::io::Errno;

use super::label::Label;
use crate::cli::file_error;
use crate::error::{Error, Result};
use crate::hsm::code;

/// How names of files begin that are being written.
const TEMPORARY: &str = ".slotfs-archive-";

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A folder of backups.
pub(super) struct Archive {
    path: PathBuf,
    folder: OwnedFd,
}

impl Archive {
    /// Opens it. The path itself is the user's: a link in it is followed.
    ///
    /// # Errors
    /// [`Error::File`]
    pub(super) fn open(path: &Path) -> Result<Self> {
        let flags = FOLDER.difference(OFlags::NOFOLLOW);
        let folder = rustix::fs::open(path, flags, Mode::empty());
        Ok(Self {
            path: path.to_owned(),
            folder: folder.map_err(|errno| match errno {
                Errno::NOENT => Error::Archive {
                    path: path.to_owned(),
                    what: "there is no such folder of backups".to_owned(),
                    hint: Some(
                        "'slotfs partition archive backup' makes it; or give another -folder",
                    ),
                    code: code::FUNCTION_FAILED,
                },
                errno => file_error(path)(errno.into()),
            })?,
        })
    }

    /// Opens it, and makes it first where it is not there.
    ///
    /// # Errors
    /// [`Error::File`]
    pub(super) fn open_or_create(path: &Path) -> Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {
                let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
                let parent = File::open(parent.unwrap_or(Path::new(".")));
                let synced = parent.and_then(|parent| parent.sync_all());
                synced.map_err(file_error(path))?;
            }
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(file_error(path)(why)),
        }
        Self::open(path)
    }

    /// Its path as the user gave it.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it.
    ///
    /// # Errors
    /// [`Error::File`]
    pub(super) fn names(&self) -> Result<Vec<OsString>> {
        names(&self.folder).map_err(file_error(&self.path))
    }

    /// The backup called `label`; `None` where there is no folder of that name.
    ///
    /// # Errors
    /// [`Error::File`], also for a link.
    pub(super) fn backup(&self, label: &Label) -> Result<Option<BackupFolder>> {
        let path = self.path.join(label.as_str());
        match openat(&self.folder, label.as_str(), FOLDER, Mode::empty()) {
            Ok(folder) => Ok(Some(BackupFolder { path, folder })),
            Err(Errno::NOENT) => Ok(None),
            // What O_NOFOLLOW and O_DIRECTORY say of a link.
            Err(Errno::LOOP | Errno::NOTDIR) => Err(Error::Archive {
                path,
                what: "this is not a folder, so it is not a backup".to_owned(),
                hint: Some("remove or rename it, or choose another -partition"),
                code: code::FUNCTION_FAILED,
            }),
            Err(errno) => Err(file_error(&path)(errno.into())),
        }
    }

    /// Makes the folder of a backup, where it is not there.
    ///
    /// # Errors
    /// [`Error::File`]
    pub(super) fn create(&self, label: &Label) -> Result<BackupFolder> {
        let path = self.path.join(label.as_str());
        let made = match mkdirat(&self.folder, label.as_str(), Mode::RWXU) {
            Ok(()) => fsync(&self.folder),
            Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno),
        };
        made.map_err(|errno| file_error(&path)(errno.into()))?;
        self.backup(label)?
            .ok_or_else(|| file_error(&path)(Errno::NOENT.into()))
    }

    /// Removes the folder of a backup if nothing is in it; whether it is gone.
    ///
    /// # Errors
    /// [`Error::File`]
    pub(super) fn remove_if_empty(&self, label: &Label) -> Result<bool> {
        match unlinkat(&self.folder, label.as_str(), AtFlags::REMOVEDIR) {
            Ok(()) => {
                let synced = fsync(&self.folder);
                synced.map_err(|errno| file_error(&self.path)(errno.into()))?;
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => Err(file_error(&self.path.join(label.as_str()))(errno.into())),
        }
    }
}

/// The folder of one backup.
pub(super) struct BackupFolder {
    path: PathBuf,
    folder: OwnedFd,
}

impl BackupFolder {
    /// Its path, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps other commands from changing it, until this is dropped.
    ///
    /// # Errors
    /// [`Error::Archive`] when one is at it.
    pub(super) fn lock(&self, to_change: bool) -> Result<()> {
        let how = match to_change {
            true => FlockOperation::NonBlockingLockExclusive,
            false => FlockOperation::NonBlockingLockShared,
        };
        match flock(&self.folder, how) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => Err(Error::Archive {
                path: self.path.clone(),
                what: "another command is using this backup".to_owned(),
                hint: Some("retry when it has ended"),
                code: code::FUNCTION_FAILED,
            }),
            // Some network filesystems have no locks.
            Err(Errno::NOTSUP | Errno::NOLCK | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(errno) => Err(file_error(&self.path)(errno.into())),
        }
    }

    /// The names in it.
    ///
    /// # Errors
    /// [`Error::File`]
    pub(super) fn names(&self) -> Result<Vec<OsString>> {
        names(&self.folder).map_err(file_error(&self.path))
    }

    /// The content of a plain file, at most `most` bytes of it.
    ///
    /// # Errors
    /// What the system says; `NotFound` where there is none.
    pub(super) fn read(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        // A pipe does not keep the command waiting.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, name, flags, Mode::empty());
        let file = file.map_err(|errno| match errno {
            Errno::LOOP => io::Error::other("it is a symbolic link"),
            errno => errno.into(),
        })?;
        let there = fstat(&file)?;
        if FileType::from_raw_mode(there.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is not a plain file"));
        }
        let mut content = Vec::new();
        File::from(file).take(most + 1).read_to_end(&mut content)?;
        match content.len() as u64 > most {
            true => Err(io::Error::other(format!("it is larger than {most} bytes"))),
            false => Ok(content),
        }
    }

    /// Writes a file under `name`, completely or not at all. Its content is durable, and its name after [`Self::sync`].
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let temporary = format!("{TEMPORARY}{}", data_encoding::HEXLOWER.encode(&random));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(openat(
            &self.folder,
            &temporary,
            flags,
            Mode::RUSR | Mode::WUSR,
        )?);
        let written = file
            .write_all(content)
            .and_then(|()| file.sync_all())
            .and_then(|()| Ok(renameat(&self.folder, &temporary, &self.folder, name)?));
        written.inspect_err(|_| {
            // The failure to report is the one before.
            let _ = unlinkat(&self.folder, &temporary, AtFlags::empty());
        })
    }

    /// Makes the content of a file durable that an earlier command may have written.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn sync_file(&self, name: &str) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(&self.folder, name, flags, Mode::empty())?;
        Ok(fsync(&file)?)
    }

    /// Removes the file called `name`, if it is there.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes what a command that was killed had begun to write. The lock says that none is writing now.
    pub(super) fn remove_unfinished(&self) -> Result<()> {
        for name in self.names()? {
            if let Some(name) = name.to_str().filter(|name| name.starts_with(TEMPORARY)) {
                self.remove(name)
                    .map_err(file_error(&self.path.join(name)))?;
            }
        }
        Ok(())
    }

    /// Makes the names of files durable.
    ///
    /// # Errors
    /// [`Error::File`]
    pub(super) fn sync(&self) -> Result<()> {
        fsync(&self.folder).map_err(|errno| file_error(&self.path)(errno.into()))
    }
}

fn names(folder: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}
