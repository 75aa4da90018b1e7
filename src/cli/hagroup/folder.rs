//! A member that is a slot's folder on a mount: it is reached by its files alone, so the mount may be another user's, or
//! that of a store which this process cannot open.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::PathBuf;

use super::facts::Facts;
use super::open::Openers;
use super::survey::{Live, Survey, Unread};
use crate::cli::file_error;
use crate::error::{Error, Result};
use crate::hsm::{Carried, Content, ContentKey, Removed, Surveyed};
use crate::object::Ouid;

mod files;
mod lists;
mod mount;
mod status;
mod worker;

use lists::Described;
pub(super) use mount::Mount;
pub(super) use status::{LOGGED_IN, Status};

/// Refusals in one run whose reason is looked up: the list of verdicts is long, and most refusals have one reason.
const MOST_REASONS: u32 = 32;

/// A folder in which co is logged in.
pub(super) struct FolderMember {
    folder: PathBuf,
    facts: Facts,
    mount: Mount,
    /// How often the list of verdicts was read for a reason.
    asked: Cell<u32>,
}

/// What became of a blob that was written to it.
pub(super) enum Written {
    /// The member holds what was written, or something else than before.
    Changed,
    /// It held the same object before.
    AsBefore,
    /// It holds what it held before, and that is another description.
    StillOther,
}

impl FolderMember {
    pub(super) fn new(folder: PathBuf, facts: Facts, mount: Mount) -> Self {
        Self {
            folder,
            facts,
            mount,
            asked: Cell::new(0),
        }
    }

    pub(super) fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// Why nothing more can be done there, if that is so: the mount is gone or hangs, or co was logged out.
    pub(super) fn lost(&self) -> Option<String> {
        match self.mount.status() {
            Ok(status) if status.state == LOGGED_IN => None,
            Ok(status) => Some(format!("it is {}", status.state)),
            Err(error) => Some(error.to_string()),
        }
    }

    fn object(&self, ouid: Ouid) -> PathBuf {
        self.folder.join(".slotfs/ouid").join(ouid.to_string())
    }

    /// Reads every blob. A blob that no member in a store can open is known by its bytes, and by what the mount says of it.
    pub(super) fn survey(&self, key: &ContentKey, openers: &Openers<'_>) -> Survey {
        let mut survey = Survey::default();
        if let Err(why) = self.survey_objects(&mut survey, key, openers) {
            survey.objects_cut = Some(why.to_string());
        }
        survey.trash_cut = self.survey_trash(&mut survey).err();
        survey
    }

    fn survey_objects(
        &self,
        survey: &mut Survey,
        key: &ContentKey,
        openers: &Openers<'_>,
    ) -> io::Result<()> {
        let (ouids, cut) = self.mount.identities()?;
        for ouid in ouids {
            match self.mount.read(ouid) {
                Ok((blob, changed_secs)) => {
                    let (content, opened) = content(key, openers, &blob);
                    let live = Live {
                        content,
                        revision: opened.map(|it| it.revision),
                        description: opened.map(|it| it.description),
                        handle: None,
                        changed_secs: opened.map_or(changed_secs, |it| it.changed_secs),
                    };
                    survey.objects.insert(ouid, live);
                }
                // Removed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(error),
                Err(error) => {
                    let unread = Unread {
                        what: error.to_string(),
                        is_kept_back: error.kind() == io::ErrorKind::PermissionDenied,
                    };
                    survey.unread.insert(ouid, unread);
                }
            }
        }
        // After the blobs: an object that is described anew meanwhile then counts as later than what was read, and what was
        // read is not removed for it.
        let described = self.described()?;
        for (ouid, live) in &mut survey.objects {
            if let Some(it) = described.get(ouid) {
                live.handle = it.handle;
                live.revision = live.revision.or(it.revision);
                live.description = live.description.or(it.description);
            }
        }
        cut.map_or(Ok(()), Err)
    }

    /// Handles, so that objects get the same in other members where these are free; and the order of descriptions.
    fn described(&self) -> io::Result<HashMap<Ouid, Described>> {
        match self.mount.list("revisions") {
            Ok(text) => Ok(lists::revisions(&text)),
            // The daemon is of an earlier version: the times of the blobs have to do, and the slots decide.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(HashMap::new()),
            Err(error) => Err(error),
        }
    }

    fn survey_trash(&self, survey: &mut Survey) -> Result<(), String> {
        let text =
            self.mount.list("removed").map_err(|error| {
                match error.kind() {
            io::ErrorKind::NotFound => {
                "its daemon is of an earlier version, which does not list the trash; mount again"
                    .to_owned()
            }
            _ => error.to_string(),
        }
            })?;
        Ok(lists::removed(&text, survey)?)
    }

    /// What is in the trash.
    ///
    /// # Errors
    /// When that cannot be listed as a whole.
    pub(super) fn trash(&self) -> Result<HashSet<Ouid>, String> {
        let mut survey = Survey::default();
        self.survey_trash(&mut survey)?;
        Ok(survey.removed.into_keys().collect())
    }

    /// Whether the object is there.
    pub(super) fn has(&self, ouid: Ouid) -> Result<bool> {
        self.mount.has(ouid).map_err(file_error(&self.object(ouid)))
    }

    /// A blob.
    pub(super) fn fetch(&self, ouid: Ouid) -> Result<Vec<u8>> {
        let read = self.mount.read(ouid);
        Ok(read.map_err(file_error(&self.object(ouid)))?.0)
    }

    /// Writes a blob under its identity. The slot verifies it, and says so before the file is closed. `is_alike` says whether
    /// the mount described what it holds as the other member describes the blob.
    pub(super) fn put(
        &self,
        carried: &Carried,
        (key, openers): (&ContentKey, &Openers<'_>),
        is_alike: bool,
    ) -> Result<Written> {
        let ouid = carried.ouid;
        let before = self.mount.read(ouid).ok().map(|it| it.0);
        if let Err(error) = self.mount.write(ouid, &carried.blob) {
            return Err(self.refused(ouid, error));
        }
        let after = self.fetch(ouid)?;
        if before.is_none_or(|before| before != after) {
            return Ok(Written::Changed);
        }
        let is_same = content(key, openers, &after).0 == content(key, openers, &carried.blob).0;
        Ok(match is_same || is_alike {
            true => Written::AsBefore,
            false => Written::StillOther,
        })
    }

    /// Why the slot refused a blob: in the words of its verdict, if it is the latest one about the object.
    fn refused(&self, ouid: Ouid, error: io::Error) -> Error {
        const SAID: &str = " was not cloned to slot ";
        let path = self.object(ouid);
        let name = ouid.to_string();
        let asked = self.asked.get();
        self.asked.set(asked.saturating_add(1));
        let verdicts = match asked < MOST_REASONS {
            true => self.mount.list("clones").ok(),
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
        if content(key, openers, &blob).0 != there.content {
            return Err(Error::Gone);
        }
        let removed = self.mount.remove(ouid);
        removed.map_err(file_error(&self.object(ouid)))?;
        Ok(match self.facts.retention_secs {
            Some(0) => Removed::Destroyed,
            _ => Removed::ToTrash,
        })
    }
}

/// The mark of a blob, and what is in it if a member in a store can open it.
fn content(key: &ContentKey, openers: &Openers<'_>, blob: &[u8]) -> (Content, Option<Surveyed>) {
    match openers.describe(key, blob) {
        Some((_, surveyed)) => (surveyed.content, Some(surveyed)),
        None => (key.of_blob(blob), None),
    }
}
