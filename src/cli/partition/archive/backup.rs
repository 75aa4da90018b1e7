//! `partition archive backup`

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use serde_json::json;

use super::draft::{Draft, Kept};
use super::folder::{Archive, BackupFolder};
use super::index::{Blob, INDEX, Index, Source};
use super::label::Label;
use super::report::{Report, only_handle};
use super::{Backup, changed_meanwhile};
use crate::cli::{Answer, Console, confirm, file_error, plural};
use crate::error::{Error, Result};
use crate::hsm::{self, Hsm, Sealed, Selection, code, reason};
use crate::interrupt::Interrupt;
use crate::object::partition::Role;
use crate::object::{Handle, SlotId, now_secs, show};

impl Backup {
    /// Runs the command.
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let transfer = &self.transfer;
        let (hsm, slot) = console.partition_to_read(transfer.slot, &[Role::Co, Role::Cu])?;
        let label = &transfer.backup.partition;
        let archive = Archive::open_or_create(&transfer.backup.folder.path(console)?)?;
        let earlier = match archive.backup(label)? {
            Some(folder) => Index::read(&folder)?,
            None => None,
        };
        if let Some(earlier) = &earlier {
            self.check_existing(&archive, earlier, slot)?;
        }
        let folder = archive.create(label)?;
        folder.lock(true)?;
        folder.remove_unfinished()?;
        // Another command may have been quicker.
        if Index::read(&folder)? != earlier {
            return Err(changed_meanwhile(&folder));
        }
        let mut report = Report::begin(console.json(), transfer.quiet, slot, label);
        let run = Run {
            hsm: &hsm,
            slot,
            label,
            folder: &folder,
            replace: transfer.mode.replace,
        };
        let outcome = run.back_up(transfer.which(), earlier, &mut report);
        if outcome.is_err() {
            // A backup that never came to be leaves no empty folder. What is reported is why it did not.
            let _ = archive.remove_if_empty(label);
        }
        Ok(report.close("backed_up", outcome))
    }

    /// What `-append` and `-replace` say about a backup that exists.
    fn check_existing(&self, archive: &Archive, earlier: &Index, slot: SlotId) -> Result<()> {
        let transfer = &self.transfer;
        let label = &transfer.backup.partition;
        let objects = plural(earlier.objects.len() as u64, "object");
        if transfer.mode.replace && !transfer.force {
            return confirm(&format!(
                "backup '{label}' with {objects} would be replaced by objects of slot {slot}"
            ));
        }
        if transfer.mode.append || transfer.mode.replace {
            return Ok(());
        }
        Err(Error::Archive {
            path: archive.path().join(label.as_str()),
            what: format!("a backup of this name exists, with {objects}"),
            hint: Some(
                "-append adds what it does not have, -replace replaces it; or choose another name",
            ),
            code: code::OBJECT_ALREADY_EXISTS,
        })
    }
}

/// One backup that is being made.
struct Run<'a> {
    hsm: &'a Hsm,
    slot: SlotId,
    label: &'a Label,
    folder: &'a BackupFolder,
    replace: bool,
}

impl Run<'_> {
    /// Everything that is new is durable before the index is replaced, and nothing that the earlier index names is removed
    /// before that.
    fn back_up(
        &self,
        which: &Selection,
        earlier: Option<Index>,
        report: &mut Report,
    ) -> Result<()> {
        let (slot, label) = (self.slot, self.label);
        let existed = earlier.is_some();
        let mut draft = Draft::begin(self.folder, earlier.clone())?;
        let row = self.hsm.partition(slot).row()?;
        draft.index.source = Source {
            slot: slot.0,
            label: row.label.clone(),
            serial: row.serial,
        };
        draft.index.time = show::iso_8601(now_secs());
        report.step(&format!(
            "Backing up the objects of slot {slot} to '{label}'."
        ));
        if row.is_v1() {
            self.back_up_smk(&mut draft, report)?;
        }
        let (objects, _) = self.hsm.partition(slot).usage()?;
        report.measure(match which {
            Selection::All => objects,
            Selection::These(handles) => handles.len() as u64,
        });
        let interrupt = Interrupt::watch();
        let mut broken = None;
        let listed = self.hsm.partition(slot).seal_list(which, |handle, sealed| {
            if interrupt.pressed() {
                return ControlFlow::Break(());
            }
            match self.keep(&mut draft, handle, sealed, report) {
                Ok(()) => ControlFlow::Continue(()),
                Err(why) => {
                    broken = Some(why);
                    ControlFlow::Break(())
                }
            }
        });
        if matches!(which, Selection::All) && !interrupt.pressed() && broken.is_none() {
            self.report_without_handle(report)?;
        }
        let attempted = report.total();
        // What was written is kept, whatever ended the list: the same command goes on with -append.
        let ended_early = broken.is_some() || listed.is_err() || interrupt.pressed();
        let worth_an_index = report.failed < attempted || (attempted == 0 && !ended_early);
        if worth_an_index {
            if self.replace && !ended_early {
                draft.drop_unseen();
            }
            if let Err(why) = self.commit(&draft.index, earlier.as_ref()) {
                if !existed {
                    // What is reported is why there is no index.
                    let _ = self.discard(&draft);
                }
                return Err(why);
            }
        } else if !existed {
            self.discard(&draft)?;
        }
        if let Some(why) = broken {
            return Err(why);
        }
        listed?;
        if interrupt.pressed() {
            return Err(Error::Interrupted(format!(
                "{} of slot {slot} are in backup '{label}', the others were not attempted; the same command with -append continues with them",
                plural(report.new + report.already, "object")
            )));
        }
        report.outcome(
            attempted,
            &format!("of slot {slot} were not backed up to '{label}'"),
        )
    }

    /// Removes the blobs of a backup that never came to be: they belong to nothing; that of a storage master key above all.
    fn discard(&self, draft: &Draft) -> Result<()> {
        for blob in draft.index.blobs() {
            let removed = self.folder.remove(&blob.file);
            removed.map_err(file_error(self.folder.path()))?;
        }
        Ok(())
    }

    /// Blobs of a V1 slot open only with its storage master key, so that goes with them.
    fn back_up_smk(&self, draft: &mut Draft, report: &mut Report) -> Result<()> {
        let slot = self.slot;
        let blob = match self.hsm.partition(slot).seal_smk() {
            Ok(blob) => blob,
            Err(why) => {
                // Also of a quiet command, and beside a document.
                log::warn!(
                    "backup '{}' has no storage master key of slot {slot} ({}), so its blobs open only in a slot that already has that key; back up as co",
                    self.label,
                    reason(&why)
                );
                return Ok(());
            }
        };
        draft.smk = Some(Blob::new(String::new(), &blob).sha256);
        let there = draft.index.smks.iter().find(|it| it.is(&blob));
        if there.is_none_or(|it| it.read(self.folder).is_err()) {
            let written = draft.write(self.folder, "smk", &blob)?;
            draft.index.smks.retain(|it| !it.is(&blob));
            draft.index.smks.push(written);
        }
        report.say(&format!(
            "The storage master key of slot {slot} is in backup '{}'",
            self.label
        ));
        Ok(())
    }

    /// Puts one object into the draft and reports it.
    ///
    /// # Errors
    /// When the folder cannot be written: the other objects would fail of it too.
    fn keep(
        &self,
        draft: &mut Draft,
        handle: Handle,
        sealed: hsm::Result<Sealed>,
        report: &mut Report,
    ) -> Result<()> {
        let (slot, label) = (self.slot, self.label);
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(why) => {
                draft.failed.insert(handle);
                let line = format!(
                    "Handle {handle} on slot {slot} was not backed up to '{label}': {}",
                    reason(&why)
                );
                report.failed(&line, only_handle(handle.get()), &why.into());
                return Ok(());
            }
        };
        let (kept, entry) = draft.store(self.folder, handle, &sealed, self.replace)?;
        let subject = format!("Handle {handle} on slot {slot}");
        let line = match kept {
            Kept::New => format!("{subject} is now {} in backup '{label}'", entry.blob.file),
            Kept::Revised(revision) => format!(
                "{subject} is now {} in backup '{label}', as revision {revision}",
                entry.blob.file
            ),
            Kept::Already => {
                format!(
                    "{subject} is already {} in backup '{label}'",
                    entry.blob.file
                )
            }
            Kept::OtherBlob => format!(
                "{subject} is already {} in backup '{label}', sealed under another key",
                entry.blob.file
            ),
            Kept::Newer => format!(
                "{subject} is older than {} in backup '{label}', which stays",
                entry.blob.file
            ),
        };
        let is_new = matches!(kept, Kept::New | Kept::Revised(_));
        report.done(is_new, &line, || {
            let mut facts = json!({
                "handle": handle.get(), "ouid": entry.ouid, "file": entry.blob.file,
                "already": !is_new,
            });
            match kept {
                Kept::Revised(revision) => facts["revision"] = revision.into(),
                Kept::OtherBlob => facts["other_key"] = true.into(),
                Kept::Newer => facts["outdated"] = true.into(),
                Kept::New | Kept::Already => {}
            }
            facts
        });
        Ok(())
    }

    fn report_without_handle(&self, report: &mut Report) -> Result<()> {
        let (slot, label) = (self.slot, self.label);
        for row in self.hsm.partition(slot).without_handle()? {
            let id = row.id;
            let why = hsm::Error::ObjectDamaged(row);
            let line = format!(
                "The object of row {id} on slot {slot} was not backed up to '{label}': {}",
                reason(&why)
            );
            let facts = json!({ "handle": null, "row": id.0 });
            report.failed(&line, facts, &why.into());
        }
        Ok(())
    }

    /// Makes `index` the truth about the backup, and then removes what only the earlier one names.
    fn commit(&self, index: &Index, earlier: Option<&Index>) -> Result<()> {
        let text = index.to_text(self.folder, self.label)?;
        self.folder.sync()?;
        let written = self.folder.write(INDEX, text.as_bytes());
        written.map_err(file_error(&self.folder.path().join(INDEX)))?;
        self.folder.sync()?;
        let named: BTreeSet<&str> = index.blobs().map(|blob| blob.file.as_str()).collect();
        let unnamed = earlier.into_iter().flat_map(Index::blobs);
        for blob in unnamed.filter(|blob| !named.contains(blob.file.as_str())) {
            let removed = self.folder.remove(&blob.file);
            removed.map_err(file_error(&self.folder.path().join(&blob.file)))?;
        }
        self.folder.sync()
    }
}
