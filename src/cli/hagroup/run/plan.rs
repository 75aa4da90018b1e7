//! What is to be done for every object, decided before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::decide::{Decision, Order, Removals, Step, decide};
use super::super::open::Link;
use super::super::report::Report;
use super::super::survey::{Standing, Survey};
use super::Run;
use crate::cli::confirm;
use crate::error::{Error, Result};
use crate::hsm::code;
use crate::object::{Object, Ouid, revision};

/// What is to be done on each member, in the order of identities.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: BTreeMap<usize, Vec<(Ouid, Step)>>,
    pub(super) conflicts: Vec<(Ouid, usize, usize, String)>,
    pub(super) unread: Vec<(Ouid, Error)>,
}

impl Run<'_> {
    pub(super) fn plan(&self, surveys: &[Survey]) -> Plan {
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

    pub(super) fn confirm_removals(&self, plan: &Plan) -> Result<()> {
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

    pub(super) fn tell_conflict(
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
}
