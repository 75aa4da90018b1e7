//! Key shares on the command line: read one by one to log in, written to files when they are issued (docs/kinds.md, "Quorum").

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Console, output};
use crate::cli::guarded::{Keeper, read_guarded};
use crate::credential::{KeyShare, Secret};
use crate::error::{Error, Result, exit};
use crate::hsm::{self, Gathering, Hsm, SlotError};
use crate::object::SlotId;
use crate::object::partition::Role;
use crate::secret::SecretBytes;

/// More than any key share.
const MOST_SHARE_BYTES: u64 = 4096;

/// What enough key shares of a role make, and the files' contents.
pub struct Shown {
    /// What they make.
    pub secret: Secret,
    /// The shares themselves, in the order that they were given.
    pub texts: Vec<SecretBytes>,
}

impl Console<'_> {
    /// The key shares of `role` that `--share-file` gives, else one file name after another from a prompt. A share
    /// that is refused is told, and the others count.
    ///
    /// # Errors
    /// [`Error::SharesMissing`] when they are not enough and nobody can be asked, else as [`Hsm::gather`].
    pub(super) fn shares(&self, hsm: &Hsm, slot: SlotId, role: Role) -> Result<Shown> {
        let mut gathering = hsm.partition(slot).gather(role)?;
        let mut texts = Vec::new();
        for path in self.share_files(slot, role) {
            if let Some(secret) = add(&mut gathering, &path, &mut texts) {
                return Ok(Shown { secret, texts });
            }
        }
        let need = usize::from(gathering.quorum().m());
        let missing = |have| Error::from(SlotError::SharesMissing { role, have, need }.at(slot));
        if !io::stdin().is_terminal() {
            return Err(missing(gathering.have()));
        }
        loop {
            let nth = gathering.have() + 1;
            let path = ask_line(&format!(
                "Enter the file of a key share of {role} of slot {slot} ({nth} of {need}): "
            ));
            if path.is_empty() {
                return Err(missing(gathering.have()));
            }
            if let Some(secret) = add(&mut gathering, Path::new(&path), &mut texts) {
                return Ok(Shown { secret, texts });
            }
        }
    }
}

/// Takes the share in the file at `path`; one that cannot be taken is told.
fn add(gathering: &mut Gathering, path: &Path, texts: &mut Vec<SecretBytes>) -> Option<Secret> {
    let taken = read_guarded(path, MOST_SHARE_BYTES, Keeper::Owner).and_then(|text| {
        let secret = gathering.add(&crate::shown::path(path).to_string(), text.bytes())?;
        Ok((text, secret))
    });
    match taken {
        Ok((text, secret)) => {
            texts.push(text);
            secret
        }
        Err(error) => {
            output::tell_error(&error);
            None
        }
    }
}

/// Asks on the terminal for what may be seen.
pub fn ask_line(text: &str) -> String {
    output::tell(&format!("        {text}"));
    let mut line = String::new();
    // An unreadable answer is none.
    let _ = io::stdin().read_line(&mut line);
    line.trim().to_owned()
}

/// Files of key shares that were just written. They are removed again unless what they are for came to be.
pub struct Issued {
    files: Vec<PathBuf>,
    /// Made for them.
    folder: Option<PathBuf>,
}

impl Issued {
    /// Writes each share to a file of its own in `folder`, `share-1-of-3` and so on, 0400 and synced.
    ///
    /// # Errors
    /// [`Error::File`]; no file is replaced, and none is left.
    pub fn write(folder: &Path, shares: &[KeyShare]) -> Result<Self> {
        let mut issued = Self {
            files: Vec::new(),
            folder: None,
        };
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::File { path, source }
        };
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => issued.folder = Some(folder.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(folder)(error)),
        }
        for share in shares {
            let path = folder.join(format!("share-{}-of-{}", share.index, share.quorum.n()));
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o400)
                .open(&path)
                .map_err(failed(&path))?;
            issued.files.push(path.clone());
            file.write_all(share.to_text().bytes())
                .and_then(|()| file.sync_all())
                .map_err(failed(&path))?;
        }
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed(folder))?;
        Ok(issued)
    }

    /// After what they are for was tried. Where the store failed it may yet have happened, and then they are all
    /// that opens the slot: they stay.
    pub fn settle<T>(issued: &mut Option<Self>, outcome: hsm::Result<T>) -> Result<T> {
        if let (Some(issued), Err(error)) = (issued, &outcome)
            && error.outcome().exit == exit::STORE
        {
            issued.folder = None;
            for file in issued.files.drain(..) {
                output::tell(&format!(
                    "slotfs: {} was written, and may be in use: try to log in with it before you remove it\n",
                    crate::shown::path(&file)
                ));
            }
        }
        Ok(outcome?)
    }

    /// Keeps them, and says where they are.
    pub fn keep(mut self, json: bool) -> Vec<String> {
        let files: Vec<String> = std::mem::take(&mut self.files)
            .iter()
            .map(|file| crate::shown::path(file).to_string())
            .collect();
        self.folder = None;
        if !json {
            for file in &files {
                output::print(&format!("        Key share {file}\n"));
            }
        }
        files
    }
}

impl Drop for Issued {
    fn drop(&mut self) {
        for file in &self.files {
            // They open nothing, so one that stays does no harm.
            let _ = fs::remove_file(file);
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}
