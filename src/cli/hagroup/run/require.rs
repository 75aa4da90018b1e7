//! `-require`: every member is read again at the end, and what too few of them hold is named.

use std::collections::BTreeSet;

use super::super::report::Report;
use super::super::survey::{Standing, Survey};
use super::Run;
use crate::error::Error;
use crate::hsm::code;
use crate::object::Ouid;

/// Identities in one line.
const MOST_NAMED: usize = 32;

impl Run<'_> {
    /// Counts for each object that is there, or was when the run began, how many members hold it, equal in every attribute.
    pub(super) fn require(&self, report: &mut Report, least: usize, before: &[Survey]) {
        let surveys = self.surveys();
        for (at, it, _) in self.links() {
            if let Some(cut) = surveys.get(at).and_then(Survey::cut) {
                let name = it.member.to_string();
                report.note(
                    &name,
                    &format!("{name} could not be read back as a whole: {cut}"),
                );
                report.failed += 1;
            }
        }
        let ouids: BTreeSet<Ouid> = before
            .iter()
            .chain(&surveys)
            .flat_map(|it| it.objects.keys().chain(it.unread.keys()).copied())
            .collect();
        let mut left_out = Vec::new();
        for ouid in ouids {
            let standings: Vec<Standing> = self
                .links()
                .filter_map(|(at, ..)| Some(surveys.get(at)?.standing(ouid)))
                .collect();
            match Held::of(&standings, least) {
                Held::Enough => {}
                Held::LeftOut { held: 0 } => {}
                Held::LeftOut { .. } => left_out.push(ouid),
                Held::TooFew { held } => self.tell_too_few(report, ouid, (held, least)),
            }
        }
        if !left_out.is_empty() {
            let named: Vec<String> = left_out
                .iter()
                .take(MOST_NAMED)
                .map(ToString::to_string)
                .collect();
            let more = match left_out.len().saturating_sub(MOST_NAMED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            report.note(
                "",
                &format!(
                    "Not required, because they were removed on a member and are on fewer than {least}: {}{more}",
                    named.join(", ")
                ),
            );
        }
        report.send();
    }

    fn tell_too_few(&self, report: &mut Report, ouid: Ouid, (held, least): (usize, usize)) {
        let what = format!("Object {ouid} was read back from {held} of {least} required members");
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

/// Whether enough members hold an object.
#[derive(Debug, PartialEq, Eq)]
enum Held {
    Enough,
    /// It was removed on some, and the others hold it as far as they are needed.
    LeftOut {
        held: usize,
    },
    TooFew {
        held: usize,
    },
}

impl Held {
    fn of(standings: &[Standing], least: usize) -> Self {
        let contents: Vec<_> = standings
            .iter()
            .filter_map(|it| match it {
                Standing::Live(live) => Some(live.content),
                _ => None,
            })
            .collect();
        let equal = contents
            .iter()
            .map(|one| contents.iter().filter(|other| *other == one).count());
        let held = equal.max().unwrap_or_default();
        let removed = standings
            .iter()
            .filter(|it| matches!(it, Standing::Removed(_)))
            .count();
        let others = standings.len() - removed;
        if held >= least {
            Self::Enough
        } else if removed > 0 && (held == 0 || held >= least.min(others)) {
            Self::LeftOut { held }
        } else {
            Self::TooFew { held }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::survey::{Gone, Live};
    use super::*;
    use crate::hsm::ContentKey;

    #[test]
    fn what_was_removed_is_required_of_the_others_alone() {
        let key = ContentKey::new().unwrap();
        let live = |letter: &str| {
            Standing::Live(Live {
                content: key.of_blob(letter.as_bytes()),
                revision: None,
                description: None,
                handle: None,
                changed_secs: 0,
            })
        };
        let gone = Standing::Removed(Gone {
            at_secs: None,
            revision: None,
            description: None,
            row: None,
        });
        let (a, b, absent) = (live("a"), live("b"), Standing::Absent);
        for (standings, least, held) in [
            (vec![a, a, absent], 2, Held::Enough),
            (vec![a, b, absent], 2, Held::TooFew { held: 1 }),
            (vec![a, absent], 2, Held::TooFew { held: 1 }),
            (vec![absent, absent], 1, Held::TooFew { held: 0 }),
            (vec![a, gone], 2, Held::LeftOut { held: 1 }),
            (vec![a, a, gone], 3, Held::LeftOut { held: 2 }),
            (vec![a, absent, gone], 2, Held::TooFew { held: 1 }),
            // Nothing is left of it anywhere, on purpose.
            (vec![absent, gone], 1, Held::LeftOut { held: 0 }),
            (vec![gone, gone], 2, Held::LeftOut { held: 0 }),
        ] {
            assert_eq!(Held::of(&standings, least), held, "{standings:?} {least}");
        }
    }
}
