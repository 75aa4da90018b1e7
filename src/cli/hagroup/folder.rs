//! A member that is a slot's folder on a mount: it is reached by its files alone, so the mount may be another user's, or
//! that of a store which this process cannot open.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::facts::Facts;
use super::open::Openers;
use super::survey::{Gone, Live, Survey};
use crate::cli::file_error;
use crate::error::{Error, Result};
use crate::hsm::{Carried, ContentKey, MAX_BLOB_BYTES, Removed, Surveyed};
use crate::object::{Handle, Ouid};

/// The state of a slot in which co is logged in, in the words of the mount.
pub(super) const LOGGED_IN: &str = "logged in as co";
/// More than any `status`.
const MOST_STATUS_BYTES: u64 = 64 << 10;
/// More than a list of as many objects as a slot holds.
const MOST_LIST_BYTES: u64 = 1 << 30;

/// Refusals in one run whose reason is looked up: the list of verdicts is long, and most refusals have one reason.
const MOST_REASONS: u32 = 32;

/// A folder in which co is logged in.
pub(super) struct FolderMember {
    folder: PathBuf,
    facts: Facts,
    /// How often the list of verdicts was read for a reason.
    asked: Cell<u32>,
}

/// What its `status` says.
pub(super) struct Status {
    pub(super) facts: Facts,
    /// As the mount words it.
    pub(super) state: String,
}

impl Status {
    /// # Errors
    /// What the system says: no mount is there, or its daemon does not answer.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let text = read_text(&folder.join(".slotfs/status"), MOST_STATUS_BYTES)?;
        let pairs: Vec<(&str, &str)> = text.lines().filter_map(|it| it.split_once(": ")).collect();
        let all = |key: &'static str| {
            let of_key = pairs.iter().filter(move |it| it.0 == key);
            of_key.map(|it| it.1)
        };
        let one = |key: &'static str| {
            let missing = || io::Error::other(format!("its .slotfs/status has no '{key}'"));
            all(key).next().ok_or_else(missing)
        };
        let no_number = |_| io::Error::other("its .slotfs/status has a serial that is no number");
        // "red (key file, 0123456789abcdef)"
        let fingerprint = |domain: &str| {
            let last = domain.rsplit(' ').next().unwrap_or_default();
            last.trim_end_matches(')').to_owned()
        };
        Ok(Self {
            facts: Facts {
                serial: one("serial")?.parse().map_err(no_number)?,
                label: one("label")?.to_owned(),
                version: one("version")?.to_owned(),
                retention_secs: all("retention").next().and_then(|it| it.parse().ok()),
                domains: all("domain").map(fingerprint).collect(),
                smks: all("storage master key").map(str::to_owned).collect(),
            },
            state: one("state")?.to_owned(),
        })
    }
}

/// Opens a file to read. The folder may be anybody's: no link leads elsewhere, and no pipe blocks.
fn open(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// A text of at most so many bytes. What is longer is not whole.
fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = open(path)?.take(most + 1).read_to_string(&mut text)?;
    match read as u64 > most {
        true => Err(io::Error::other("it is too long")),
        false => Ok(text),
    }
}

/// What became of a blob that was written to it.
pub(super) enum Written {
    /// The member holds what was written, or something else than before.
    Changed,
    /// It holds what it held before: the same object, or a later revision.
    AsBefore,
}

impl FolderMember {
    pub(super) fn new(folder: PathBuf, facts: Facts) -> Self {
        Self {
            folder,
            facts,
            asked: Cell::new(0),
        }
    }

    pub(super) fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// Why nothing more can be done there, if that is so: the mount is gone, or co was logged out.
    pub(super) fn lost(&self) -> Option<String> {
        match Status::read(&self.folder) {
            Ok(status) if status.state == LOGGED_IN => None,
            Ok(status) => Some(format!("it is {}", status.state)),
            Err(error) => Some(error.to_string()),
        }
    }

    fn object(&self, ouid: Ouid) -> PathBuf {
        self.folder.join(".slotfs/ouid").join(ouid.to_string())
    }

    /// Reads every blob. A blob that no member in a store can open is known by its bytes.
    pub(super) fn survey(&self, key: &ContentKey, openers: &Openers<'_>) -> Survey {
        let mut survey = Survey::default();
        let handles = self.handles();
        let listed = self.list(|ouid| match self.read(ouid) {
            Ok((blob, changed_secs)) => {
                let (content, revision) = match openers.describe(key, &blob) {
                    Some((_, Surveyed { content, revision })) => (content, Some(revision)),
                    None => (key.of_blob(&blob), None),
                };
                let live = Live {
                    content,
                    revision,
                    handle: handles.as_ref().ok().and_then(|it| it.get(&ouid).copied()),
                    changed_secs,
                };
                survey.objects.insert(ouid, live);
            }
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                survey.damaged.insert(ouid, error.to_string());
            }
        });
        survey.objects_cut = listed.err().map(|why| why.to_string());
        survey.trash_cut = self
            .survey_trash(&mut survey)
            .err()
            .map(|why| why.to_string());
        survey
    }

    fn list(&self, mut each: impl FnMut(Ouid)) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.join(".slotfs/ouid"))? {
            // Staging files and aliases are no objects.
            if let Some(Ok(ouid)) = entry?.file_name().to_str().map(str::parse) {
                each(ouid);
            }
        }
        Ok(())
    }

    /// The handles of objects, so that they get the same in other members where these are free.
    fn handles(&self) -> io::Result<HashMap<Ouid, Handle>> {
        let text = read_text(&self.folder.join(".slotfs/contents"), MOST_LIST_BYTES)?;
        let row = |line: &str| {
            let mut words = line.split_whitespace();
            let handle = words.next()?.parse().ok()?;
            // The label comes after the identity.
            let ouid = words.find_map(|word| word.parse().ok())?;
            Some((ouid, handle))
        };
        Ok(text.lines().filter_map(row).collect())
    }

    fn survey_trash(&self, survey: &mut Survey) -> io::Result<()> {
        let file = self.folder.join(".slotfs/removed");
        let text = read_text(&file, MOST_LIST_BYTES).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::other(
                "its daemon is of an earlier version, which does not list the trash; mount again",
            ),
            _ => error,
        })?;
        for line in text.lines().skip(1) {
            let mut words = line.split_whitespace();
            let mut next = || words.next().unwrap_or_default();
            let (ouid, revision, removed) = (next(), next(), next());
            let not_read = || io::Error::other("its list of the trash cannot be read");
            let ouid = ouid.parse().map_err(|()| not_read())?;
            let at: jiff::Timestamp = removed.parse().map_err(|_| not_read())?;
            let gone = Gone {
                at_secs: u64::try_from(at.as_second()).unwrap_or_default(),
                revision: revision.parse().ok(),
                content: None,
            };
            survey.add_removed(ouid, gone);
        }
        Ok(())
    }

    /// A blob, and when its object was described last.
    fn read(&self, ouid: Ouid) -> io::Result<(Vec<u8>, u64)> {
        let file = open(&self.object(ouid))?;
        let changed = file.metadata()?.mtime();
        let mut blob = Vec::new();
        file.take(MAX_BLOB_BYTES as u64 + 1)
            .read_to_end(&mut blob)?;
        Ok((blob, u64::try_from(changed).unwrap_or_default()))
    }

    /// A blob.
    pub(super) fn fetch(&self, ouid: Ouid) -> Result<Vec<u8>> {
        let blob = self.read(ouid).map_err(file_error(&self.object(ouid)))?;
        Ok(blob.0)
    }

    /// Writes a blob under its identity. The slot verifies it, and says so before the file is closed.
    pub(super) fn put(&self, carried: &Carried) -> Result<Written> {
        let path = self.object(carried.ouid);
        let before = self.read(carried.ouid).ok().map(|it| it.0);
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .and_then(|mut file| {
                file.write_all(&carried.blob)?;
                file.sync_all()
            });
        if let Err(error) = written {
            return Err(self.refused(carried.ouid, error));
        }
        let after = self.read(carried.ouid).map_err(file_error(&path))?.0;
        match before {
            Some(before) if before == after => Ok(Written::AsBefore),
            _ => Ok(Written::Changed),
        }
    }

    /// Why the slot refused a blob: in the words of its verdict, if it is the latest one about the object.
    fn refused(&self, ouid: Ouid, error: io::Error) -> Error {
        const SAID: &str = " was not cloned to slot ";
        let path = self.object(ouid);
        let name = ouid.to_string();
        let asked = self.asked.get();
        self.asked.set(asked.saturating_add(1));
        let verdicts = match asked < MOST_REASONS {
            true => read_text(&self.folder.join(".slotfs/clones"), MOST_LIST_BYTES).ok(),
            false => None,
        };
        let said = verdicts.as_deref().and_then(|text| {
            let line = text.lines().rfind(|line| line.contains(&name))?;
            line.split_once(SAID)?.1.split_once(": ").map(|it| it.1)
        });
        let source = match said {
            Some(said) => io::Error::new(error.kind(), said.to_owned()),
            None => error,
        };
        Error::File { path, source }
    }

    /// Removes the object, unless its content is another by now.
    pub(super) fn remove(
        &self,
        ouid: Ouid,
        there: &Live,
        (key, openers): (&ContentKey, &Openers<'_>),
    ) -> Result<Removed> {
        let blob = self.fetch(ouid)?;
        let content = match openers.describe(key, &blob) {
            Some((_, surveyed)) => surveyed.content,
            None => key.of_blob(&blob),
        };
        if content != there.content {
            return Err(Error::Gone);
        }
        let path = self.object(ouid);
        fs::remove_file(&path).map_err(file_error(&path))?;
        Ok(match self.facts.retention_secs {
            Some(0) => Removed::Destroyed,
            _ => Removed::ToTrash,
        })
    }
}
