//! `hagroup listgroups`

use clap::Args;
use serde_json::{Value, json};

use super::PasswordArg;
use super::decide::{Compare, Decision, Order, Removals, Step, by_number, decide};
use super::label::Label;
use super::login::Logins;
use super::open::{Found, Opener, Openers};
use super::place::Place;
use super::registry::{Group, Registry, no_such_group};
use super::report::{duration, member_json};
use super::survey::{Gone, Live, Standing, Survey};
use crate::cli::output::arrows;
use crate::cli::{Answer, Console, NONE, Rows, plural, yes_or_no};
use crate::error::{Error, Result};
use crate::hsm::ContentKey;
use crate::object::show::{escape, iso_8601};
use crate::object::{Ouid, now_secs};

/// `hagroup listgroups`
#[derive(Args)]
pub(crate) struct List {
    /// Only this group
    #[arg(short, long, value_name = "LABEL")]
    group: Option<Label>,
    #[command(flatten)]
    password: PasswordArg,
}

impl List {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let registry = Registry::find()?;
        let mut groups = registry.groups()?;
        if let Some(label) = &self.group {
            groups.retain(|it| it.label == *label);
            if groups.is_empty() {
                return Err(no_such_group(label));
            }
        }
        let logins = Logins {
            given: self.password.password.as_deref(),
            given_was_wrong: false,
            ask: false,
            retry: false,
        };
        let (mut text, mut facts) = (Vec::new(), Vec::new());
        for group in &groups {
            let found = Opener::new(console, logins).all(&registry, group)?;
            let listed = Listed::of(group, &found)?;
            text.push(listed.text);
            facts.push(listed.facts);
        }
        if groups.is_empty() {
            text.push("        There are no HA groups.\n".to_owned());
        }
        let file = crate::shown::path(&registry.path()).to_string();
        let answer = Answer::new(json!({ "file": file, "groups": facts }));
        Ok(answer.text(text.join("\n")))
    }
}

/// One group, for people and for programs.
struct Listed {
    text: String,
    facts: Value,
}

impl Listed {
    fn of(group: &Group, found: &[Found]) -> Result<Self> {
        let (needs, fewer) = needs_sync(found)?;
        let all = match needs.iter().all(Option::is_some) {
            true => Some(needs.contains(&Some(true))),
            // What is known to differ differs, whatever the others hold.
            false => needs.contains(&Some(true)).then_some(true),
        };
        let now = now_secs();
        let serials: Vec<String> = group
            .members
            .iter()
            .map(|it| it.serial.to_string())
            .collect();
        let (last, lag) = match group.in_sync_secs {
            Some(secs) => (iso_8601(secs), duration(now.saturating_sub(secs))),
            None => ("never".to_owned(), NONE.to_owned()),
        };
        let pairs = [
            ("HA Group Label", escape(group.label.text())),
            ("Group Members", serials.join(", ")),
            ("Needs sync", known(all).to_owned()),
            ("Partly removed", plural(fewer, "object")),
            ("Last in sync", last),
            ("Lag", lag),
        ];
        let pairs: Vec<_> = pairs
            .into_iter()
            .map(|(name, it)| (name.to_owned(), it))
            .collect();
        let mut rows = Rows::new(&[
            "Slot Id",
            "Member S/N",
            "Label",
            "Status",
            "Needs Sync",
            "Store or Folder",
        ]);
        for (it, needs) in found.iter().zip(&needs) {
            let (slot, place) = match &it.member.place {
                Place::Store { store, slot } => (slot.to_string(), store),
                Place::Folder(folder) => (NONE.to_owned(), folder),
            };
            let status = match &it.link {
                Ok(_) => "alive",
                Err(away) => away.absence.word(),
            };
            let mut facts = member_json(it);
            facts["needs_sync"] = json!(needs);
            rows.add(
                &[
                    &slot,
                    &it.member.serial,
                    &escape(it.label.as_deref().unwrap_or(NONE)),
                    &status,
                    &known(*needs),
                    &crate::shown::path(place),
                ],
                facts,
            );
        }
        let mut text = arrows(&pairs) + "\n" + &rows.table();
        for it in found {
            if let Err(away) = &it.link {
                text += &format!(
                    "        {} is {}: {}\n",
                    it.member,
                    away.absence.word(),
                    super::report::without_name(&it.member.to_string(), &away.why.reason())
                );
            }
        }
        let answer = Answer::new(json!({
            "label": group.label.text(), "needs_sync": all, "fewer": fewer, "in_sync_secs": group.in_sync_secs,
            "lag_secs": group.in_sync_secs.map(|secs| now.saturating_sub(secs)),
        }));
        let facts = answer.rows("members", rows).facts;
        Ok(Self { text, facts })
    }
}

fn known(it: Option<bool>) -> &'static str {
    it.map_or("unknown", yes_or_no)
}

/// Whether synchronizing would change each member or report a failure there; `None` if the member could not be compared. And how
/// many objects are on fewer members, because they were removed on others.
fn needs_sync(found: &[Found]) -> Result<(Vec<Option<bool>>, u64)> {
    let key = ContentKey::new()?;
    let openers = Openers::among(found);
    let surveys: Vec<Option<Survey>> = found
        .iter()
        .map(|it| Some(it.link.as_ref().ok()?.survey(&key, &openers)))
        .collect();
    let mut needs: Vec<Option<bool>> = surveys
        .iter()
        .map(|it| it.as_ref().map(|survey| !survey.is_whole()))
        .collect();
    let ouids: std::collections::BTreeSet<Ouid> = surveys
        .iter()
        .flatten()
        .flat_map(|it| it.objects.keys().copied())
        .collect();
    let mut fewer = 0;
    for ouid in ouids {
        let standings: Vec<_> = surveys
            .iter()
            .map(|it| {
                it.as_ref()
                    .map_or(Standing::Unknown, |survey| survey.standing(ouid))
            })
            .collect();
        let differing = match decide(
            &standings,
            &[],
            Removals::Ignored,
            &mut ByNumber(&standings),
        )? {
            Decision::Steps(steps) => {
                let is_kept = |step: &(usize, Step)| matches!(step.1, Step::NotPutBack(_));
                fewer += u64::from(steps.iter().any(is_kept));
                steps
                    .into_iter()
                    .filter(|(_, step)| {
                        matches!(
                            step,
                            Step::Put { .. } | Step::Revise { .. } | Step::Withheld
                        )
                    })
                    .map(|(at, _)| at)
                    .collect()
            }
            Decision::Conflict { one, other, .. } => vec![one, other],
        };
        for at in differing {
            if let Some(needs) = needs.get_mut(at) {
                *needs = needs.map(|_| true);
            }
        }
    }
    Ok((needs, fewer))
}

/// Compares by numbers, which tells enough: whether one description really follows the other, synchronizing finds out.
struct ByNumber<'a>(&'a [Standing]);

impl ByNumber<'_> {
    fn live(&self, at: usize) -> Option<Live> {
        match self.0.get(at) {
            Some(Standing::Live(live)) => Some(*live),
            _ => None,
        }
    }
}

impl Compare for ByNumber<'_> {
    type Error = Error;

    fn order(&mut self, one: usize, other: usize) -> Result<Order> {
        Ok(match (self.live(one), self.live(other)) {
            (Some(one), Some(other)) => by_number(&one, &other),
            _ => Order::Unknown,
        })
    }

    fn to_removed(&mut self, _: usize, _: usize, _: Gone) -> Result<Order> {
        Ok(Order::Unknown)
    }
}
