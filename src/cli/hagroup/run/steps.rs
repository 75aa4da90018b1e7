//! Carries out what was decided, on one member at a time, and tells what became of each object.

use std::collections::HashSet;

use super::super::decide::Step;
use super::super::folder::Written;
use super::super::open::Link;
use super::super::report::{Report, Verdict, without_name};
use super::super::survey::{Gone, Live, Survey};
use super::Run;
use super::plan::Plan;
use crate::cli::plural;
use crate::error::{Error, Result};
use crate::hsm::{Arrived, Became, Carried, Removed, SlotFault, code};
use crate::object::show::iso_8601;
use crate::object::{Handle, Ouid};

/// What a member holds that took a blob and did not change: the reason, and what to do.
const STILL_OTHER: (&str, &str) = (
    "it took the blob, and holds another description still",
    "mount the store of that member again, so that its mount tells revisions; or describe the object anew by 'slotfs object set' on the member whose object is to stay",
);
const LATER_BY_NOW: (&str, &str) = (
    "it holds a later revision by now",
    "it was changed while this command ran; synchronize again",
);

/// What was found before the steps were decided.
pub(super) struct Before<'a> {
    pub(super) surveys: &'a [Survey],
    pub(super) plan: &'a Plan,
}

impl Before<'_> {
    fn live(&self, ouid: Ouid, at: usize) -> Option<&Live> {
        self.surveys.get(at)?.objects.get(&ouid)
    }

    /// Whether two members say that they describe the object alike.
    fn is_alike(&self, ouid: Ouid, one: usize, other: usize) -> bool {
        let description = |at| self.live(ouid, at).and_then(|it| it.description);
        description(one).is_some() && description(one) == description(other)
    }
}

/// A blob on its way, and the member that gave it.
struct Coming {
    from: usize,
    step: Step,
    carried: Carried,
}

impl Run<'_> {
    /// Some steps on one member. What fails of one does not keep back the others.
    pub(super) fn do_some(
        &self,
        report: &mut Report,
        before: &Before<'_>,
        at: usize,
        steps: &[(Ouid, Step)],
    ) {
        let name = self.name(at);
        let Some(link) = self.link(at) else { return };
        let still = StillRemoved::of(self, steps);
        let mut coming = Vec::new();
        for (ouid, step) in steps {
            let ouid = *ouid;
            match *step {
                Step::Equal => {
                    let line = format!("Object {ouid} is already on {name}");
                    report.verdict(ouid, &name, Verdict::Already, &line);
                }
                Step::NotPutBack(gone) => {
                    let (held, all) = before.plan.fewer.get(&ouid).copied().unwrap_or_default();
                    let line = format!(
                        "Object {ouid} was not put back on {name}: removed on {name} at {}; on {held} of {all} members",
                        time(gone)
                    );
                    report.verdict(ouid, &name, Verdict::Kept, &line);
                }
                // It was told with the survey of the member.
                Step::Unread => {}
                Step::Withheld => self.tell_withheld(report, ouid, &name),
                Step::KeptLater { there, gone } => {
                    let is_after = gone.at_secs.is_some_and(|at| there.changed_secs > at);
                    let (on, at) = (self.name(0), time(gone));
                    let why = match is_after {
                        true => format!("it was changed after it was removed on {on} at {at}"),
                        false => {
                            format!("it is a later revision than what was removed on {on} at {at}")
                        }
                    };
                    let line = format!("Object {ouid} was not removed from {name}: {why}");
                    report.verdict(ouid, &name, Verdict::Kept, &line);
                }
                Step::KeptOther { gone } => self.tell_other(report, ouid, &name, gone),
                Step::Remove { there, gone } => match still.check(self, ouid, gone) {
                    Ok(true) => self.remove(report, (link, &name), (ouid, &there), gone),
                    Ok(false) => self.tell_restored(report, ouid, &name),
                    Err(why) => self.tell_not_removed(report, ouid, &name, &why),
                },
                Step::Put { from } | Step::Revise { from } => {
                    match self.fetch(before, ouid, from) {
                        Ok((from, want, blob)) => coming.push(Coming {
                            from,
                            step: *step,
                            carried: Carried { ouid, want, blob },
                        }),
                        Err(why) => self.tell_refused(report, ouid, &name, &why),
                    }
                }
            }
        }
        self.put(report, before, (at, link), coming);
    }

    fn tell_withheld(&self, report: &mut Report, ouid: Ouid, name: &str) {
        let line = format!(
            "Object {ouid} was not given to {name}: it may have been removed there, and the trash of {name} cannot be listed as a whole"
        );
        let why = Error::Group {
            what: line.clone(),
            hint: Some("'slotfs store check' names what is damaged; once its trash can be listed, or the damaged object in it is destroyed, the next run gives it the others".into()),
            code: code::DEVICE_ERROR,
        };
        report.failed(ouid, name, &line, &why);
    }

    fn tell_other(&self, report: &mut Report, ouid: Ouid, name: &str, gone: Gone) {
        let line = format!(
            "Object {ouid} was not removed from {name}: it is not what was removed on {} at {}, and neither is a later revision",
            self.name(0),
            time(gone)
        );
        let why = Error::Group {
            what: line.clone(),
            hint: Some("delete it there as well, or restore it on the first member and use 'slotfs object set' on one of them".into()),
            code: code::OBJECT_ALREADY_EXISTS,
        };
        report.failed(ouid, name, &line, &why);
    }

    fn tell_restored(&self, report: &mut Report, ouid: Ouid, name: &str) {
        let line = format!(
            "Object {ouid} was not removed from {name}: it is not in the trash of {} any more",
            self.name(0)
        );
        let why = Error::Group {
            what: line.clone(),
            hint: Some(
                "it was restored or destroyed while this command ran; synchronize again".into(),
            ),
            code: code::FAILED_TO_CLONE_AN_OBJECT,
        };
        report.failed(ouid, name, &line, &why);
    }

    fn tell_not_removed(&self, report: &mut Report, ouid: Ouid, name: &str, why: &Error) {
        let line = format!(
            "Object {ouid} was not removed from {name}: {}",
            without_name(name, &why.reason())
        );
        report.failed(ouid, name, &line, why);
    }

    fn remove(
        &self,
        report: &mut Report,
        (link, name): (&Link, &str),
        (ouid, there): (Ouid, &Live),
        gone: Gone,
    ) {
        let removed = match link {
            Link::Store(store) => store.remove(ouid, there, &self.key),
            Link::Folder(folder) => folder.remove(ouid, there, (&self.key, &self.openers)),
        };
        let became = match removed {
            Ok(Removed::ToTrash) => "is in the trash of",
            Ok(Removed::Destroyed) => "was destroyed on",
            Err(why) => return self.tell_not_removed(report, ouid, name, &why),
        };
        let line = format!(
            "Object {ouid} {became} {name}: removed on {} at {}",
            self.name(0),
            time(gone)
        );
        report.verdict(ouid, name, Verdict::Removed, &line);
    }

    /// The blob, and who gave it: the member that it was to come from, or else another one that has the same.
    fn fetch(
        &self,
        before: &Before<'_>,
        ouid: Ouid,
        from: usize,
    ) -> Result<(usize, Option<Handle>, Vec<u8>)> {
        let content = |at| before.live(ouid, at).map(|it| it.content);
        let others = self.links().map(|it| it.0);
        let others = others.filter(|at| *at != from && content(*at) == content(from));
        let mut refused = None;
        for at in std::iter::once(from).chain(others) {
            match self.fetch_from(before, ouid, at) {
                Ok((want, blob)) => return Ok((at, want, blob)),
                Err(why) => {
                    refused.get_or_insert(why);
                }
            }
        }
        Err(refused.unwrap_or(Error::Gone))
    }

    fn fetch_from(
        &self,
        before: &Before<'_>,
        ouid: Ouid,
        at: usize,
    ) -> Result<(Option<Handle>, Vec<u8>)> {
        match self.link(at) {
            Some(Link::Store(store)) => {
                let (handle, blob) = store.fetch(ouid)?;
                Ok((Some(handle), blob))
            }
            Some(Link::Folder(folder)) => {
                let handle = before.live(ouid, at).and_then(|it| it.handle);
                Ok((handle, folder.fetch(ouid)?))
            }
            None => Err(Error::Gone),
        }
    }

    fn tell_refused(&self, report: &mut Report, ouid: Ouid, name: &str, why: &Error) {
        if let Error::Hsm(refused) = why
            && matches!(refused.slot_fault(), Some(SlotFault::Removed(_)))
        {
            return Self::tell_removed_meanwhile(report, ouid, name);
        }
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
        before: &Before<'_>,
        (at, link): (usize, &Link),
        coming: Vec<Coming>,
    ) {
        let name = self.name(at);
        match link {
            Link::Folder(folder) => {
                if coming.is_empty() {
                    return;
                }
                // A slot refuses in its transaction what was removed meanwhile; a mount takes whatever is written.
                let trash = folder.trash();
                for it in coming {
                    let ouid = it.carried.ouid;
                    let may_be_removed = match (it.step, &trash) {
                        // It was there.
                        (Step::Revise { .. }, _) => true,
                        (_, Ok(trash)) => trash.contains(&ouid),
                        (_, Err(_)) => {
                            self.tell_withheld(report, ouid, &name);
                            continue;
                        }
                    };
                    if may_be_removed {
                        match folder.has(ouid) {
                            Ok(true) => {}
                            Ok(false) => {
                                Self::tell_removed_meanwhile(report, ouid, &name);
                                continue;
                            }
                            Err(why) => {
                                self.tell_refused(report, ouid, &name, &why);
                                continue;
                            }
                        }
                    }
                    let is_alike = before.is_alike(ouid, it.from, at);
                    match folder.put(&it.carried, (&self.key, &self.openers), is_alike) {
                        Ok(Written::Changed) => {
                            self.tell_put(report, (ouid, &name), (it.from, it.step), None);
                        }
                        Ok(Written::AsBefore) => {
                            let line = format!("Object {ouid} is already on {name}");
                            report.verdict(ouid, &name, Verdict::Already, &line);
                        }
                        Ok(Written::StillOther) => {
                            self.tell_unchanged(report, ouid, &name, STILL_OTHER);
                        }
                        Err(why) => self.tell_refused(report, ouid, &name, &why),
                    }
                }
            }
            Link::Store(store) => {
                let (about, blobs): (Vec<_>, Vec<_>) = coming
                    .into_iter()
                    .map(|it| ((it.carried.ouid, it.from, it.step), it.carried))
                    .unzip();
                if blobs.is_empty() {
                    return;
                }
                let outcomes = match store.put(&blobs) {
                    Ok(outcomes) => outcomes,
                    Err(why) => {
                        for (ouid, ..) in about {
                            self.tell_refused(report, ouid, &name, &why);
                        }
                        return;
                    }
                };
                for ((ouid, from, step), outcome) in about.into_iter().zip(outcomes) {
                    match outcome {
                        Ok(Arrived {
                            became: Became::Outdated,
                            ..
                        }) => self.tell_unchanged(report, ouid, &name, LATER_BY_NOW),
                        Ok(arrived) => {
                            self.tell_put(report, (ouid, &name), (from, step), Some(arrived));
                        }
                        Err(why) => self.tell_refused(report, ouid, &name, &why.into()),
                    }
                }
            }
        }
    }

    fn tell_removed_meanwhile(report: &mut Report, ouid: Ouid, name: &str) {
        let line =
            format!("Object {ouid} was not put back on {name}: it was removed there meanwhile");
        report.verdict(ouid, name, Verdict::Kept, &line);
    }

    /// A blob that the member took without an error, and without taking the object's description from it.
    fn tell_unchanged(
        &self,
        report: &mut Report,
        ouid: Ouid,
        name: &str,
        (what, hint): (&str, &str),
    ) {
        let line = format!("Object {ouid} was not cloned to {name}: {what}");
        let why = Error::Group {
            what: line.clone(),
            hint: Some(hint.into()),
            code: code::FAILED_TO_CLONE_AN_OBJECT,
        };
        report.failed(ouid, name, &line, &why);
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
                // What holds a later one is told as a failure.
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

/// When an object was removed.
fn time(gone: Gone) -> String {
    match gone.at_secs {
        Some(secs) => iso_8601(secs),
        None => "a time that cannot be read".to_owned(),
    }
}

/// What is in the trash of the first member before something is removed because of it. A store is asked for each object.
struct StillRemoved(Option<Result<HashSet<Ouid>, String>>);

impl StillRemoved {
    fn of(run: &Run<'_>, steps: &[(Ouid, Step)]) -> Self {
        let removes = steps
            .iter()
            .any(|(_, step)| matches!(step, Step::Remove { .. }));
        Self(match run.link(0) {
            Some(Link::Folder(folder)) if removes => Some(folder.trash()),
            _ => None,
        })
    }

    /// Whether the object is still removed there: in the trash, and not back in the slot.
    fn check(&self, run: &Run<'_>, ouid: Ouid, gone: Gone) -> Result<bool> {
        match (run.link(0), &self.0) {
            (Some(Link::Store(store)), _) => Ok(store.removed(ouid, gone)?.is_some()),
            (Some(Link::Folder(folder)), Some(Ok(trash))) => {
                Ok(trash.contains(&ouid) && !folder.has(ouid)?)
            }
            _ => Ok(false),
        }
    }
}
