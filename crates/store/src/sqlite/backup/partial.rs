//! The file of a copy until it is complete.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

// nix has this call for glibc alone, and the static program has another C library.
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{failed, refused};
use crate::sqlite::Result;
use slotfs_object::shown;

/// A copy that is being written, beside its target. Dropping it removes the copy, unless it is finished.
pub(crate) struct Partial {
    pub(crate) path: PathBuf,
    pub(crate) target: PathBuf,
    folder: PathBuf,
    finished: bool,
}

impl Partial {
    pub(crate) fn beside(target: &Path) -> Result<Self> {
        if target.file_name().is_none() {
            return Err(refused(target, "it does not name a file"));
        }
        let folder = match target.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let mut random = [0; 8];
        getrandom::fill(&mut random)?;
        // A short name of its own: the target's name may already have the longest length.
        let path = folder.join(format!(
            ".slotfs-backup-{:016x}",
            u64::from_le_bytes(random)
        ));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed(target))?;
        Ok(Self {
            path,
            target: target.to_owned(),
            folder,
            finished: false,
        })
    }

    /// Gives the copy its name, durably; its size in bytes.
    pub(crate) fn finish(mut self, replace: bool) -> Result<u64> {
        let renamed = self.rename(replace);
        renamed.map_err(failed(&self.target))
    }

    fn rename(&mut self, replace: bool) -> io::Result<u64> {
        let file = File::open(&self.path)?;
        file.sync_all()?;
        let bytes = file.metadata()?.len();
        match replace {
            true => fs::rename(&self.path, &self.target)?,
            false => rename_to_new(&self.path, &self.target)?,
        }
        self.finished = true;
        File::open(&self.folder)?.sync_all()?;
        Ok(bytes)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!(
                "{} could not be removed, remove it by hand: {error}",
                shown::path(&self.path)
            );
        }
    }
}

/// Renames without replacing a file that was created meanwhile.
pub(crate) fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every filesystem can do that. The caller has checked before; check once more.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        outcome => outcome.map_err(io::Error::from),
    }
}
