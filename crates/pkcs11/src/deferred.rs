//! Operations that start with their first data.
//!
//! Programs that sign many times call `C_SignInit` and `C_Sign` with the same key again and again. Each costs a round trip,
//! and the first one only says what was said before. So where an operation ended in a session a moment ago, the same start is
//! not sent by itself: it goes with the data, in one message. If the server refuses it then, because another process has
//! destroyed the key in that moment, `C_Sign` answers what `C_SignInit` would have.
//!
//! Nothing else changes for the application. A call of its own that may change what a start means (a login, a logout, the
//! end of an object or of a session) first sends every start that waits, and forgets what has run. A call of another thread
//! that needs one of those waits until it is sent. The server makes sure that a late start means the same key.

use std::collections::BTreeMap;
use std::ops::{RangeBounds, RangeInclusive};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slotfs_wire::{Mechanism, Operation, Reply, Request};

/// How long what the server said of a start is taken for true. Programs that sign one after the other come back sooner; a
/// person who destroys a key with another program does not.
const MOMENT: Duration = Duration::from_millis(10);

/// What has run, and what waits, by session and kind of operation.
#[derive(Default)]
pub(crate) struct Deferred {
    known: Mutex<BTreeMap<Place, Known>>,
    /// A start was sent.
    sent: Condvar,
}

type Place = (u64, Operation);

/// The first and the last kind of operation, in their order.
const FIRST: Operation = Operation::Encrypt;
const LAST: Operation = Operation::VerifySignature;

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
    /// A call is telling the server.
    BeingSent,
}

/// What to do with a request.
pub(crate) enum Plan<'a> {
    /// It waits: the answer is `CKR_OK`.
    Wait,
    /// These are sent first, then the request.
    Send(Starts<'a>),
    /// This is sent in its place.
    Instead(Request),
}

/// Starts that have to be sent now. What was not sent when this is dropped is forgotten.
pub(crate) struct Starts<'a> {
    deferred: &'a Deferred,
    /// The next one is the last.
    left: Vec<(Place, Request)>,
    /// Whether they may wait again after their end: the request that follows changes nothing.
    stay: bool,
}

impl Starts<'_> {
    /// Sends them. What the server refuses does not run, and the request that follows says so.
    pub(crate) fn send(mut self, send: impl Fn(&Request) -> bool) {
        while let Some((place, start)) = self.left.last() {
            let runs = send(start);
            let mut known = self.deferred.known();
            match known.get_mut(place) {
                Some(it) if runs && self.stay => it.stage = Stage::Running,
                _ => drop(known.remove(place)),
            }
            drop(known);
            self.left.pop();
            self.deferred.sent.notify_all();
        }
    }
}

impl Drop for Starts<'_> {
    fn drop(&mut self) {
        if self.left.is_empty() {
            return;
        }
        let mut known = self.deferred.known();
        for (place, _) in &self.left {
            known.remove(place);
        }
        drop(known);
        self.deferred.sent.notify_all();
    }
}

/// What a request does to operations.
enum Effect<'a> {
    Starts(Place, &'a Mechanism, u64),
    /// It takes all the data of an operation.
    Whole(Place),
    /// It goes on with what has started, and may end it unseen.
    Continues(Place),
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
        R::Piece { session, operation }
        | R::Update {
            session, operation, ..
        }
        | R::Final {
            session, operation, ..
        }
        | R::More {
            session, operation, ..
        } => Effect::Continues((*session, *operation)),
        R::DigestKey { session, .. } => Effect::Continues((*session, Operation::Digest)),
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
        // What is new does not touch what there is.
        | R::CreateObject { .. }
        | R::CopyObject { .. }
        | R::GenerateKey { .. }
        | R::GenerateKeyPair { .. }
        | R::WrapKey { .. }
        | R::UnwrapKey { .. }
        | R::DeriveKey { .. }
        | R::Encapsulate { .. }
        | R::Decapsulate { .. }
        | R::SeedRandom { .. }
        | R::Random { .. } => Effect::None,
        _ => Effect::Changes,
    }
}

/// Every operation of a session.
fn all_of(session: u64) -> RangeInclusive<Place> {
    (session, FIRST)..=(session, LAST)
}

/// The starts that wait at these places. From now on they are being sent.
fn waiting(
    known: &mut BTreeMap<Place, Known>,
    places: impl RangeBounds<Place>,
) -> Vec<(Place, Request)> {
    let all = known.range_mut(places);
    let waiting = all.filter(|(_, it)| it.stage == Stage::Waiting);
    let starts = waiting.map(|(place, it)| {
        it.stage = Stage::BeingSent;
        (*place, it.start(*place))
    });
    starts.collect()
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
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, once nothing at these places is being sent.
    fn known_when_sent(
        &self,
        places: impl RangeBounds<Place> + Clone,
    ) -> MutexGuard<'_, BTreeMap<Place, Known>> {
        let waited = self.sent.wait_while(self.known(), |known| {
            let mut its = known.range(places.clone());
            its.any(|(_, it)| it.stage == Stage::BeingSent)
        });
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// What to do with a request.
    pub(crate) fn plan(&self, request: &Request) -> Plan<'_> {
        self.plan_at(request, Instant::now)
    }

    fn plan_at(&self, request: &Request, now: impl Fn() -> Instant) -> Plan<'_> {
        match effect(request) {
            Effect::None => self.starts(Vec::new(), true),
            Effect::Starts((session, Operation::VerifySignature), ..) => {
                // It and the other verification exclude each other, which the server knows.
                let mut known = self.known_when_sent(all_of(session));
                let starts = waiting(&mut known, all_of(session));
                known.remove(&(session, Operation::Verify));
                self.starts(starts, true)
            }
            Effect::Starts(place, mechanism, key) => {
                let mut known = self.known_when_sent(all_of(place.0));
                let Some(it) = known.get_mut(&place) else {
                    return self.starts(Vec::new(), true);
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
                    _ => {
                        let starts = waiting(&mut known, place..=place);
                        self.starts(starts, true)
                    }
                }
            }
            Effect::Whole(place) => {
                let mut known = self.known_when_sent(all_of(place.0));
                let waits = known.get_mut(&place);
                let waits = waits.filter(|it| it.stage == Stage::Waiting);
                let (
                    Some(it),
                    Request::Whole {
                        session,
                        operation,
                        room,
                        signature,
                    },
                ) = (waits, request)
                else {
                    return self.starts(Vec::new(), true);
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
            Effect::Continues((session, _)) => {
                let mut known = self.known_when_sent(all_of(session));
                let starts = waiting(&mut known, all_of(session));
                self.starts(starts, true)
            }
            Effect::Changes => {
                let mut known = self.known_when_sent(..);
                known.retain(|_, it| it.stage == Stage::Waiting);
                let requests = waiting(&mut known, ..);
                self.starts(requests, false)
            }
        }
    }

    fn starts(&self, left: Vec<(Place, Request)>, stay: bool) -> Plan<'_> {
        Plan::Send(Starts {
            deferred: self,
            left,
            stay,
        })
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
            // Whether it has ended cannot be seen here: it is learned anew.
            (Effect::Continues(place), _) => drop(self.known().remove(&place)),
            _ => {}
        }
    }

    /// Forgets what has run: the server may have changed. What waits is still owed to the application.
    pub(crate) fn forget(&self) {
        let owed = |it: &Known| matches!(it.stage, Stage::Waiting | Stage::BeingSent);
        self.known().retain(|_, it| owed(it));
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.known().clear();
        self.sent.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::panic, clippy::unwrap_used)]
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

    /// The starts that a plan sends first.
    fn first(plan: Plan<'_>) -> Vec<Request> {
        match plan {
            Plan::Send(starts) => starts.left.iter().map(|(_, it)| it.clone()).collect(),
            Plan::Wait | Plan::Instead(_) => panic!("it is not sent"),
        }
    }

    #[test]
    fn a_start_waits_for_its_data_for_a_moment() {
        let then = Instant::now();
        let at = |after| move || then + after;
        let it = signed(then);
        assert_eq!(first(it.plan_at(&start(3), at(MOMENT))), []);
        assert_eq!(first(it.plan_at(&start(4), at(Duration::ZERO))), []);
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
            assert_eq!(first(it.plan_at(&change, || then)), [start(3)]);
            assert_eq!(first(it.plan_at(&start(3), || then)), []);
        }
    }

    /// A thread whose data comes while another one sends its start is not faster than that.
    #[test]
    fn data_waits_until_its_start_was_sent() {
        let it = signed(Instant::now());
        let then = Instant::now();
        it.learn_at(&whole(), &Reply::Output { bytes: 64 }, || then);
        assert!(matches!(it.plan_at(&start(3), || then), Plan::Wait));
        let Plan::Send(starts) = it.plan_at(&Request::Logout { session: 2 }, || then) else {
            panic!("a logout waits for nothing");
        };
        let sent = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let plan = it.plan_at(&whole(), || then);
                // Not with the start: that is on its way.
                assert_eq!(first(plan), []);
                assert!(sent.load(std::sync::atomic::Ordering::SeqCst));
            });
            starts.send(|request| {
                assert_eq!(*request, start(3));
                std::thread::yield_now();
                sent.store(true, std::sync::atomic::Ordering::SeqCst);
                true
            });
            other.join().unwrap();
        });
    }

    #[test]
    fn what_waits_is_not_forgotten_with_a_server() {
        let then = Instant::now();
        let it = signed(then);
        assert!(matches!(it.plan_at(&start(3), || then), Plan::Wait));
        it.forget();
        assert!(matches!(it.plan_at(&whole(), || then), Plan::Instead(_)));
        it.forget();
        assert_eq!(first(it.plan_at(&start(3), || then)), []);
    }

    #[test]
    fn the_two_verifications_exclude_each_other_at_the_server() {
        let then = Instant::now();
        let of = |operation| Request::Start {
            session: 1,
            operation,
            mechanism: Mechanism {
                number: 7,
                parameter: Parameter::None,
            },
            key: 3,
        };
        let verify = of(Operation::Verify);
        let data = Request::Whole {
            session: 1,
            operation: Operation::Verify,
            room: None,
            signature: vec![1],
        };
        let it = Deferred::default();
        it.learn_at(&verify, &Reply::Done, || then);
        it.learn_at(&data, &Reply::Done, || then);
        assert!(matches!(it.plan_at(&verify, || then), Plan::Wait));
        let other = of(Operation::VerifySignature);
        let sent = first(it.plan_at(&other, || then));
        assert_eq!(sent.first(), Some(&verify));
        assert_eq!(first(it.plan_at(&verify, || then)), []);
    }
}
