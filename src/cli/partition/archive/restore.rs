//! `partition archive restore`

use serde_json::json;

use super::Restore;
use super::folder::{Archive, BackupFolder};
use super::index::{Entry, Index, State};
use super::label::Label;
use super::report::{Report, only_handle};
use crate::cli::partition::removal;
use crate::cli::{Answer, Console, confirm};
use crate::error::{Error, Result};
use crate::hsm::{self, Arrived, Became, Hsm, Received, Selection, code, reason, verdict_words};
use crate::interrupt::Interrupt;
use crate::object::partition::Role;
use crate::object::{Handle, SlotId};

/// Blobs in one transaction: enough to share an fsync, and few enough to keep memory small and to stop soon.
const AT_ONCE: usize = 64;

impl Restore {
    /// Runs the command.
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let transfer = &self.transfer;
        let label = &transfer.backup.partition;
        let archive = Archive::open(&transfer.backup.folder.path(console)?)?;
        let folder = archive.backup(label)?;
        let index = Index::read_existing(folder.as_ref(), archive.path(), label)?;
        let Some(folder) = folder else {
            return Err(Error::NoSuchFile);
        };
        folder.lock(false)?;
        let (hsm, slot) = console.partition(transfer.slot, &[Role::Co])?;
        let mut report = Report::begin(console.json(), transfer.quiet, slot, label);
        let run = Run {
            hsm: &hsm,
            slot,
            label,
            folder: &folder,
        };
        let replace = transfer.mode.replace.then_some(transfer.force);
        let outcome = run.restore(&index, transfer.which(), replace, &mut report);
        Ok(report.close("restored", outcome))
    }
}

/// One backup that is being restored.
struct Run<'a> {
    hsm: &'a Hsm,
    slot: SlotId,
    label: &'a Label,
    folder: &'a BackupFolder,
}

impl Run<'_> {
    /// `replace`: the slot's own objects are destroyed first; whether that is not asked about.
    fn restore(
        &self,
        index: &Index,
        which: &Selection,
        replace: Option<bool>,
        report: &mut Report,
    ) -> Result<()> {
        let (slot, label) = (self.slot, self.label);
        let (chosen, absent) = chosen(index, which);
        let is_v1 = self.hsm.partition(slot).row()?.is_v1();
        if let Some(force) = replace {
            report.step(&format!("Verifying the objects of backup '{label}'."));
            if is_v1 {
                self.restore_smks(index, report);
            }
            self.check_all(&chosen, &absent)?;
            if !force {
                confirm(&format!(
                    "all {} on slot {slot} would be destroyed, and replaced by those of backup '{label}'",
                    removal::objects(self.hsm, slot)?
                ))?;
            }
            self.hsm.partition(slot).clear()?;
        }
        report.step(&format!(
            "Restoring the objects of backup '{label}' to slot {slot}."
        ));
        if is_v1 && replace.is_none() {
            self.restore_smks(index, report);
        }
        let total = (chosen.len() + absent.len()) as u64;
        report.measure(total);
        for handle in absent {
            let why = Error::Archive {
                path: self.folder.path().to_owned(),
                what: format!("handle {handle} is not in the backup"),
                hint: Some("'slotfs partition archive contents' lists its objects"),
                code: code::OBJECT_HANDLE_INVALID,
            };
            let line = format!("Handle {handle} is not in backup '{label}'");
            report.failed(&line, only_handle(handle.get()), &why);
        }
        let interrupt = Interrupt::watch();
        for batch in chosen.chunks(AT_ONCE) {
            if interrupt.pressed() {
                return Err(Error::Interrupted(format!(
                    "{} of {total} objects are on slot {slot}, {} failed, the others were not attempted; the same command without -replace continues with them",
                    report.new + report.already,
                    report.failed
                )));
            }
            self.restore_batch(batch, report)?;
        }
        report.outcome(
            total,
            &format!("of backup '{label}' were not restored to slot {slot}"),
        )
    }

    /// Takes in the storage master keys that the blobs may need. If one is refused, the objects say what they lack.
    fn restore_smks(&self, index: &Index, report: &mut Report) {
        let slot = self.slot;
        for smk in &index.smks {
            let read = smk
                .read(self.folder)
                .map_err(|state| state.words().to_owned());
            let received = read.and_then(|blob| {
                let received = self.hsm.partition(slot).import_smk(&blob, false);
                received.map_err(|why| reason(&why))
            });
            report.say(&match received {
                Ok(Received::Added) => {
                    format!("Slot {slot} has the storage master key of the backup")
                }
                Ok(Received::Known) => {
                    format!("Slot {slot} already has the storage master key of the backup")
                }
                Err(why) => format!("Storage master key {} was not restored: {why}", smk.file),
            });
        }
    }

    /// Before anything is destroyed: every object must be one that the slot takes in.
    fn check_all(&self, chosen: &[&Entry], absent: &[Handle]) -> Result<()> {
        let mut bad = absent.len();
        let mut first: Option<String> = absent
            .first()
            .map(|handle| format!("handle {handle} is not in it"));
        for entry in chosen {
            let why = match entry.blob.read(self.folder) {
                Ok(blob) => match self.hsm.partition(self.slot).verify_blob(&blob) {
                    Ok(_) => continue,
                    Err(why) => reason(&why),
                },
                Err(state) => state.words().to_owned(),
            };
            bad += 1;
            first.get_or_insert_with(|| format!("handle {}: {why}", entry.handle));
        }
        let Some(first) = first else { return Ok(()) };
        Err(Error::Archive {
            path: self.folder.path().to_owned(),
            what: format!(
                "{bad} of {} objects cannot be restored to slot {}, so nothing was destroyed: {first}",
                chosen.len() + absent.len(),
                self.slot
            ),
            hint: Some(
                "without -replace the others are restored beside the slot's objects; 'slotfs partition clear' destroys those",
            ),
            code: code::CLONE_NOT_ATTEMPTED,
        })
    }

    fn restore_batch(&self, batch: &[&Entry], report: &mut Report) -> Result<()> {
        let (slot, label) = (self.slot, self.label);
        let mut blobs: Vec<(Handle, Vec<u8>)> = Vec::new();
        let mut read: Vec<(&Entry, Option<State>)> = Vec::new();
        for entry in batch {
            let blob = entry.blob.read(self.folder);
            let blob = blob.map(|blob| blobs.push((entry.handle, blob)));
            read.push((entry, blob.err()));
        }
        let outcomes = self.hsm.partition(slot).import_list(&blobs)?;
        let mut outcomes = outcomes.into_iter();
        for (entry, state) in read {
            let subject = format!("Handle {} in backup '{label}'", entry.handle);
            let outcome = match state {
                None => outcomes.next().unwrap_or(Err(hsm::Error::Gone)),
                Some(state) => {
                    let line = format!(
                        "{subject} was not restored to slot {slot}: {}",
                        state.words()
                    );
                    let why = Error::Archive {
                        path: self.folder.path().join(&entry.blob.file),
                        what: state.words().to_owned(),
                        hint: Some("take that file from another copy of the backup"),
                        code: code::FAILED_TO_CLONE_AN_OBJECT,
                    };
                    report.failed(&line, entry.to_json(), &why);
                    continue;
                }
            };
            let from = format!(", from handle {} in backup '{label}'", entry.handle);
            let line = verdict_words(&subject, &from, slot, outcome.as_ref());
            match outcome {
                Ok(arrived) => report.done(arrived.is_stored(), &line, || facts(entry, &arrived)),
                Err(why) => report.failed(&line, entry.to_json(), &why.into()),
            }
        }
        Ok(())
    }
}

/// As `partition clone` tells it.
fn facts(entry: &Entry, arrived: &Arrived) -> serde_json::Value {
    let mut facts = json!({
        "handle": entry.handle.get(), "new_handle": arrived.handle.get(),
        "already": arrived.became == Became::Already,
    });
    match arrived.became {
        Became::Revised { revision, .. } => facts["revision"] = revision.into(),
        Became::Outdated => facts["outdated"] = true.into(),
        Became::New | Became::Already => {}
    }
    facts
}

/// The entries that are meant, and the handles that no entry has. Two objects of a backup may have had the same handle, at
/// different times.
fn chosen<'a>(index: &'a Index, which: &Selection) -> (Vec<&'a Entry>, Vec<Handle>) {
    let Selection::These(handles) = which else {
        return (index.objects.iter().collect(), Vec::new());
    };
    let (mut chosen, mut absent) = (Vec::new(), Vec::new());
    for handle in handles {
        let before = chosen.len();
        chosen.extend(index.objects.iter().filter(|entry| entry.handle == *handle));
        if chosen.len() == before {
            absent.push(*handle);
        }
    }
    (chosen, absent)
}
