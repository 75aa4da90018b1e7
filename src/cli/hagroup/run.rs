//! Brings members to the same objects: lists them, decides for each object, carries blobs, and tells what became of each.

use std::time::{Duration, Instant};

use super::label::Label;
use super::open::{Found, Link, Openers};
use super::report::Report;
use super::survey::{Survey, Unread};
use crate::cli::plural;
use crate::error::{Error, Result};
use crate::hsm::{ContentKey, code};
use crate::interrupt::Interrupt;

mod plan;
mod require;
mod steps;

use steps::Before;

/// Blobs in one transaction: enough to share an fsync, and few enough to keep memory small and to stop soon.
const AT_ONCE: usize = 256;

/// How long a listing holds while a question waits for its answer.
const STALE: Duration = Duration::from_secs(1);

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
        let mut surveys = self.surveys();
        let mut in_sync = self.links().count() == self.found.len();
        for (at, it, _) in self.links() {
            in_sync &= self.tell_survey(report, &it.member.to_string(), surveys.get(at));
        }
        if self.wanted.delete {
            self.tell_retention(report)?;
        }
        let mut plan = self.plan(&surveys);
        let (asked, begun) = (plan.removals(), Instant::now());
        // The answer depends on what the lines say.
        report.send();
        if self.confirm_removals(&plan)? && begun.elapsed() > STALE {
            surveys = self.surveys();
            plan = self.plan(&surveys);
            in_sync &= self.tell_changed(report, &surveys, plan.keep_removals(&asked));
        }
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
                let before = Before {
                    surveys: &surveys,
                    plan: &plan,
                };
                self.do_some(report, &before, *at, some);
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
        if let Some(least) = self.wanted.require {
            self.require(report, least, &surveys);
        }
        // What was removed on one member on purpose keeps members different, and synchronizing changes nothing about it. The
        // summary says so.
        report.fewer = plan.fewer.len() as u64;
        in_sync &= report.failed == 0;
        Ok(in_sync)
    }

    /// What changed while a question was waiting for its answer; whether all of it can be done.
    fn tell_changed(&self, report: &mut Report, surveys: &[Survey], left_out: u64) -> bool {
        let mut all = true;
        for (at, it, _) in self.links() {
            if let Some(cut) = surveys.get(at).and_then(Survey::cut) {
                all = false;
                self.tell_cut(report, &it.member.to_string(), cut);
            }
        }
        if left_out > 0 {
            all = false;
            let on = self.name(0);
            report.note(
                &on,
                &format!(
                    "{} of {on} came while the question waited, and nobody was asked: not carried out",
                    plural(left_out, "removal")
                ),
            );
        }
        all
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
        let Some(survey) = survey else { return true };
        if survey.trash_damaged > 0 {
            report.note(
                name,
                &format!(
                    "{} in the trash of {name} cannot be read; 'slotfs store check' names it",
                    plural(survey.trash_damaged, "object")
                ),
            );
        }
        if let Some(cut) = survey.cut() {
            self.tell_cut(report, name, cut);
        }
        let mut unread: Vec<_> = survey.unread.iter().collect();
        unread.sort();
        for (ouid, Unread { what, is_kept_back }) in unread {
            let hint = match is_kept_back {
                true => {
                    "the slot does not let it leave: policies 0 and 4 ('slotfs partition showpolicies') say what may; a member in a store is compared all the same"
                }
                false => {
                    "destroy the damaged object with 'slotfs object delete -destroy', then synchronize again: another member gives it back"
                }
            };
            let why = Error::Group {
                what: what.clone(),
                hint: Some(hint.into()),
                code: code::DEVICE_ERROR,
            };
            let line = format!("Object {ouid} cannot be read on {name}: {what}");
            report.failed(*ouid, name, &line, &why);
        }
        survey.is_whole()
    }

    fn tell_cut(&self, report: &mut Report, name: &str, cut: &str) {
        let line = format!(
            "{name} could not be listed as a whole, so nothing is removed from it or because of it: {cut}"
        );
        report.note(name, &line);
        report.failed += 1;
        report.keep_hint(Some(
            "'slotfs store check' names what is damaged; docs/damage.md says what to do".into(),
        ));
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
