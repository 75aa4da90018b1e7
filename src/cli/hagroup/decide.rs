//! What is to be done for one object in all members. Pure: it knows standings, and reads no member.

use super::survey::{Gone, Live, Standing};

/// What one description of an object is to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Same,
    /// It replaces the other.
    Later,
    /// The other replaces it.
    Earlier,
    /// Neither replaces the other: what they differ in.
    Conflict(String),
    /// Nobody here can open both.
    Unknown,
}

/// What is to be done on one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it has the object as the others do.
    Equal,
    /// Give it the object, which it does not have.
    Put { from: usize },
    /// Give it another revision, or at least offer it: the member decides.
    Revise { from: usize, before: Live },
    /// Nothing: it was removed there.
    NotPutBack(Gone),
    /// Nothing: what it has cannot be read.
    Damaged,
    /// Remove it: it was removed from the first member.
    Remove { there: Live, gone: Gone },
    /// Nothing, although it was removed from the first member: it was changed after that.
    KeptLater { gone: Gone },
    /// Nothing, although it was removed from the first member: there it was another description of the same number.
    KeptOther { gone: Gone },
}

/// What is to be done for one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// On these members.
    Steps(Vec<(usize, Step)>),
    /// Nothing: two members have different ones, and neither is a later revision of the other.
    Conflict {
        one: usize,
        other: usize,
        differ: String,
    },
}

/// Whether what was removed from the first member is removed from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removals {
    Ignored,
    /// Those of the member `first`, on members that were listed as a whole.
    Of {
        first: usize,
    },
}

/// Decides for one object. `whole` says which members were listed as a whole; `order` compares what two members have.
///
/// # Errors
/// Those of `order`.
pub(super) fn decide<E>(
    standings: &[Standing],
    whole: &[bool],
    removals: Removals,
    mut order: impl FnMut(usize, usize) -> Result<Order, E>,
) -> Result<Decision, E> {
    if let Removals::Of { first } = removals
        && whole.get(first) == Some(&true)
        && let Some(Standing::Removed(gone)) = standings.get(first)
    {
        return Ok(Decision::Steps(remove(standings, whole, *gone)));
    }
    let live: Vec<(usize, Live)> = standings
        .iter()
        .enumerate()
        .filter_map(|(member, standing)| match standing {
            Standing::Live(live) => Some((member, *live)),
            _ => None,
        })
        .collect();
    let Some(&(mut from, mut latest)) = live.first() else {
        return Ok(Decision::Steps(Vec::new()));
    };
    for &(member, there) in live.iter().skip(1) {
        if there.content == latest.content {
            continue;
        }
        let is_later = match order(member, from)? {
            Order::Later => true,
            Order::Same | Order::Earlier => false,
            // The slot that it comes to decides.
            Order::Unknown => there.changed_secs > latest.changed_secs,
            Order::Conflict(differ) => {
                return Ok(Decision::Conflict {
                    one: from,
                    other: member,
                    differ,
                });
            }
        };
        if is_later {
            (from, latest) = (member, there);
        }
    }
    // What follows the latest one so far need not have followed the earlier ones, too.
    for &(member, there) in &live {
        if there.content != latest.content
            && let Order::Conflict(differ) = order(from, member)?
        {
            return Ok(Decision::Conflict {
                one: from,
                other: member,
                differ,
            });
        }
    }
    let step = |standing: &Standing| match *standing {
        Standing::Unknown => None,
        Standing::Absent => Some(Step::Put { from }),
        Standing::Damaged => Some(Step::Damaged),
        Standing::Removed(gone) => Some(Step::NotPutBack(gone)),
        Standing::Live(there) if there.content == latest.content => Some(Step::Equal),
        Standing::Live(before) => Some(Step::Revise { from, before }),
    };
    let steps = standings.iter().enumerate();
    let steps = steps.filter_map(|(member, standing)| Some((member, step(standing)?)));
    // The one that it is taken from is no target.
    Ok(Decision::Steps(
        steps.filter(|(member, _)| *member != from).collect(),
    ))
}

/// Nothing is removed from a member of which only a part was listed, nor what was changed after the removal.
fn remove(standings: &[Standing], whole: &[bool], gone: Gone) -> Vec<(usize, Step)> {
    let step = |member: usize, standing: &Standing| match *standing {
        Standing::Live(there) if whole.get(member) == Some(&true) => {
            let later = match (there.revision, gone.revision) {
                (Some(there), Some(gone)) => there > gone,
                _ => there.changed_secs > gone.at_secs,
            };
            let is_other = there.revision == gone.revision
                && gone.content.is_some_and(|content| content != there.content);
            Some(match later {
                true => Step::KeptLater { gone },
                false if is_other => Step::KeptOther { gone },
                false => Step::Remove { there, gone },
            })
        }
        _ => None,
    };
    let steps = standings.iter().enumerate();
    steps
        .filter_map(|(member, standing)| Some((member, step(member, standing)?)))
        .collect()
}

#[cfg(test)]
mod tests;
