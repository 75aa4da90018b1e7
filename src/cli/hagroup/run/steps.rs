//! Carries out what was decided, on one member at a time, and tells what became of each object.

use super::super::decide::Step;
use super::super::folder::Written;
use super::super::open::Link;
use super::super::report::{Report, Verdict, without_name};
use super::super::survey::Live;
use super::Run;
use crate::cli::plural;
use crate::error::{Error, Result};
use crate::hsm::{Arrived, Became, Carried, Removed, code};
use crate::object::show::iso_8601;
use crate::object::{Handle, Ouid};

impl Run<'_> {
    /// Some steps on one member. What fails of one does not keep back the others.
    pub(super) fn do_some(&self, report: &mut Report, at: usize, steps: &[(Ouid, Step)]) {
        let name = self.name(at);
        let Some(link) = self.link(at) else { return };
        let mut carried = Vec::new();
        for (ouid, step) in steps {
            let ouid = *ouid;
            match *step {
                Step::Equal => {
                    let line = format!("Object {ouid} is already on {name}");
                    report.verdict(ouid, &name, Verdict::Already, &line);
                }
                Step::NotPutBack(gone) => {
                    let line = format!(
                        "Object {ouid} was not put back on {name}: removed on {name} at {}",
                        iso_8601(gone.at_secs)
                    );
                    report.verdict(ouid, &name, Verdict::Kept, &line);
                }
                // It was told with the survey of the member.
                Step::Damaged => {}
                Step::KeptLater { gone } => {
                    let line = format!(
                        "Object {ouid} was not removed from {name}: it was changed after it was removed on {} at {}",
                        self.name(0),
                        iso_8601(gone.at_secs)
                    );
                    report.verdict(ouid, &name, Verdict::Kept, &line);
                }
                Step::KeptOther { gone } => {
                    let line = format!(
                        "Object {ouid} was not removed from {name}: it is not what was removed on {} at {}, and neither is a later revision",
                        self.name(0),
                        iso_8601(gone.at_secs)
                    );
                    let why = Error::Group {
                        what: line.clone(),
                        hint: Some("delete it there as well, or restore it on the first member and use 'slotfs object set' on one of them".into()),
                        code: code::OBJECT_ALREADY_EXISTS,
                    };
                    report.failed(ouid, &name, &line, &why);
                }
                Step::Remove { there, gone } => {
                    let at_secs = gone.at_secs;
                    self.remove(report, (link, &name), (ouid, &there), at_secs);
                }
                Step::Put { from } | Step::Revise { from, .. } => match self.fetch(ouid, from) {
                    Ok((want, blob)) => carried.push((from, *step, Carried { ouid, want, blob })),
                    Err(why) => self.tell_refused(report, ouid, &name, &why),
                },
            }
        }
        self.put(report, (link, &name), carried);
    }

    fn remove(
        &self,
        report: &mut Report,
        (link, name): (&Link, &str),
        (ouid, there): (Ouid, &Live),
        at_secs: u64,
    ) {
        let removed = match link {
            Link::Store(store) => store.remove(ouid, there, &self.key),
            Link::Folder(folder) => folder.remove(ouid, there, (&self.key, &self.openers)),
        };
        let became = match removed {
            Ok(Removed::ToTrash) => "is in the trash of",
            Ok(Removed::Destroyed) => "was destroyed on",
            Err(why) => {
                let line = format!(
                    "Object {ouid} was not removed from {name}: {}",
                    without_name(name, &why.reason())
                );
                return report.failed(ouid, name, &line, &why);
            }
        };
        let line = format!(
            "Object {ouid} {became} {name}: removed on {} at {}",
            self.name(0),
            iso_8601(at_secs)
        );
        report.verdict(ouid, name, Verdict::Removed, &line);
    }

    fn fetch(&self, ouid: Ouid, from: usize) -> Result<(Option<Handle>, Vec<u8>)> {
        match self.link(from) {
            Some(Link::Store(store)) => {
                let (handle, _, blob) = store.fetch(ouid)?;
                Ok((Some(handle), blob))
            }
            Some(Link::Folder(folder)) => Ok((None, folder.fetch(ouid)?)),
            None => Err(Error::Gone),
        }
    }

    fn tell_refused(&self, report: &mut Report, ouid: Ouid, name: &str, why: &Error) {
        let reason = match why {
            Error::File { source, .. } => source.to_string(),
            why => why.reason(),
        };
        let line = format!("Object {ouid} was not cloned to {name}: {reason}");
        report.failed(ouid, name, &line, why);
    }

    fn put(
        &self,
        report: &mut Report,
        (link, name): (&Link, &str),
        carried: Vec<(usize, Step, Carried)>,
    ) {
        match link {
            Link::Folder(folder) => {
                for (from, step, it) in carried {
                    match folder.put(&it) {
                        Ok(Written::Changed) => {
                            self.tell_put(report, (it.ouid, name), (from, step), None);
                        }
                        Ok(Written::AsBefore) => {
                            let line = format!("Object {} is already on {name}", it.ouid);
                            report.verdict(it.ouid, name, Verdict::Already, &line);
                        }
                        Err(why) => self.tell_refused(report, it.ouid, name, &why),
                    }
                }
            }
            Link::Store(store) => {
                let (about, blobs): (Vec<_>, Vec<_>) = carried
                    .into_iter()
                    .map(|(from, step, it)| ((it.ouid, from, step), it))
                    .unzip();
                if blobs.is_empty() {
                    return;
                }
                let outcomes = match store.put(&blobs) {
                    Ok(outcomes) => outcomes,
                    Err(why) => {
                        for (ouid, ..) in about {
                            self.tell_refused(report, ouid, name, &why);
                        }
                        return;
                    }
                };
                for ((ouid, from, step), outcome) in about.into_iter().zip(outcomes) {
                    match outcome {
                        Ok(arrived) => {
                            self.tell_put(report, (ouid, name), (from, step), Some(arrived));
                        }
                        Err(why) => self.tell_refused(report, ouid, name, &why.into()),
                    }
                }
            }
        }
    }

    fn tell_put(
        &self,
        report: &mut Report,
        (ouid, name): (Ouid, &str),
        (from, step): (usize, Step),
        arrived: Option<Arrived>,
    ) {
        let source = self.name(from);
        let (verdict, line) = match arrived {
            Some(Arrived { handle, became }) => match became {
                Became::New => (
                    Verdict::Copied,
                    format!("Object {ouid} is now handle {handle} on {name}, from {source}"),
                ),
                Became::Revised { revision, .. } => (
                    Verdict::Revised,
                    format!(
                        "Object {ouid} is now revision {revision}, handle {handle} on {name}, from {source}"
                    ),
                ),
                Became::Already | Became::Outdated => (
                    Verdict::Already,
                    format!("Object {ouid} is already handle {handle} on {name}"),
                ),
            },
            None => match step {
                Step::Revise { .. } => (
                    Verdict::Revised,
                    format!("Object {ouid} is now a later revision on {name}, from {source}"),
                ),
                _ => (
                    Verdict::Copied,
                    format!("Object {ouid} is now on {name}, from {source}"),
                ),
            },
        };
        report.verdict(ouid, name, verdict, &line);
    }

    pub(super) fn tell_lost(&self, report: &mut Report, at: usize, left: u64, why: &str) {
        let name = self.name(at);
        report.note(
            &name,
            &format!(
                "{name} cannot be reached any more, {} were not attempted there: {why}",
                plural(left, "object")
            ),
        );
        report.failed += left;
        report.keep_hint(Some(
            "synchronize again once the member is there: what was done is not done again".into(),
        ));
    }
}
