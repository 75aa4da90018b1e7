//! Limits the lines that the refusals of one user make, so that no user can fill a disk with them.
//!
//! The first lines of each kind are written whole. Beyond that, a few each minute are, and the others are counted; once a
//! minute one line for each user says how many. A second limit holds for all users together. It leaves each user some lines,
//! so that one user cannot hide what happens to another.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::Record;

use crate::hsm::asker::NOBODY_KNOWN;

/// Lines of one kind that a user may cause at once.
const BURST: f64 = 100.0;
/// Lines of one kind each minute after that.
const PER_MINUTE: f64 = 10.0;
/// The same for all users together.
const BURST_OF_ALL: f64 = 1_000.0;
const PER_MINUTE_OF_ALL: f64 = 100.0;
/// Lines of each user between two sums that do not depend on what others did before.
const OWN_LINES: u32 = 10;
/// The same limit for all users together: an attacker who controls many user ids (subuid(5)) must not fill a disk.
const OWN_LINES_OF_ALL: u32 = 1_000;
/// Users that are told apart. A further one takes the place of the one who was quiet for the longest time; what that one
/// had is counted among those of other users.
const MOST_USERS: usize = 1_024;
/// Lines of sums that are written at once. The users with fewer refusals share the last one.
const MOST_SUMS: usize = 20;
/// The time between two sums.
const INTERVAL: Duration = Duration::from_secs(60);
/// When a user without refusals is forgotten: all limits are whole again by then.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// Where in the program a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind(Option<&'static str>, Option<u32>);

impl Kind {
    pub(super) fn of(record: &Record<'_>) -> Self {
        Self(record.module_path_static(), record.line())
    }
}

/// Lines that may be written: some at once, then a number each minute.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn new(burst: f64, now: Instant) -> Self {
        Self {
            left: burst,
            at: now,
        }
    }

    fn refill(&mut self, burst: f64, per_minute: f64, now: Instant) {
        let minutes = now.saturating_duration_since(self.at).as_secs_f64() / 60.0;
        self.left = (self.left + minutes * per_minute).min(burst);
        self.at = now;
    }

    fn has_one(&self) -> bool {
        self.left >= 1.0
    }

    fn take_one(&mut self) {
        self.left = (self.left - 1.0).max(0.0);
    }
}

struct User {
    kinds: HashMap<Kind, Allowance>,
    /// Lines written whole since the last sum.
    written: u32,
    /// Lines only counted since the last sum.
    counted: u64,
    last: Instant,
}

pub(super) struct Refusals {
    users: HashMap<u32, User>,
    all: Allowance,
    /// Lines since the last sums that took the reserve of their user.
    own: u32,
    /// Lines of users who are told apart no more, since the last sums.
    of_others: u64,
    /// When the last sums were written.
    since: Instant,
}

impl Refusals {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            users: HashMap::new(),
            all: Allowance::new(BURST_OF_ALL, now),
            own: 0,
            of_others: 0,
            since: now,
        }
    }

    /// Whether a line that `uid` causes is written whole; else it is counted.
    pub(super) fn admit(&mut self, uid: u32, kind: Kind, now: Instant) -> bool {
        if self.users.len() >= MOST_USERS && !self.users.contains_key(&uid) {
            self.forget_the_quietest();
        }
        let user = self.users.entry(uid).or_insert_with(|| User {
            kinds: HashMap::new(),
            written: 0,
            counted: 0,
            last: now,
        });
        user.last = now;
        let of_kind = user.kinds.entry(kind);
        let of_kind = of_kind.or_insert_with(|| Allowance::new(BURST, now));
        of_kind.refill(BURST, PER_MINUTE, now);
        self.all.refill(BURST_OF_ALL, PER_MINUTE_OF_ALL, now);
        let has_own = user.written < OWN_LINES && self.own < OWN_LINES_OF_ALL;
        if !of_kind.has_one() || !(self.all.has_one() || has_own) {
            user.counted += 1;
            return false;
        }
        of_kind.take_one();
        match self.all.has_one() {
            true => self.all.take_one(),
            false => self.own += 1,
        }
        user.written += 1;
        true
    }

    fn forget_the_quietest(&mut self) {
        let quietest = self.users.iter().min_by_key(|(_, user)| user.last);
        if let Some(uid) = quietest.map(|(uid, _)| *uid)
            && let Some(user) = self.users.remove(&uid)
        {
            self.of_others += user.counted;
        }
    }

    /// One line for each user whose lines were counted, if it is time, or at once.
    pub(super) fn sums(&mut self, now: Instant, at_once: bool) -> Vec<String> {
        let period = now.saturating_duration_since(self.since);
        if !at_once && period < INTERVAL {
            return Vec::new();
        }
        self.since = now;
        self.own = 0;
        let mut counted: Vec<(u32, u64)> = Vec::new();
        match std::mem::take(&mut self.of_others) {
            0 => {}
            count => counted.push((NOBODY_KNOWN, count)),
        }
        for (uid, user) in &mut self.users {
            user.written = 0;
            match std::mem::take(&mut user.counted) {
                0 => {}
                count => counted.push((*uid, count)),
            }
        }
        self.users
            .retain(|_, user| now.saturating_duration_since(user.last) < FORGET_AFTER);
        counted.sort_by_key(|(uid, count)| (std::cmp::Reverse(*count), *uid));
        let others = counted.split_off(counted.len().min(MOST_SUMS));
        let mut lines: Vec<String> = counted
            .iter()
            .map(|(uid, count)| match *uid {
                NOBODY_KNOWN => line("other users", *count, period),
                uid => line(&format!("user {uid}"), *count, period),
            })
            .collect();
        if !others.is_empty() {
            let sum = others.iter().map(|(_, count)| count).sum();
            lines.push(line(&format!("{} more users", others.len()), sum, period));
        }
        lines
    }
}

fn line(who: &str, count: u64, period: Duration) -> String {
    let refusals = if count == 1 { "refusal" } else { "refusals" };
    let time = match period.as_secs() {
        55..=90 => "minute".to_owned(),
        0 | 1 => "second".to_owned(),
        secs => format!("{secs} seconds"),
    };
    format!(
        "{who}: {} more {refusals} in the last {time}",
        thousands(count)
    )
}

/// A number with a comma between each three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Kind = Kind(Some("a"), Some(1));
    const B: Kind = Kind(Some("b"), Some(1));

    fn written(refusals: &mut Refusals, uid: u32, kind: Kind, count: u32, now: Instant) -> u32 {
        let admitted = (0..count).filter(|_| refusals.admit(uid, kind, now));
        u32::try_from(admitted.count()).unwrap()
    }

    #[test]
    fn a_user_beyond_the_limit_is_summed_up() {
        let start = Instant::now();
        let mut refusals = Refusals::new(start);
        assert_eq!(written(&mut refusals, 1000, A, 4_313, start), 100);
        // Another kind, and another user, are written.
        assert_eq!(written(&mut refusals, 1000, B, 3, start), 3);
        assert_eq!(written(&mut refusals, 1001, A, 1, start), 1);
        assert!(refusals.sums(start, false).is_empty());
        let minute = start + INTERVAL;
        assert_eq!(
            refusals.sums(minute, false),
            ["user 1000: 4,213 more refusals in the last minute"]
        );
        // Ten more a minute from now on; nothing is counted twice.
        assert_eq!(written(&mut refusals, 1000, A, 11, minute), 10);
        assert_eq!(
            refusals.sums(minute, true),
            ["user 1000: 1 more refusal in the last second"]
        );
        assert!(refusals.sums(minute, true).is_empty());
    }

    #[test]
    fn all_users_together_have_a_limit() {
        let start = Instant::now();
        let mut refusals = Refusals::new(start);
        let lines: u32 = (0..3_000)
            .map(|uid| written(&mut refusals, uid, A, 100, start))
            .sum();
        assert!(lines <= 1_000 + OWN_LINES_OF_ALL, "{lines}");
        let sums = refusals.sums(start + INTERVAL, false);
        assert_eq!(sums.len(), MOST_SUMS + 1);
        assert!(sums[0].starts_with("other users: 19"), "{}", sums[0]);
        assert!(refusals.users.len() <= MOST_USERS);
        // One who comes after the crowd is seen, once the next minute has begun.
        assert_eq!(written(&mut refusals, 5_000, A, 3, start + INTERVAL), 3);
        refusals.sums(start + INTERVAL + FORGET_AFTER, false);
        assert!(refusals.users.is_empty());
    }

    #[test]
    fn thousands_have_commas() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1234567, "1,234,567"),
        ] {
            assert_eq!(thousands(number), text);
        }
    }
}
