//! Brings members to the same objects: lists them, decides for each object, carries blobs, and tells what became of each.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::{Decision, Order, Removals, Step, decide};
use super::folder::Written;
use super::label::Label;
use super::open::{Found, Link, Openers};
use super::report::{Report, Verdict, without_name};
use super::survey::{Live, Standing, Survey};
use crate::cli::{confirm, plural};
use crate::error::{Error, Result};
use crate::hsm::{Arrived, Became, Carried, ContentKey, Removed, code};
use crate::interrupt::Interrupt;
use crate::object::show::iso_8601;
use crate::object::{Handle, Object, Ouid, revision};

/// Blobs in one transaction: enough to share an fsync, and few enough to keep memory small and to stop soon.
const AT_ONCE: usize = 256;

/// What a command wants of a run.
pub(super) struct Wanted {
    /// Members that are changed, by their place among those that were found.
    pub(super) changes: Vec<bool>,
    /// `-delete`
    pub(super) delete: bool,
    /// `-force`: whether removals are not asked about.
    pub(super) force: bool,
    /// `-require`
    pub(super) require: Option<usize>,
}

/// The members of one group while it is synchronized.
pub(super) struct Run<'a> {
    label: &'a Label,
    found: &'a [Found],
    wanted: Wanted,
    openers: Openers<'a>,
    key: ContentKey,
}

/// What is to be done on each member, in the order of identities.
#[derive(Default)]
struct Plan {
    steps: BTreeMap<usize, Vec<(Ouid, Step)>>,
    conflicts: Vec<(Ouid, usize, usize, String)>,
    unread: Vec<(Ouid, Error)>,
}

/// What a run leaves.
pub(super) struct Outcome {
    /// Whether nothing is left to do on any member of the group.
    pub(super) in_sync: bool,
    pub(super) result: Result<()>,
}

impl<'a> Run<'a> {
    /// # Errors
    /// When the system has no random numbers to give.
    pub(super) fn new(label: &'a Label, found: &'a [Found], wanted: Wanted) -> Result<Self> {
        Ok(Self {
            label,
            found,
            wanted,
            openers: Openers::among(found),
            key: ContentKey::new()?,
        })
    }

    /// Runs once over all objects.
    pub(super) fn run(&self, report: &mut Report) -> Outcome {
        let interrupt = Interrupt::watch();
        let result = self.carry_out(report, &interrupt);
        report.send();
        match result {
            Ok(in_sync) => {
                let result = self.verdict(report);
                Outcome { in_sync, result }
            }
            Err(error) => Outcome {
                in_sync: false,
                result: Err(error),
            },
        }
    }

    fn links(&self) -> impl Iterator<Item = (usize, &'a Found, &'a Link)> {
        let found = self.found.iter().enumerate();
        found.filter_map(|(at, it)| Some((at, it, it.link.as_ref().ok()?)))
    }

    fn link(&self, at: usize) -> Option<&'a Link> {
        self.found.get(at).and_then(|it| it.link.as_ref().ok())
    }

    fn name(&self, at: usize) -> String {
        self.found
            .get(at)
            .map(|it| it.member.to_string())
            .unwrap_or_default()
    }

    /// Whether nothing is left to do.
    fn carry_out(&self, report: &mut Report, interrupt: &Interrupt) -> Result<bool> {
        if self.links().count() < 2 {
            return Err(Error::Group {
                what: format!(
                    "group '{}': fewer than two of its members take part; nothing was changed",
                    self.label
                ),
                hint: Some(match self.found.len() {
                    0 | 1 => "'slotfs hagroup addmember' adds members to it".into(),
                    _ => report.hint(),
                }),
                code: code::CLONE_NOT_ATTEMPTED,
            });
        }
        let surveys = self.surveys();
        let mut in_sync = self.links().count() == self.found.len();
        for (at, it, _) in self.links() {
            in_sync &= self.tell_survey(report, &it.member.to_string(), surveys.get(at));
        }
        if self.wanted.delete {
            self.tell_retention(report)?;
        }
        let plan = self.plan(&surveys);
        self.confirm_removals(&plan)?;
        for (ouid, one, other, differ) in &plan.conflicts {
            self.tell_conflict(report, *ouid, (*one, *other), differ);
        }
        for (ouid, why) in &plan.unread {
            let line = format!("Object {ouid} could not be compared: {}", why.reason());
            report.failed(*ouid, "", &line, why);
        }
        report.send();
        for (at, steps) in &plan.steps {
            let mut left = steps.as_slice();
            while let Some((some, others)) = left.split_at_checked(AT_ONCE.min(left.len()))
                && !some.is_empty()
            {
                if interrupt.pressed() {
                    return Err(Error::Interrupted(format!(
                        "group '{}': what was reported is done, the others were not attempted; the same command continues with them",
                        self.label
                    )));
                }
                let failed = report.failed;
                self.do_some(report, *at, some);
                report.send();
                left = others;
                // One line in place of one for each object.
                if report.failed > failed
                    && !left.is_empty()
                    && let Some(why) = self.link(*at).and_then(Link::lost)
                {
                    self.tell_lost(report, *at, left.len() as u64, &why);
                    break;
                }
            }
        }
        // What was removed on one member on purpose keeps members different, and synchronizing changes nothing about it.
        in_sync &= report.failed == 0;
        if let Some(least) = self.wanted.require {
            self.require(report, least)?;
        }
        Ok(in_sync)
    }

    /// Lists every member that takes part; an empty survey for the others.
    fn surveys(&self) -> Vec<Survey> {
        let mut surveys: Vec<Survey> = self.found.iter().map(|_| Survey::default()).collect();
        for (at, _, link) in self.links() {
            if let Some(survey) = surveys.get_mut(at) {
                *survey = link.survey(&self.key, &self.openers);
            }
        }
        surveys
    }

    /// Whether all of the member can be read.
    fn tell_survey(&self, report: &mut Report, name: &str, survey: Option<&Survey>) -> bool {
        let Some(survey) = survey.filter(|survey| !survey.is_whole()) else {
            return true;
        };
        if let Some(cut) = survey.cut() {
            let line = format!(
                "{name} could not be listed as a whole, so nothing is removed from it or because of it: {cut}"
            );
            report.note(name, &line);
            report.failed += 1;
            report.keep_hint(Some(
                "'slotfs store check' names what is damaged; docs/damage.md says what to do".into(),
            ));
        }
        let mut damaged: Vec<_> = survey.damaged.iter().collect();
        damaged.sort();
        for (ouid, what) in damaged {
            let why = Error::Group {
                what: what.clone(),
                hint: Some(
                    "destroy the damaged object with 'slotfs object delete -destroy', then synchronize again: another member gives it back"
                        .into(),
                ),
                code: code::DEVICE_ERROR,
            };
            let line = format!("Object {ouid} cannot be read on {name}: {what}");
            report.failed(*ouid, name, &line, &why);
        }
        false
    }

    /// Members without a trash: what is removed there is not known later, and what is removed from there is gone.
    fn tell_retention(&self, report: &mut Report) -> Result<()> {
        for (at, it, link) in self.links() {
            let retention = link.facts()?.retention_secs;
            let name = it.member.to_string();
            match (at, retention) {
                (0, Some(0)) => report.note(&name, &format!(
                    "{name} has retention 0, so nothing tells what was removed from it: nothing is removed from the other members"
                )),
                (_, Some(0)) => report.note(&name, &format!(
                    "{name} has retention 0: what is removed from it is destroyed at once"
                )),
                _ => {}
            }
        }
        Ok(())
    }

    fn plan(&self, surveys: &[Survey]) -> Plan {
        let ouids: BTreeSet<Ouid> = surveys
            .iter()
            .flat_map(|it| it.objects.keys().copied())
            .collect();
        let found = self.found.iter();
        let takes_part: Vec<bool> = found.map(|it| it.link.is_ok()).collect();
        let whole: Vec<bool> = surveys
            .iter()
            .zip(&takes_part)
            .map(|(survey, takes_part)| *takes_part && survey.is_whole())
            .collect();
        let removals = match self.wanted.delete {
            true => Removals::Of { first: 0 },
            false => Removals::Ignored,
        };
        let mut plan = Plan::default();
        for ouid in ouids {
            let standings: Vec<Standing> = surveys
                .iter()
                .zip(&takes_part)
                .map(|(survey, takes_part)| match takes_part {
                    true => survey.standing(ouid),
                    false => Standing::Unknown,
                })
                .collect();
            let order = |one, other| self.order(ouid, one, other);
            match decide(&standings, &whole, removals, order) {
                Ok(Decision::Steps(steps)) => {
                    for (at, step) in steps {
                        if self.wanted.changes.get(at) == Some(&true) {
                            plan.steps.entry(at).or_default().push((ouid, step));
                        }
                    }
                }
                Ok(Decision::Conflict { one, other, differ }) => {
                    plan.conflicts.push((ouid, one, other, differ));
                }
                Err(why) => plan.unread.push((ouid, why)),
            }
        }
        for steps in plan.steps.values_mut() {
            // The objects of the first member get the handles that they have there.
            steps.sort_by_key(|(_, step)| match step {
                Step::Put { from } | Step::Revise { from, .. } => Some(*from),
                _ => None,
            });
        }
        plan
    }

    /// What the object of the member `one` is to that of the member `other`.
    fn order(&self, ouid: Ouid, one: usize, other: usize) -> Result<Order> {
        let (Some(one), Some(other)) = (self.object(ouid, one)?, self.object(ouid, other)?) else {
            return Ok(Order::Unknown);
        };
        Ok(match revision::relation(&one, &other) {
            revision::Relation::Same => Order::Same,
            revision::Relation::Successor => Order::Later,
            revision::Relation::Predecessor => Order::Earlier,
            revision::Relation::Other(differ) => Order::Conflict(differ.to_string()),
        })
    }

    /// The object of a member; `None` if nobody here can open it.
    fn object(&self, ouid: Ouid, at: usize) -> Result<Option<Object>> {
        match self.link(at) {
            Some(Link::Store(store)) => Ok(Some(store.fetch(ouid)?.1)),
            Some(Link::Folder(folder)) => {
                let blob = folder.fetch(ouid)?;
                Ok(self.openers.describe(&self.key, &blob).map(|it| it.0))
            }
            None => Ok(None),
        }
    }

    fn tell_lost(&self, report: &mut Report, at: usize, left: u64, why: &str) {
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

    fn confirm_removals(&self, plan: &Plan) -> Result<()> {
        let steps = plan.steps.values().flatten();
        let removals = steps
            .filter(|(_, step)| matches!(step, Step::Remove { .. }))
            .count();
        if removals == 0 || self.wanted.force {
            return Ok(());
        }
        confirm(&format!(
            "group '{}': {removals} removals of the first member would be carried out on other members",
            self.label
        ))
    }

    fn tell_conflict(
        &self,
        report: &mut Report,
        ouid: Ouid,
        (one, other): (usize, usize),
        differ: &str,
    ) {
        let (one, other) = (self.name(one), self.name(other));
        let what = format!(
            "Object {ouid} is a conflict: {one} and {other} differ in {differ}, and neither is a later revision of the other; nothing was changed"
        );
        let why = Error::Group {
            what: what.clone(),
            hint: Some(
                "'slotfs object set' on the member whose object is to stay makes a revision that replaces the other; if that is refused, delete one of the two"
                    .into(),
            ),
            code: code::OBJECT_ALREADY_EXISTS,
        };
        report.failed(ouid, &other, &what, &why);
    }

    /// Some steps on one member. What fails of one does not keep back the others.
    fn do_some(&self, report: &mut Report, at: usize, steps: &[(Ouid, Step)]) {
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

    /// Reads every member again, and counts for each object how many hold it, equal to the byte.
    fn require(&self, report: &mut Report, least: usize) -> Result<()> {
        let surveys = self.surveys();
        let ouids: BTreeSet<Ouid> = surveys
            .iter()
            .flat_map(|it| it.objects.keys().copied())
            .collect();
        for ouid in ouids {
            let contents: Vec<_> = surveys
                .iter()
                .filter_map(|it| it.objects.get(&ouid).map(|live| live.content))
                .collect();
            let most = contents
                .iter()
                .map(|one| contents.iter().filter(|other| *other == one).count())
                .max();
            let held = most.unwrap_or_default();
            if held < least {
                let what =
                    format!("Object {ouid} was read back from {held} of {least} required members");
                let why = Error::Group {
                    what: what.clone(),
                    hint: Some(
                        "do not use an object before enough members hold it; the lines above say what keeps it from them"
                            .into(),
                    ),
                    code: code::FAILED_TO_CLONE_AN_OBJECT,
                };
                report.failed(ouid, "", &what, &why);
            }
        }
        report.send();
        Ok(())
    }

    /// How the command ends.
    fn verdict(&self, report: &Report) -> Result<()> {
        let away = self.found.iter().filter(|it| it.link.is_err());
        let away: Vec<String> = away.map(|it| it.member.to_string()).collect();
        let label = self.label;
        let failures = plural(report.failed, "failure");
        let what = match (away.is_empty(), report.failed) {
            (true, 0) => return Ok(()),
            (true, _) => format!("group '{label}': {failures}"),
            (false, 0) => format!(
                "group '{label}': these members took no part: {}",
                away.join(", ")
            ),
            (false, _) => format!(
                "group '{label}': {failures}, and these members took no part: {}",
                away.join(", ")
            ),
        };
        Err(Error::Group {
            what,
            hint: Some(report.hint()),
            code: code::FAILED_TO_CLONE_AN_OBJECT,
        })
    }
}
