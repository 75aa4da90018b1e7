use super::*;
use crate::hsm::{Content, ContentKey};

/// Contents that are equal if their letters are.
struct Letters(ContentKey);

impl Letters {
    fn new() -> Self {
        Self(ContentKey::new().unwrap())
    }

    fn content(&self, letter: &str) -> Content {
        self.0.of_blob(letter.as_bytes())
    }

    fn live(&self, letter: &str, revision: u32) -> Standing {
        Standing::Live(Live {
            content: self.content(letter),
            revision: Some(revision),
            handle: None,
            changed_secs: u64::from(revision),
        })
    }
}

const GONE: Gone = Gone {
    at_secs: 100,
    revision: Some(1),
    content: None,
};

/// The later revision wins, and two of one number are a conflict.
fn by_revision(
    standings: &[Standing],
) -> impl FnMut(usize, usize) -> Result<Order, std::convert::Infallible> {
    let of = |standing: &Standing| match standing {
        Standing::Live(live) => (live.revision, live.content),
        _ => panic!("only objects that are there are compared"),
    };
    let standings = standings.to_vec();
    move |one, other| {
        let (one, other) = (of(&standings[one]), of(&standings[other]));
        Ok(match one.0.cmp(&other.0) {
            _ if one.1 == other.1 => Order::Same,
            std::cmp::Ordering::Less => Order::Earlier,
            std::cmp::Ordering::Equal => Order::Conflict("CKA_LABEL".into()),
            std::cmp::Ordering::Greater => Order::Later,
        })
    }
}

fn decided(standings: &[Standing], removals: Removals) -> Decision {
    let whole = vec![true; standings.len()];
    decide(standings, &whole, removals, by_revision(standings)).unwrap()
}

fn steps(standings: &[Standing]) -> Vec<(usize, Step)> {
    match decided(standings, Removals::Ignored) {
        Decision::Steps(steps) => steps,
        conflict @ Decision::Conflict { .. } => panic!("{conflict:?}"),
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
            Step::Put { from: 1 } | Step::Revise { from: 1, .. } => at,
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
            Standing::Damaged,
            Standing::Unknown
        ]),
        [(1, Step::NotPutBack(GONE)), (2, Step::Damaged)]
    );
}

#[test]
fn only_the_trash_of_the_first_removes_and_only_what_is_not_later() {
    let it = Letters::new();
    let all = [
        Standing::Removed(GONE),
        it.live("a", 1),
        it.live("b", 2),
        Standing::Absent,
    ];
    let of_first = Removals::Of { first: 0 };
    let Decision::Steps(steps) = decided(&all, of_first) else {
        panic!("no conflict")
    };
    assert!(
        matches!(
            steps[..],
            [(1, Step::Remove { .. }), (2, Step::KeptLater { .. })]
        ),
        "{steps:?}"
    );
    // Absence is no removal, and no other member's trash counts.
    for first in [Standing::Absent, it.live("a", 1), Standing::Unknown] {
        let standings = [first, it.live("a", 1), Standing::Removed(GONE)];
        let Decision::Steps(steps) = decided(&standings, of_first) else {
            panic!("no conflict")
        };
        assert!(
            !steps
                .iter()
                .any(|(_, step)| matches!(step, Step::Remove { .. })),
            "{steps:?}"
        );
    }
}

/// "Same revision with other content is a conflict: nothing changes"
#[test]
fn another_description_than_the_one_that_was_removed_stays() {
    let it = Letters::new();
    let gone = Gone {
        content: Some(it.content("a")),
        ..GONE
    };
    let all = [
        Standing::Removed(gone),
        it.live("a", 1),
        it.live("b", 1),
        it.live("c", 0),
    ];
    let Decision::Steps(steps) = decided(&all, Removals::Of { first: 0 }) else {
        panic!("no conflict")
    };
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
fn a_member_that_is_not_listed_as_a_whole_neither_removes_nor_loses() {
    let it = Letters::new();
    let standings = [Standing::Removed(GONE), it.live("a", 1), it.live("a", 1)];
    for whole in [[false, true, true], [true, false, false]] {
        let decision = decide(
            &standings,
            &whole,
            Removals::Of { first: 0 },
            by_revision(&standings),
        );
        let Ok(Decision::Steps(steps)) = decision else {
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
