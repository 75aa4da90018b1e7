//! Key shares: read from files one by one to log in, written to files when they are issued.

use std::fs::{self, DirBuilder, File};
use std::io::{self, IsTerminal};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::cli::guarded::{Keeper, read_guarded};
use crate::cli::{Answer, Console, file_error, output, write_new};
use crate::credential::{KeyShare, Secret};
use crate::error::{Error, Result, exit};
use crate::hsm::{self, Gathering, Hsm, SlotError};
use crate::object::SlotId;
use crate::object::partition::Role;
use crate::secret::SecretBytes;

/// More than any key share.
const MOST_SHARE_BYTES: u64 = 4096;

/// Enough key shares of a role.
pub(crate) struct Shares {
    /// The secret that they make.
    pub(crate) secret: Secret,
    /// The contents of their files, in the order that they were given.
    pub(crate) texts: Vec<SecretBytes>,
}

impl Console<'_> {
    /// The key shares of `role` from `--share-file`, and those that are missing from files that the user is asked for.
    /// A share that is refused is told and does not count.
    ///
    /// # Errors
    /// [`Error::SharesMissing`] when they are not enough and there is no terminal to ask on, else as [`Hsm::gather`].
    pub(super) fn shares(&self, hsm: &Hsm, slot: SlotId, role: Role) -> Result<Shares> {
        let mut gathering = hsm.partition(slot).gather(role)?;
        let mut texts = Vec::new();
        for (path, keeper) in self.files(slot, role)?.shares {
            if let Some(secret) = add(&mut gathering, &path, keeper, &mut texts) {
                return Ok(Shares { secret, texts });
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
            if let Some(secret) = add(&mut gathering, Path::new(&path), Keeper::Owner, &mut texts) {
                return Ok(Shares { secret, texts });
            }
        }
    }
}

/// Adds the share in the file at `path`; tells why when it is refused.
fn add(
    gathering: &mut Gathering,
    path: &Path,
    keeper: Keeper,
    texts: &mut Vec<SecretBytes>,
) -> Option<Secret> {
    let taken = read_guarded(path, MOST_SHARE_BYTES, keeper).and_then(|text| {
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

/// Asks on the terminal for something that is not secret.
pub(crate) fn ask_line(text: &str) -> String {
    output::tell(&format!("        {text}"));
    let mut line = String::new();
    // An answer that cannot be read is empty.
    let _ = io::stdin().read_line(&mut line);
    line.trim().to_owned()
}

/// Files of key shares that were just written. They are removed again when the command fails.
pub(crate) struct Issued {
    files: Vec<PathBuf>,
    /// The folder, when it was made for them.
    folder: Option<PathBuf>,
}

impl Issued {
    /// Writes each share to a file of its own in `folder`, such as `share-1-of-3`, with mode 0400, and syncs it.
    ///
    /// # Errors
    /// [`Error::File`]. No file is replaced, and none is left behind.
    pub(crate) fn write(folder: &Path, shares: &[KeyShare]) -> Result<Self> {
        let mut issued = Self {
            files: Vec::new(),
            folder: None,
        };
        match DirBuilder::new().mode(0o700).create(folder) {
            Ok(()) => issued.folder = Some(folder.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(file_error(folder)(error)),
        }
        for share in shares {
            let path = folder.join(format!("share-{}-of-{}", share.index, share.quorum.n()));
            write_new(&path, share.to_text().bytes(), 0o400).map_err(file_error(&path))?;
            issued.files.push(path);
        }
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(file_error(folder))?;
        Ok(issued)
    }

    /// Called with the outcome of the change that the shares are for. When the store failed, the change may still have
    /// happened, and only these shares open the slot then: they stay.
    pub(crate) fn settle<T>(issued: &mut Option<Self>, outcome: hsm::Result<T>) -> Result<T> {
        if let (Some(issued), Err(error)) = (issued, &outcome)
            && error.outcome().exit == exit::STORE
        {
            issued.folder = None;
            for file in issued.files.drain(..) {
                output::tell(&format!(
                    "slotfs: {} was written and may be in use; try to log in with it before you remove it\n",
                    crate::shown::path(&file)
                ));
            }
        }
        Ok(outcome?)
    }

    /// Keeps them.
    fn keep(mut self) -> Vec<PathBuf> {
        self.folder = None;
        std::mem::take(&mut self.files)
    }
}

impl Answer {
    /// Keeps key shares that were issued, and adds where they are.
    pub(super) fn shares(mut self, issued: Option<Issued>) -> Self {
        let Some(issued) = issued else { return self };
        let files = issued.keep();
        let files: Vec<String> = files
            .iter()
            .map(|file| crate::shown::path(file).to_string())
            .collect();
        for file in &files {
            self = self.line(format_args!("Key share {file}"));
        }
        self.fact("shares", files)
    }
}

impl Drop for Issued {
    fn drop(&mut self) {
        for file in &self.files {
            // No slot uses it, so a file that cannot be removed does no harm.
            let _ = fs::remove_file(file);
        }
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir(folder);
        }
    }
}
