//! The index of a backup while it is being made, and the files that it will name.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use super::folder::BackupFolder;
use super::index::{Blob, Entry, Index, shortened};
use crate::cli::file_error;
use crate::error::{Error, Result};
use crate::hsm::Sealed;
use crate::object::Handle;
use crate::object::pkcs11::{class_name, key_type_name};

/// The index as it will be, and what is known of the earlier one.
pub(super) struct Draft {
    /// The entries that stay or were added, by identity, in their order.
    pub(super) index: Index,
    /// Where each identity is in it.
    by_ouid: HashMap<String, usize>,
    /// Names of files that are taken, by anybody.
    taken: BTreeSet<String>,
    /// Those that the earlier index names, or that this run has written.
    named: BTreeSet<String>,
    /// Identities that were seen in this run: with `-replace` the others go.
    pub(super) seen: BTreeSet<String>,
    /// The hash of the storage master key that this run keeps, if any.
    pub(super) smk: Option<String>,
    /// Handles of objects that failed: with `-replace` their earlier entries stay.
    pub(super) failed: BTreeSet<Handle>,
}

/// What became of one object.
pub(super) enum Kept {
    New,
    Revised(u64),
    Already,
    OtherBlob,
    Newer,
}

impl Draft {
    /// Beginning with the earlier index, if there is one.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn begin(folder: &BackupFolder, earlier: Option<Index>) -> Result<Self> {
        let index = earlier.unwrap_or_default();
        let names = folder.names()?.into_iter();
        let mut taken: BTreeSet<String> =
            names.filter_map(|name| name.into_string().ok()).collect();
        let named: BTreeSet<String> = index.blobs().map(|blob| blob.file.clone()).collect();
        taken.extend(named.iter().cloned());
        let ouids = index.objects.iter().enumerate();
        Ok(Self {
            by_ouid: ouids.map(|(at, it)| (it.ouid.clone(), at)).collect(),
            index,
            taken,
            named,
            seen: BTreeSet::new(),
            smk: None,
            failed: BTreeSet::new(),
        })
    }

    /// With `-append` an object stays as it is in the backup, unless its file is damaged or the slot has a later revision.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub(super) fn store(
        &mut self,
        folder: &BackupFolder,
        handle: Handle,
        Sealed { object, blob }: &Sealed,
        replace: bool,
    ) -> Result<(Kept, Entry)> {
        let ouid = object.ouid.to_string();
        self.seen.insert(ouid.clone());
        let revision = u64::from(object.revision.number);
        let at = self.by_ouid.get(&ouid).copied();
        let there = at.and_then(|at| self.index.objects.get(at)).cloned();
        let mut kept = Kept::New;
        if let Some(there) = there {
            let whole = there.blob.read(folder).is_ok();
            let same = there.blob.is(blob);
            match (whole, same, there.revision.cmp(&revision)) {
                (true, true, _) => return Ok((Kept::Already, there)),
                (true, false, _) if replace => {}
                (true, false, Ordering::Equal) => return Ok((Kept::OtherBlob, there)),
                (true, false, Ordering::Greater) => return Ok((Kept::Newer, there)),
                (true, false, Ordering::Less) => kept = Kept::Revised(revision),
                (false, ..) => {}
            }
        }
        let entry = Entry {
            handle,
            ouid: ouid.clone(),
            class: class_name(object.class).to_string(),
            key_type: key_type_name(object.key_type).to_string(),
            label: shortened(object.label()),
            revision,
            blob: self.write(folder, &handle.to_string(), blob)?,
        };
        match at.and_then(|at| self.index.objects.get_mut(at)) {
            Some(place) => *place = entry.clone(),
            None => {
                self.by_ouid.insert(ouid, self.index.objects.len());
                self.index.objects.push(entry.clone());
            }
        }
        Ok((kept, entry))
    }

    /// Writes a blob under `wanted`, or another name where that is taken. Nothing that is there is replaced. A file of an
    /// earlier run that ended before its index is taken over where it is the same.
    pub(super) fn write(
        &mut self,
        folder: &BackupFolder,
        wanted: &str,
        content: &[u8],
    ) -> Result<Blob> {
        let names = (2..).map(|number: u64| format!("{wanted}.{number}"));
        for name in std::iter::once(wanted.to_owned()).chain(names) {
            let blob = Blob::new(name, content);
            if !self.taken.contains(&blob.file) {
                let written = folder.write(&blob.file, content);
                written.map_err(file_error(&folder.path().join(&blob.file)))?;
                self.taken.insert(blob.file.clone());
                self.named.insert(blob.file.clone());
                return Ok(blob);
            }
            if !self.named.contains(&blob.file) && blob.read(folder).is_ok() {
                let synced = folder.sync_file(&blob.file);
                synced.map_err(file_error(&folder.path().join(&blob.file)))?;
                self.named.insert(blob.file.clone());
                return Ok(blob);
            }
        }
        Err(Error::Usage(format!(
            "{wanted}: no name is left for this file"
        )))
    }

    /// With `-replace`: what this run did not see goes. An object that failed keeps the entry that it had.
    pub(super) fn drop_unseen(&mut self) {
        let (seen, failed) = (&self.seen, &self.failed);
        self.index
            .objects
            .retain(|entry| seen.contains(&entry.ouid) || failed.contains(&entry.handle));
        // An entry that stays may need the key that it was sealed under.
        if failed.is_empty() {
            let kept = self.smk.as_ref();
            self.index.smks.retain(|smk| kept == Some(&smk.sha256));
        }
    }
}
