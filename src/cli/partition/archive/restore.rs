//! `partition archive restore`

use std::collections::{BTreeSet, HashMap};

use super::folder::{Archive, BackupFolder};
use super::index::{Entry, Index, State};
use super::label::Label;
use super::report::{Report, only_handle};
use super::{Restore, changed_meanwhile};
use crate::cli::partition::clone_report::arrived_json;
use crate::cli::partition::removal;
use crate::cli::{Answer, Console, confirm, plural};
use crate::error::{Error, Result};
use crate::hsm::{self, Hsm, Received, Selection, code, reason, verdict_words};
use crate::interrupt::Interrupt;
use crate::object::partition::Role;
use crate::object::{Handle, SlotId};

/// The blobs of a backup that the slot takes in, by the names of their files.
type Verified = HashMap<String, Vec<u8>>;

/// What `-replace` keeps in memory at most: about half a million keys.
const MOST_KEPT_BYTES: u64 = 512 << 20;
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
        if Index::read_existing(Some(&folder), archive.path(), label)? != index {
            return Err(changed_meanwhile(&folder));
        }
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
        // The folder may change at any time, so what was verified is kept: the slot's own objects are gone by then.
        let mut verified = None;
        if let Some(force) = replace {
            if !force {
                confirm(&format!(
                    "all {} on slot {slot} would be destroyed, and replaced by {} of backup '{label}'",
                    removal::objects(self.hsm, slot)?,
                    plural(chosen.len() as u64, "object")
                ))?;
            }
            report.step(&format!("Verifying the objects of backup '{label}'."));
            if is_v1 {
                self.restore_smks(index, report);
            }
            verified = Some(self.check_all(&chosen, &absent)?);
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
            self.restore_batch(batch, verified.as_mut(), report)?;
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

    /// Before anything is destroyed: every object must be one that the slot takes in, and all of them must have room. The
    /// blobs, by the names of their files.
    fn check_all(&self, chosen: &[&Entry], absent: &[Handle]) -> Result<Verified> {
        if chosen.is_empty() && absent.is_empty() {
            return Err(self.not_replaced("the backup has no objects".to_owned()));
        }
        self.check_room(chosen)?;
        let mut verified = Verified::new();
        let mut bad = absent.len();
        let mut first: Option<String> = absent
            .first()
            .map(|handle| format!("handle {handle} is not in it"));
        for entry in chosen {
            let why = match entry.blob.read(self.folder) {
                Ok(blob) => match self.hsm.partition(self.slot).verify_blob(&blob) {
                    Ok(_) => {
                        verified.insert(entry.blob.file.clone(), blob);
                        continue;
                    }
                    Err(why) => reason(&why),
                },
                Err(state) => state.words().to_owned(),
            };
            bad += 1;
            first.get_or_insert_with(|| format!("handle {}: {why}", entry.handle));
        }
        match first {
            None => Ok(verified),
            Some(first) => Err(self.not_replaced(format!(
                "{bad} of {} objects cannot be restored to slot {}: {first}",
                chosen.len() + absent.len(),
                self.slot
            ))),
        }
    }

    /// Whether the slot has room for all of them, once it is empty, and this process has memory to keep them.
    fn check_room(&self, chosen: &[&Entry]) -> Result<()> {
        let row = self.hsm.partition(self.slot).row()?;
        let objects = chosen.iter().map(|entry| entry.ouid.as_str());
        let objects = objects.collect::<BTreeSet<_>>().len() as u64;
        let bytes = chosen.iter().map(|entry| entry.blob.bytes);
        let bytes = bytes.fold(0u64, u64::saturating_add);
        if objects > row.capacity_objects || bytes > row.capacity_bytes {
            return Err(self.not_replaced(format!(
                "slot {} has no room for {} of {bytes} bytes",
                self.slot,
                plural(objects, "object")
            )));
        }
        if bytes > MOST_KEPT_BYTES {
            return Err(self.not_replaced(format!(
                "its objects have {bytes} bytes, and restore -replace holds at most {MOST_KEPT_BYTES} bytes in memory"
            )));
        }
        Ok(())
    }

    fn not_replaced(&self, why: String) -> Error {
        Error::Archive {
            path: self.folder.path().to_owned(),
            what: format!("{why}, so nothing was destroyed"),
            hint: Some(
                "without -replace the slot keeps its objects and gets those of the backup; to empty the slot first, use 'slotfs partition clear'",
            ),
            code: code::CLONE_NOT_ATTEMPTED,
        }
    }

    /// `verified`: blobs that were read before; without it they are read now.
    fn restore_batch(
        &self,
        batch: &[&Entry],
        mut verified: Option<&mut Verified>,
        report: &mut Report,
    ) -> Result<()> {
        let (slot, label) = (self.slot, self.label);
        let mut blobs: Vec<(Handle, Vec<u8>)> = Vec::new();
        let mut read: Vec<(&Entry, Option<State>)> = Vec::new();
        for entry in batch {
            let blob = match &mut verified {
                // No two entries name one file.
                Some(verified) => verified.remove(&entry.blob.file).ok_or(State::Missing),
                None => entry.blob.read(self.folder),
            };
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
                Ok(arrived) => report.done(arrived.is_stored(), &line, || {
                    arrived_json(entry.handle, &arrived)
                }),
                Err(why) => report.failed(&line, entry.to_json(), &why.into()),
            }
        }
        Ok(())
    }
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
