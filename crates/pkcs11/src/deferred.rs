//! Operations that start with their first data.
//!
//! Programs that sign many times call `C_SignInit` and `C_Sign` with the same key again and again. Each costs a round trip,
//! and the first one only says what was said before. So where an operation ended in a session a moment ago, the same start is
//! not sent by itself: it goes with the data, in one message. If the server refuses it then, because another process has
//! destroyed the key in that moment, `C_Sign` answers what `C_SignInit` would have.
//!
//! Nothing else changes for the application. A call of its own that may change what a start means (a login, a logout, the
//! end of an object or of a session) first sends every start that waits, and forgets what has run.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slotfs_wire::{Mechanism, Operation, Reply, Request};

/// How long what the server said of a start is taken for true. Programs that sign one after the other come back sooner; a
/// person who destroys a key with another program does not.
const MOMENT: Duration = Duration::from_millis(10);

/// What has run, and what waits, by session and kind of operation.
#[derive(Default)]
pub(crate) struct Deferred(Mutex<BTreeMap<Place, Known>>);

type Place = (u64, Operation);

/// An operation that the server has started once.
struct Known {
    mechanism: Mechanism,
    key: u64,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It runs at the server.
    Running,
    /// It ran to its end, then.
    Ended(Instant),
    /// It was started again, and the server has not been told.
    Waiting,
}

/// What to do with a request.
pub(crate) enum Plan {
    /// It waits: the answer is `CKR_OK`.
    Wait,
    /// These are sent first, then the request.
    Send(Vec<Request>),
    /// This is sent in its place.
    Instead(Request),
}

/// What a request does to operations.
enum Effect<'a> {
    Starts(Place, &'a Mechanism, u64),
    /// It takes all the data of an operation.
    Whole(Place),
    /// It goes on with what has started.
    Continues(u64),
    /// Other operations may mean something else afterwards.
    Changes,
    None,
}

fn effect(request: &Request) -> Effect<'_> {
    use Request as R;
    match request {
        R::Start {
            session,
            operation,
            mechanism,
            key,
        } => Effect::Starts((*session, *operation), mechanism, *key),
        R::Whole {
            session, operation, ..
        } => Effect::Whole((*session, *operation)),
        R::Piece { session, .. }
        | R::Update { session, .. }
        | R::Final { session, .. }
        | R::More { session, .. }
        | R::DigestKey { session, .. } => Effect::Continues(*session),
        R::Ping
        | R::Slots { .. }
        | R::SlotInfo { .. }
        | R::TokenInfo { .. }
        | R::Mechanisms { .. }
        | R::MechanismInfo { .. }
        | R::OpenSession { .. }
        | R::SessionInfo { .. }
        | R::ObjectSize { .. }
        | R::GetAttributes { .. }
        | R::FindInit { .. }
        | R::Find { .. }
        | R::FindFinal { .. }
        | R::Message { .. }
        | R::SeedRandom { .. }
        | R::Random { .. } => Effect::None,
        _ => Effect::Changes,
    }
}

/// Every operation of a session.
fn all_of(session: u64) -> RangeInclusive<Place> {
    (session, Operation::Encrypt)..=(session, Operation::MessageVerify)
}

/// Whether the end of such an operation can be seen here.
fn may_wait(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::Encrypt | O::Decrypt | O::Digest | O::Sign | O::Verify
    )
}

impl Known {
    fn start(&self, (session, operation): Place) -> Request {
        Request::Start {
            session,
            operation,
            mechanism: self.mechanism.clone(),
            key: self.key,
        }
    }
}

impl Deferred {
    fn known(&self) -> MutexGuard<'_, BTreeMap<Place, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do with a request.
    pub(crate) fn plan(&self, request: &Request) -> Plan {
        self.plan_at(request, Instant::now)
    }

    fn plan_at(&self, request: &Request, now: impl Fn() -> Instant) -> Plan {
        match effect(request) {
            Effect::None => Plan::Send(Vec::new()),
            Effect::Starts(place, mechanism, key) => {
                let mut known = self.known();
                let Some(it) = known.get_mut(&place) else {
                    return Plan::Send(Vec::new());
                };
                match it.stage {
                    Stage::Ended(then)
                        if it.key == key
                            && it.mechanism == *mechanism
                            && now().saturating_duration_since(then) < MOMENT =>
                    {
                        it.stage = Stage::Waiting;
                        Plan::Wait
                    }
                    Stage::Waiting => {
                        it.stage = Stage::Running;
                        Plan::Send(vec![it.start(place)])
                    }
                    Stage::Running | Stage::Ended(_) => Plan::Send(Vec::new()),
                }
            }
            Effect::Whole(place) => {
                let mut known = self.known();
                let waits = known.get_mut(&place);
                let Some(it) = waits.filter(|it| it.stage == Stage::Waiting) else {
                    return Plan::Send(Vec::new());
                };
                let Request::Whole {
                    session,
                    operation,
                    room,
                    signature,
                } = request
                else {
                    return Plan::Send(Vec::new());
                };
                it.stage = Stage::Running;
                Plan::Instead(Request::StartWhole {
                    session: *session,
                    operation: *operation,
                    mechanism: it.mechanism.clone(),
                    key: it.key,
                    room: *room,
                    signature: signature.clone(),
                })
            }
            Effect::Continues(session) => Plan::Send(self.waiting(session)),
            Effect::Changes => {
                let mut waiting = Vec::new();
                for (place, it) in std::mem::take(&mut *self.known()) {
                    if it.stage == Stage::Waiting {
                        waiting.push(it.start(place));
                    }
                }
                Plan::Send(waiting)
            }
        }
    }

    /// The starts that wait in a session. They wait no longer.
    fn waiting(&self, session: u64) -> Vec<Request> {
        let mut starts = Vec::new();
        for (place, it) in self.known().range_mut(all_of(session)) {
            if it.stage == Stage::Waiting {
                it.stage = Stage::Running;
                starts.push(it.start(*place));
            }
        }
        starts
    }

    /// Learns from the answer to a request.
    pub(crate) fn learn(&self, request: &Request, reply: &Reply) {
        self.learn_at(request, reply, Instant::now);
    }

    fn learn_at(&self, request: &Request, reply: &Reply, now: impl Fn() -> Instant) {
        match (effect(request), reply) {
            (Effect::Starts(place, mechanism, key), Reply::Done) if may_wait(place.1) => {
                let known = Known {
                    mechanism: mechanism.clone(),
                    key,
                    stage: Stage::Running,
                };
                self.known().insert(place, known);
            }
            (Effect::Whole(place), reply) => {
                let asked = matches!(request, Request::Whole { room: None, .. });
                let mut known = self.known();
                match reply {
                    // Its length alone, or too little room: it goes on.
                    Reply::Output { .. } if asked && place.1 != Operation::Verify => {}
                    Reply::TooSmall { .. } => {}
                    Reply::Output { .. } | Reply::Done => {
                        if let Some(it) = known.get_mut(&place) {
                            it.stage = Stage::Ended(now());
                        }
                    }
                    _ => {
                        known.remove(&place);
                    }
                }
            }
            // What ends otherwise is learned anew.
            (Effect::Continues(session), _) if !matches!(request, Request::Update { .. }) => {
                let mut known = self.known();
                let gone: Vec<Place> = known.range(all_of(session)).map(|(it, _)| *it).collect();
                for place in gone {
                    known.remove(&place);
                }
            }
            _ => {}
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.known().clear();
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use slotfs_wire::Parameter;

    use super::*;

    fn start(key: u64) -> Request {
        Request::Start {
            session: 1,
            operation: Operation::Sign,
            mechanism: Mechanism {
                number: 7,
                parameter: Parameter::None,
            },
            key,
        }
    }

    fn whole() -> Request {
        Request::Whole {
            session: 1,
            operation: Operation::Sign,
            room: Some(64),
            signature: Vec::new(),
        }
    }

    /// What has signed once with key 3.
    fn signed(then: Instant) -> Deferred {
        let it = Deferred::default();
        it.learn_at(&start(3), &Reply::Done, || then);
        it.learn_at(&whole(), &Reply::Output { bytes: 64 }, || then);
        it
    }

    #[test]
    fn a_start_waits_for_its_data_for_a_moment() {
        let then = Instant::now();
        let at = |after| move || then + after;
        let it = signed(then);
        let late = it.plan_at(&start(3), at(MOMENT));
        assert!(matches!(late, Plan::Send(first) if first.is_empty()));
        let other = it.plan_at(&start(4), at(Duration::ZERO));
        assert!(matches!(other, Plan::Send(first) if first.is_empty()));
        assert!(matches!(it.plan_at(&start(3), at(MOMENT / 2)), Plan::Wait));
        // Once it waits, it waits as long as the application takes.
        let both = it.plan_at(&whole(), at(100 * MOMENT));
        assert!(matches!(
            both,
            Plan::Instead(Request::StartWhole { key: 3, .. })
        ));
    }

    #[test]
    fn what_waits_goes_before_what_may_change_its_meaning() {
        let then = Instant::now();
        for change in [
            Request::Logout { session: 1 },
            Request::DestroyObject {
                session: 1,
                object: 3,
            },
            Request::CloseSession { session: 2 },
            Request::Update {
                session: 1,
                operation: Operation::Sign,
                room: None,
            },
        ] {
            let it = signed(then);
            assert!(matches!(it.plan_at(&start(3), || then), Plan::Wait));
            let plan = it.plan_at(&change, || then);
            let Plan::Send(first) = plan else {
                panic!("{change:?} waits");
            };
            assert_eq!(first, [start(3)]);
            let next = it.plan_at(&start(3), || then);
            assert!(matches!(next, Plan::Send(first) if first.is_empty()));
        }
    }
}
