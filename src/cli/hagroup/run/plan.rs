//! What is to be done for every object, decided before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use super::super::decide::{Compare, Decision, Order, Removals, Step, by_number, decide};
use super::super::open::Link;
use super::super::report::Report;
use super::super::survey::{Gone, Live, Standing, Survey};
use super::Run;
use crate::cli::{confirm, plural};
use crate::error::{Error, Result};
use crate::hsm::code;
use crate::object::{Object, Ouid, revision};

/// What is to be done on each member, in the order of identities.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) steps: BTreeMap<usize, Vec<(Ouid, Step)>>,
    pub(super) conflicts: Vec<(Ouid, usize, usize, String)>,
    pub(super) unread: Vec<(Ouid, Error)>,
    /// Objects that are not put back where they were removed: how many members hold each, of how many that take part.
    pub(super) fewer: BTreeMap<Ouid, (usize, usize)>,
}

impl Plan {
    /// What would be removed from which member.
    pub(super) fn removals(&self) -> BTreeSet<(usize, Ouid)> {
        let all = self.steps.iter();
        all.flat_map(|(at, steps)| {
            let removed = steps
                .iter()
                .filter(|(_, step)| matches!(step, Step::Remove { .. }));
            removed.map(|(ouid, _)| (*at, *ouid))
        })
        .collect()
    }

    /// Leaves out removals that nobody was asked about; how many these are.
    pub(super) fn keep_removals(&mut self, asked: &BTreeSet<(usize, Ouid)>) -> u64 {
        let mut left_out = 0;
        for (at, steps) in &mut self.steps {
            steps.retain(|(ouid, step)| {
                let stays = !matches!(step, Step::Remove { .. }) || asked.contains(&(*at, *ouid));
                left_out += u64::from(!stays);
                stays
            });
        }
        left_out
    }

    fn note_fewer(&mut self, ouid: Ouid, standings: &[Standing], steps: &[(usize, Step)]) {
        let steps = || steps.iter().map(|(_, step)| step);
        if !steps().any(|step| matches!(step, Step::NotPutBack(_))) {
            return;
        }
        let live = standings
            .iter()
            .filter(|it| matches!(it, Standing::Live(_)))
            .count();
        let put = steps()
            .filter(|step| matches!(step, Step::Put { .. }))
            .count();
        let all = standings
            .iter()
            .filter(|it| !matches!(it, Standing::Unknown))
            .count();
        self.fewer.insert(ouid, (live + put, all));
    }
}

/// Compares what members have by opening it, and where nobody can, by what is known of it.
struct Opened<'a> {
    run: &'a Run<'a>,
    ouid: Ouid,
    standings: &'a [Standing],
}

impl Opened<'_> {
    fn live(&self, at: usize) -> Option<Live> {
        match self.standings.get(at) {
            Some(Standing::Live(live)) => Some(*live),
            _ => None,
        }
    }
}

impl Compare for Opened<'_> {
    type Error = Error;

    fn order(&mut self, one: usize, other: usize) -> Result<Order> {
        let object = |at| self.run.object(self.ouid, at);
        let (Some(an_object), Some(another)) = (object(one)?, object(other)?) else {
            return Ok(match (self.live(one), self.live(other)) {
                (Some(one), Some(other)) => by_number(&one, &other),
                _ => Order::Unknown,
            });
        };
        Ok(related(&an_object, &another))
    }

    fn to_removed(&mut self, one: usize, first: usize, gone: Gone) -> Result<Order> {
        let removed = match self.run.link(first) {
            Some(Link::Store(store)) => store.removed(self.ouid, gone)?,
            _ => None,
        };
        let (Some(object), Some(removed)) = (self.run.object(self.ouid, one)?, removed) else {
            return Ok(Order::Unknown);
        };
        Ok(related(&object, &removed))
    }
}

fn related(one: &Object, other: &Object) -> Order {
    match revision::relation(one, other) {
        revision::Relation::Same => Order::Same,
        revision::Relation::Successor => Order::Later,
        revision::Relation::Predecessor => Order::Earlier,
        revision::Relation::Other(differ) => Order::Conflict(differ.to_string()),
    }
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
            let mut compare = Opened {
                run: self,
                ouid,
                standings: &standings,
            };
            match decide(&standings, &whole, removals, &mut compare) {
                Ok(Decision::Steps(steps)) => {
                    plan.note_fewer(ouid, &standings, &steps);
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
                Step::Put { from } | Step::Revise { from } => Some(*from),
                _ => None,
            });
        }
        plan
    }

    /// The object of a member; `None` if nobody here can open it.
    fn object(&self, ouid: Ouid, at: usize) -> Result<Option<Object>> {
        match self.link(at) {
            Some(Link::Store(store)) => Ok(Some(store.object(&self.key, ouid)?)),
            Some(Link::Folder(folder)) => {
                let blob = folder.fetch(ouid)?;
                Ok(self.openers.describe(&self.key, &blob).map(|it| it.0))
            }
            None => Ok(None),
        }
    }

    /// Asks about the removals; whether there was a question. Nothing but these is removed then.
    pub(super) fn confirm_removals(&self, plan: &Plan) -> Result<bool> {
        let removals = plan.removals().len() as u64;
        if removals == 0 || self.wanted.force {
            return Ok(false);
        }
        confirm(&format!(
            "group '{}': {} of the first member would be carried out on other members",
            self.label,
            plural(removals, "removal")
        ))?;
        Ok(true)
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
