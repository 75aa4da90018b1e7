//! A member in a store that this process has open.

use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::facts::Facts;
use super::survey::{Gone, Live, Survey, Unread};
use crate::error::{Error, Result};
use crate::hsm::{self, Arrived, Carried, ContentKey, Hsm, Removed, Surveyed, reason};
use crate::object::{Handle, Object, Ouid, RowId, SlotId};

/// Rows of a trash that are read at a time.
const AT_ONCE: usize = 256;

/// A slot in which co is logged in.
pub(super) struct StoreMember {
    hsm: Arc<Hsm>,
    slot: SlotId,
    /// Whether the shell had it open before: then it stays open.
    keep: bool,
}

impl StoreMember {
    pub(super) fn new(hsm: Arc<Hsm>, slot: SlotId, keep: bool) -> Self {
        Self { hsm, slot, keep }
    }

    pub(super) fn facts(&self) -> Result<Facts> {
        let session = self.hsm.partition(self.slot).session()?;
        let row = session.row();
        let hex = |fingerprint: [u8; 8]| HEXLOWER.encode(&fingerprint);
        Ok(Facts {
            serial: row.serial,
            label: row.label.clone(),
            version: row.version.to_string(),
            retention_secs: Some(row.retention_secs),
            domains: session
                .domains()
                .iter()
                .map(|it| hex(it.fingerprint()))
                .collect(),
            smks: session
                .smks()
                .iter()
                .map(|it| hex(it.fingerprint()))
                .collect(),
        })
    }

    pub(super) fn survey(&self, key: &ContentKey) -> Survey {
        let mut survey = Survey::default();
        let partition = self.hsm.partition(self.slot);
        let mut nameless = None;
        let listed = partition.survey(key, |row| match (row.ouid, row.outcome) {
            (Some(ouid), Ok(surveyed)) => {
                let live = Live {
                    content: surveyed.content,
                    revision: Some(surveyed.revision),
                    description: Some(surveyed.description),
                    handle: row.handle,
                    changed_secs: surveyed.changed_secs,
                };
                survey.objects.insert(ouid, live);
            }
            (Some(ouid), Err(error)) => {
                let unread = Unread {
                    what: reason(&error),
                    is_kept_back: false,
                };
                survey.unread.insert(ouid, unread);
            }
            (None, Err(error)) => {
                nameless.get_or_insert(reason(&error));
            }
            (None, Ok(_)) => {}
        });
        survey.objects_cut = listed.err().map(|why| reason(&why)).or(nameless);
        survey.trash_cut = self
            .survey_trash(key, &mut survey)
            .err()
            .map(|why| reason(&why));
        survey
    }

    /// Goes on after a damaged row: only one that has lost its identity may be any object.
    fn survey_trash(&self, key: &ContentKey, survey: &mut Survey) -> hsm::Result<()> {
        let partition = self.hsm.partition(self.slot);
        let mut nameless = None;
        // A damaged row may have any number.
        let mut after = RowId::BELOW_ALL;
        loop {
            let page = partition.list_trash(after, AT_ONCE)?;
            if page.is_empty() {
                partition.check_trash_count()?;
                return nameless.map_or(Ok(()), |row| Err(hsm::Error::ObjectDamaged(row)));
            }
            for it in page {
                let it = match it {
                    Ok(it) => it,
                    Err(damaged) => {
                        after = damaged.id;
                        survey.trash_damaged += 1;
                        let gone = Gone {
                            at_secs: None,
                            revision: None,
                            description: None,
                            row: None,
                        };
                        match damaged.ouid {
                            Some(ouid) => survey.add_removed(ouid, gone),
                            None => nameless = Some(damaged),
                        }
                        continue;
                    }
                };
                after = it.object.id;
                let known = match partition.survey_trashed(key, &it) {
                    Ok(known) => Some(known),
                    // It was destroyed or restored since it was listed.
                    Err(hsm::Error::Gone) => continue,
                    Err(error) if error.is_damage() => {
                        survey.trash_damaged += 1;
                        None
                    }
                    Err(error) => return Err(error),
                };
                let gone = Gone {
                    at_secs: Some(it.trashed_secs),
                    revision: known.map(|it| it.revision),
                    description: known.map(|it| it.description),
                    row: Some(it.object.id),
                };
                survey.add_removed(it.object.ouid, gone);
            }
        }
    }

    /// The object that was removed, if it is in the trash still, and not in the slot again.
    pub(super) fn removed(&self, ouid: Ouid, gone: Gone) -> Result<Option<Object>> {
        let Some(row) = gone.row else { return Ok(None) };
        let partition = self.hsm.partition(self.slot);
        Ok(self
            .hsm
            .again_if_changed(|| partition.removed_identity(ouid, row))?)
    }

    /// The object as it is in the slot. No policy keeps it from being compared.
    pub(super) fn object(&self, key: &ContentKey, ouid: Ouid) -> Result<Object> {
        let partition = self.hsm.partition(self.slot);
        let found = self
            .hsm
            .again_if_changed(|| partition.survey_identity(key, ouid))?;
        Ok(found.1)
    }

    /// The object's handle and its blob.
    pub(super) fn fetch(&self, ouid: Ouid) -> Result<(Handle, Vec<u8>)> {
        let partition = self.hsm.partition(self.slot);
        let (handle, sealed) = self
            .hsm
            .again_if_changed(|| partition.seal_identity(ouid))?;
        Ok((handle, sealed.blob))
    }

    /// The object in a blob of another member, if this slot can open it.
    pub(super) fn describe(
        &self,
        key: &ContentKey,
        blob: &[u8],
    ) -> hsm::Result<(Object, Surveyed)> {
        self.hsm.partition(self.slot).describe_blob(key, blob)
    }

    pub(super) fn put(&self, blobs: &[Carried]) -> Result<Vec<hsm::Result<Arrived>>> {
        Ok(self.hsm.partition(self.slot).import_identities(blobs)?)
    }

    /// Removes the object, unless its content is another by now.
    pub(super) fn remove(&self, ouid: Ouid, there: &Live, key: &ContentKey) -> Result<Removed> {
        let partition = self.hsm.partition(self.slot);
        let (found, _, surveyed) = self
            .hsm
            .again_if_changed(|| partition.survey_identity(key, ouid))?;
        if surveyed.content != there.content {
            return Err(Error::Gone);
        }
        // The row is that of the content that was read: a later revision has another row.
        Ok(self
            .hsm
            .again_if_changed(|| hsm::wait(|done| self.hsm.remove_found(&found, false, done)))?)
    }
}

impl Drop for StoreMember {
    fn drop(&mut self) {
        if !self.keep {
            self.hsm.partition(self.slot).logout();
        }
    }
}
