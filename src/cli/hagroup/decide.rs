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
    /// Nobody here can tell.
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
    Revise { from: usize },
    /// Nothing: it was removed there.
    NotPutBack(Gone),
    /// Nothing: it may have been removed there, which cannot be read.
    Withheld,
    /// Nothing: what it has cannot be read.
    Unread,
    /// Remove it: it was removed from the first member.
    Remove { there: Live, gone: Gone },
    /// Nothing, although it was removed from the first member: it was changed after that.
    KeptLater { there: Live, gone: Gone },
    /// Nothing, although it was removed from the first member: what was removed there is another description.
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

/// Compares descriptions of one object.
pub(super) trait Compare {
    type Error;

    /// What that of the member `one` is to that of the member `other`.
    ///
    /// # Errors
    /// When one cannot be read.
    fn order(&mut self, one: usize, other: usize) -> Result<Order, Self::Error>;

    /// What that of the member `one` is to the one that was removed from the member `first`.
    ///
    /// # Errors
    /// When one cannot be read.
    fn to_removed(&mut self, one: usize, first: usize, gone: Gone) -> Result<Order, Self::Error>;
}

/// What one description is to another, as far as what is known without opening both tells.
pub(super) fn by_number(one: &Live, other: &Live) -> Order {
    if one.description.is_some() && one.description == other.description {
        return Order::Same;
    }
    match (one.revision, other.revision) {
        (Some(one), Some(other)) if one > other => Order::Later,
        (Some(one), Some(other)) if one < other => Order::Earlier,
        (Some(_), Some(_)) => Order::Conflict("their descriptions".into()),
        _ => Order::Unknown,
    }
}

/// Decides for one object. `whole` says which members were listed as a whole.
///
/// # Errors
/// Those of `compare`.
pub(super) fn decide<C: Compare>(
    standings: &[Standing],
    whole: &[bool],
    removals: Removals,
    compare: &mut C,
) -> Result<Decision, C::Error> {
    let Removals::Of { first } = removals else {
        return unite(standings, compare);
    };
    let Some(Standing::Removed(gone)) = standings.get(first) else {
        return unite(standings, compare);
    };
    if whole.get(first) != Some(&true) {
        return unite(standings, compare);
    }
    remove(standings, whole, (first, *gone), compare)
}

fn live(standings: &[Standing]) -> Vec<(usize, Live)> {
    let all = standings.iter().enumerate();
    all.filter_map(|(member, standing)| match standing {
        Standing::Live(live) => Some((member, *live)),
        _ => None,
    })
    .collect()
}

/// The member whose description is offered to the others: that of the highest number, whatever the order of the members is.
/// One without a number competes by its time; the slots that it is offered to decide.
fn latest(live: &[(usize, Live)]) -> Option<(usize, Live)> {
    let first_of = |all: Vec<&(usize, Live)>, key: &dyn Fn(&Live) -> u64| {
        let most = all.iter().map(|it| key(&it.1)).max()?;
        all.into_iter().find(|it| key(&it.1) == most).copied()
    };
    let (numbered, others): (Vec<_>, Vec<_>) = live.iter().partition(|it| it.1.revision.is_some());
    let numbered = first_of(numbered, &|it| u64::from(it.revision.unwrap_or_default()));
    let other = first_of(others, &|it| it.changed_secs);
    match (numbered, other) {
        (Some(numbered), Some(other)) if other.1.changed_secs > numbered.1.changed_secs => {
            Some(other)
        }
        (numbered, other) => numbered.or(other),
    }
}

/// Every member gets the latest description, unless it removed the object. Two of which neither follows the other are a
/// conflict, but not if one that follows both is there.
fn unite<C: Compare>(standings: &[Standing], compare: &mut C) -> Result<Decision, C::Error> {
    let live = live(standings);
    let Some((mut from, mut latest)) = latest(&live) else {
        return Ok(Decision::Steps(Vec::new()));
    };
    for &(member, there) in &live {
        if there.content == latest.content {
            continue;
        }
        match compare.order(from, member)? {
            Order::Conflict(differ) => {
                return Ok(Decision::Conflict {
                    one: from.min(member),
                    other: from.max(member),
                    differ,
                });
            }
            // It was changed since it was listed.
            Order::Earlier => (from, latest) = (member, there),
            Order::Same | Order::Later | Order::Unknown => {}
        }
    }
    let step = |standing: &Standing| match *standing {
        Standing::Unknown => None,
        Standing::Absent => Some(Step::Put { from }),
        Standing::Withheld => Some(Step::Withheld),
        Standing::Unread => Some(Step::Unread),
        Standing::Removed(gone) => Some(Step::NotPutBack(gone)),
        Standing::Live(there) if there.content == latest.content => Some(Step::Equal),
        Standing::Live(_) => Some(Step::Revise { from }),
    };
    let steps = standings.iter().enumerate();
    let steps = steps.filter_map(|(member, standing)| Some((member, step(standing)?)));
    // The one that it is taken from is no target.
    Ok(Decision::Steps(
        steps.filter(|(member, _)| *member != from).collect(),
    ))
}

/// What a member's object is to the removal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is what was removed, or came before it.
    Removed,
    Later,
    Other,
}

/// Only what was removed and what came before it is removed elsewhere. An object that was changed after the removal is in use,
/// whatever its number is.
fn fate<E>(there: &Live, gone: &Gone, order: impl FnOnce() -> Result<Order, E>) -> Result<Fate, E> {
    if gone.description.is_some() && gone.description == there.description {
        return Ok(Fate::Removed);
    }
    if gone.at_secs.is_some_and(|at| there.changed_secs > at) {
        return Ok(Fate::Later);
    }
    Ok(match (there.revision, gone.revision) {
        (Some(there), Some(gone)) if there > gone => Fate::Later,
        (Some(there), Some(gone)) if there < gone => match order()? {
            Order::Same | Order::Earlier | Order::Unknown => Fate::Removed,
            Order::Later => Fate::Later,
            Order::Conflict(_) => Fate::Other,
        },
        _ => Fate::Other,
    })
}

/// Nothing is removed from a member of which only a part was listed. If the object lives on in a member that changed it after
/// the removal, the others get that description.
fn remove<C: Compare>(
    standings: &[Standing],
    whole: &[bool],
    (first, gone): (usize, Gone),
    compare: &mut C,
) -> Result<Decision, C::Error> {
    let mut fates = Vec::new();
    for (member, there) in live(standings) {
        let fate = fate(&there, &gone, || compare.to_removed(member, first, gone))?;
        fates.push((member, there, fate));
    }
    let lives_on = fates.iter().any(|(.., fate)| *fate == Fate::Later);
    let mut steps = match lives_on {
        true => match unite(standings, compare)? {
            Decision::Steps(steps) => steps,
            conflict @ Decision::Conflict { .. } => return Ok(conflict),
        },
        false => Vec::new(),
    };
    for (member, there, fate) in fates {
        let step = match fate {
            Fate::Later => Step::KeptLater { there, gone },
            // It is revised with the others, or was found to fit.
            _ if lives_on => continue,
            Fate::Other => Step::KeptOther { gone },
            Fate::Removed if whole.get(member) == Some(&true) => Step::Remove { there, gone },
            Fate::Removed => continue,
        };
        // What it is offered is said instead.
        if !steps
            .iter()
            .any(|(at, step)| *at == member && matches!(step, Step::Revise { .. }))
        {
            steps.retain(|(at, _)| *at != member);
            steps.push((member, step));
        }
    }
    steps.sort_by_key(|(member, _)| *member);
    Ok(Decision::Steps(steps))
}

#[cfg(test)]
mod tests;
