use super::*;
use crate::hsm::{Content, ContentKey, Description};

/// Contents that are equal if their letters are.
struct Letters(ContentKey);

impl Letters {
    fn new() -> Self {
        Self(ContentKey::new().unwrap())
    }

    fn content(&self, letter: &str) -> Content {
        self.0.of_blob(letter.as_bytes())
    }

    /// Changed before the removal of [`GONE`].
    fn live(&self, letter: &str, revision: u32) -> Standing {
        self.changed(letter, revision, 50)
    }

    fn changed(&self, letter: &str, revision: u32, changed_secs: u64) -> Standing {
        Standing::Live(Live {
            content: self.content(letter),
            revision: Some(revision),
            description: Some(description(letter)),
            handle: None,
            changed_secs,
        })
    }
}

fn description(letter: &str) -> Description {
    let byte = letter.as_bytes()[0];
    format!("{byte:02x}").repeat(16).parse().unwrap()
}

/// The first description, `a`, removed at 100.
const GONE: Gone = Gone {
    at_secs: Some(100),
    revision: Some(1),
    description: None,
    row: None,
};

fn gone(letter: &str, revision: u32) -> Gone {
    Gone {
        revision: Some(revision),
        description: Some(description(letter)),
        ..GONE
    }
}

/// The later revision wins, and two of one number are a conflict; so are those that are named.
struct ByRevision<'a> {
    standings: &'a [Standing],
    apart: &'a [(&'a str, &'a str)],
}

impl ByRevision<'_> {
    fn compare(&self, one: (u32, Description), other: (u32, Description)) -> Order {
        let is_apart = self.apart.iter().any(|(a, b)| {
            let pair = [description(a), description(b)];
            pair == [one.1, other.1] || pair == [other.1, one.1]
        });
        match one.0.cmp(&other.0) {
            _ if one.1 == other.1 => Order::Same,
            _ if is_apart => Order::Conflict("CKA_SENSITIVE".into()),
            std::cmp::Ordering::Less => Order::Earlier,
            std::cmp::Ordering::Equal => Order::Conflict("CKA_LABEL".into()),
            std::cmp::Ordering::Greater => Order::Later,
        }
    }

    fn of(&self, at: usize) -> (u32, Description) {
        match self.standings[at] {
            Standing::Live(live) => (live.revision.unwrap(), live.description.unwrap()),
            _ => panic!("only objects that are there are compared"),
        }
    }
}

impl Compare for ByRevision<'_> {
    type Error = std::convert::Infallible;

    fn order(&mut self, one: usize, other: usize) -> Result<Order, Self::Error> {
        Ok(self.compare(self.of(one), self.of(other)))
    }

    fn to_removed(&mut self, one: usize, _: usize, gone: Gone) -> Result<Order, Self::Error> {
        let Some(description) = gone.description else {
            return Ok(Order::Unknown);
        };
        Ok(self.compare(self.of(one), (gone.revision.unwrap(), description)))
    }
}

fn decided_apart(standings: &[Standing], removals: Removals, apart: &[(&str, &str)]) -> Decision {
    let whole = vec![true; standings.len()];
    let mut compare = ByRevision { standings, apart };
    decide(standings, &whole, removals, &mut compare).unwrap()
}

fn decided(standings: &[Standing], removals: Removals) -> Decision {
    decided_apart(standings, removals, &[])
}

const OF_FIRST: Removals = Removals::Of { first: 0 };

fn removals(standings: &[Standing]) -> Vec<(usize, Step)> {
    match decided(standings, OF_FIRST) {
        Decision::Steps(steps) => steps,
        conflict @ Decision::Conflict { .. } => panic!("{conflict:?}"),
    }
}

fn steps(standings: &[Standing]) -> Vec<(usize, Step)> {
    match decided(standings, Removals::Ignored) {
        Decision::Steps(steps) => steps,
        conflict @ Decision::Conflict { .. } => panic!("{conflict:?}"),
    }
}

/// Every order of so many members.
fn orders(members: usize) -> Vec<Vec<usize>> {
    if members == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in orders(members - 1) {
        for at in 0..=shorter.len() {
            let mut order = shorter.clone();
            order.insert(at, members - 1);
            all.push(order);
        }
    }
    all
}

/// What becomes of each standing, whatever the order of the members is.
#[test]
fn the_order_of_members_decides_nothing() {
    let it = Letters::new();
    let absent = Standing::Absent;
    type Case<'a> = (Vec<Standing>, &'a [(&'a str, &'a str)], bool);
    let cases: [Case<'_>; 7] = [
        // Two that do not follow one another, and one that follows both.
        (
            vec![it.live("a", 1), it.live("b", 1), it.live("c", 2)],
            &[],
            false,
        ),
        (vec![it.live("a", 1), it.live("b", 1), absent], &[], true),
        (
            vec![it.live("x", 0), it.live("a", 1), it.live("b", 1)],
            &[],
            true,
        ),
        // The last one follows only one of them.
        (
            vec![it.live("a", 1), it.live("b", 1), it.live("c", 2)],
            &[("b", "c")],
            true,
        ),
        (
            vec![it.live("a", 0), it.live("b", 1), it.live("c", 2), absent],
            &[],
            false,
        ),
        // That two earlier ones are apart is of no account.
        (
            vec![it.live("a", 1), it.live("b", 2), it.live("c", 3)],
            &[("a", "b")],
            false,
        ),
        (
            vec![
                it.live("a", 1),
                it.live("b", 2),
                it.live("c", 3),
                it.live("c", 3),
            ],
            &[("a", "c")],
            true,
        ),
    ];
    for (standings, apart, is_conflict) in cases {
        for order in orders(standings.len()) {
            let members: Vec<Standing> = order.iter().map(|at| standings[*at]).collect();
            let decision = decided_apart(&members, Removals::Ignored, apart);
            let steps = match decision {
                Decision::Conflict { .. } => {
                    assert!(is_conflict, "{order:?} {standings:?}");
                    continue;
                }
                Decision::Steps(steps) => steps,
            };
            assert!(!is_conflict, "{order:?} {standings:?}");
            let Some(Standing::Live(last)) =
                standings.iter().rfind(|it| matches!(it, Standing::Live(_)))
            else {
                panic!("{standings:?}")
            };
            for (at, step) in steps {
                let (Step::Put { from } | Step::Revise { from }) = step else {
                    panic!("{at}: {step:?}")
                };
                assert_eq!(members[from], Standing::Live(*last), "{order:?}");
            }
        }
    }
}

#[test]
fn what_a_member_lacks_comes_from_the_first_that_has_it() {
    let it = Letters::new();
    let a = it.live("a", 0);
    let absent = Standing::Absent;
    assert_eq!(
        steps(&[absent, a, absent, a]),
        [
            (0, Step::Put { from: 1 }),
            (2, Step::Put { from: 1 }),
            (3, Step::Equal)
        ]
    );
    assert_eq!(steps(&[absent, absent]), []);
    assert_eq!(steps(&[Standing::Unknown, a]), []);
}

#[test]
fn the_latest_revision_goes_to_all() {
    let it = Letters::new();
    let standings = [
        it.live("a", 1),
        it.live("b", 3),
        it.live("c", 2),
        Standing::Absent,
    ];
    let targets: Vec<usize> = steps(&standings)
        .into_iter()
        .map(|(at, step)| match step {
            Step::Put { from: 1 } | Step::Revise { from: 1 } => at,
            step => panic!("{step:?}"),
        })
        .collect();
    assert_eq!(targets, [0, 2, 3]);
}

#[test]
fn of_two_that_do_not_follow_one_another_nothing_goes_anywhere() {
    let it = Letters::new();
    for standings in [
        vec![it.live("a", 1), it.live("b", 1), Standing::Absent],
        vec![it.live("x", 0), it.live("a", 1), it.live("b", 1)],
    ] {
        let decision = decided(&standings, Removals::Ignored);
        assert!(
            matches!(decision, Decision::Conflict { .. }),
            "{decision:?}"
        );
    }
}

#[test]
fn what_was_removed_is_not_put_back_and_damage_is_left() {
    let it = Letters::new();
    assert_eq!(
        steps(&[
            it.live("a", 0),
            Standing::Removed(GONE),
            Standing::Unread,
            Standing::Unknown
        ]),
        [(1, Step::NotPutBack(GONE)), (2, Step::Unread)]
    );
}

#[test]
fn only_the_trash_of_the_first_removes() {
    let it = Letters::new();
    // Absence is no removal, and no other member's trash counts.
    for first in [Standing::Absent, it.live("a", 1), Standing::Unknown] {
        let standings = [first, it.live("a", 1), Standing::Removed(GONE)];
        let steps = removals(&standings);
        assert!(
            !steps
                .iter()
                .any(|(_, step)| matches!(step, Step::Remove { .. })),
            "{steps:?}"
        );
    }
}

/// What the removal is to an object, by everything that is known of both.
#[test]
fn only_what_was_removed_and_what_came_before_it_is_removed() {
    let it = Letters::new();
    #[derive(Debug, PartialEq)]
    enum Is {
        Removed,
        Later,
        Other,
    }
    let unknown = |standing: Standing| match standing {
        Standing::Live(live) => Standing::Live(Live {
            revision: None,
            description: None,
            ..live
        }),
        standing => standing,
    };
    for (there, gone, is) in [
        // The same one, also where a clock was behind: a revision is later than the one before it.
        (it.live("c", 2), gone("c", 2), Is::Removed),
        (it.changed("c", 2, 101), gone("c", 2), Is::Removed),
        (it.live("a", 0), gone("a", 0), Is::Removed),
        // One that came before.
        (it.live("b", 1), gone("c", 2), Is::Removed),
        // A lower number that was made after the removal.
        (it.changed("b", 1, 102), gone("c", 2), Is::Later),
        (it.changed("b", 2, 102), gone("c", 2), Is::Later),
        (it.live("d", 3), gone("c", 2), Is::Later),
        // The same number and another description.
        (it.live("b", 2), gone("c", 2), Is::Other),
        (
            it.live("b", 2),
            Gone {
                description: None,
                ..gone("c", 2)
            },
            Is::Other,
        ),
        // What is not known is not taken for the same.
        (unknown(it.live("c", 2)), gone("c", 2), Is::Other),
        (unknown(it.changed("c", 2, 101)), gone("c", 2), Is::Later),
        (
            it.live("a", 0),
            Gone {
                revision: None,
                description: None,
                ..GONE
            },
            Is::Other,
        ),
        (
            it.live("a", 0),
            Gone {
                at_secs: None,
                revision: None,
                ..GONE
            },
            Is::Other,
        ),
    ] {
        let steps = removals(&[Standing::Removed(gone), there]);
        let step = steps.iter().find(|(at, _)| *at == 1).map(|it| it.1);
        let found = match step {
            Some(Step::Remove { .. }) => Is::Removed,
            Some(Step::KeptLater { .. }) => Is::Later,
            Some(Step::KeptOther { .. }) => Is::Other,
            step => panic!("{step:?}"),
        };
        assert_eq!(found, is, "{there:?} {gone:?}");
    }
    // A lower number that the removed one would not replace.
    let standings = [Standing::Removed(gone("c", 2)), it.live("b", 1)];
    let Decision::Steps(steps) = decided_apart(&standings, OF_FIRST, &[("b", "c")]) else {
        panic!("no conflict")
    };
    assert!(
        matches!(steps[..], [(1, Step::KeptOther { .. })]),
        "{steps:?}"
    );
}

/// Those that neither removed nor changed it get the description that is in use.
#[test]
fn what_was_changed_after_the_removal_goes_to_the_others() {
    let it = Letters::new();
    let standings = [
        Standing::Removed(gone("a", 0)),
        it.changed("b", 1, 200),
        it.live("a", 0),
        Standing::Absent,
        Standing::Removed(GONE),
    ];
    let steps = removals(&standings);
    assert!(
        matches!(
            steps[..],
            [
                (0, Step::NotPutBack(_)),
                (1, Step::KeptLater { .. }),
                (2, Step::Revise { from: 1 }),
                (3, Step::Put { from: 1 }),
                (4, Step::NotPutBack(_)),
            ]
        ),
        "{steps:?}"
    );
    // Two that were changed in different ways are a conflict, as without a removal.
    let standings = [
        Standing::Removed(gone("a", 0)),
        it.changed("b", 1, 200),
        it.changed("c", 1, 200),
    ];
    let decision = decided(&standings, OF_FIRST);
    assert!(
        matches!(decision, Decision::Conflict { .. }),
        "{decision:?}"
    );
}

/// "Same revision with other content is a conflict: nothing changes"
#[test]
fn another_description_than_the_one_that_was_removed_stays() {
    let it = Letters::new();
    let all = [
        Standing::Removed(gone("a", 1)),
        it.live("a", 1),
        it.live("b", 1),
        it.live("c", 0),
    ];
    let steps = removals(&all);
    assert!(
        matches!(
            steps[..],
            [
                (1, Step::Remove { .. }),
                (2, Step::KeptOther { .. }),
                (3, Step::Remove { .. })
            ]
        ),
        "{steps:?}"
    );
}

#[test]
fn what_may_be_in_a_trash_that_cannot_be_listed_is_withheld() {
    let it = Letters::new();
    assert_eq!(
        steps(&[it.live("a", 0), Standing::Withheld]),
        [(1, Step::Withheld)]
    );
}

#[test]
fn a_member_that_is_not_listed_as_a_whole_neither_removes_nor_loses() {
    let it = Letters::new();
    let standings = [
        Standing::Removed(gone("a", 1)),
        it.live("a", 1),
        it.live("a", 1),
    ];
    for whole in [[false, true, true], [true, false, false]] {
        let mut compare = ByRevision {
            standings: &standings,
            apart: &[],
        };
        let Ok(Decision::Steps(steps)) = decide(&standings, &whole, OF_FIRST, &mut compare) else {
            panic!("no conflict")
        };
        assert!(
            !steps
                .iter()
                .any(|(_, step)| matches!(step, Step::Remove { .. })),
            "{whole:?}: {steps:?}"
        );
    }
}

#[test]
fn without_opening_the_numbers_tell_the_order() {
    let it = Letters::new();
    let live = |letter, revision| match it.live(letter, revision) {
        Standing::Live(live) => live,
        standing => panic!("{standing:?}"),
    };
    assert_eq!(by_number(&live("a", 2), &live("b", 1)), Order::Later);
    assert_eq!(by_number(&live("b", 1), &live("a", 2)), Order::Earlier);
    assert_eq!(by_number(&live("a", 1), &live("a", 1)), Order::Same);
    assert!(matches!(
        by_number(&live("a", 1), &live("b", 1)),
        Order::Conflict(_)
    ));
    let unknown = Live {
        revision: None,
        description: None,
        ..live("a", 0)
    };
    assert_eq!(by_number(&unknown, &live("b", 1)), Order::Unknown);
}
