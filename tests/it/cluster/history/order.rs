//! Finds an order of requests that explains their answers: Wing and Gong's search, which remembers where it has been.

use std::collections::HashSet;
use std::time::Duration;

/// The highest handle that an object may get when its own is taken.
pub const MOST: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub slot: u32,
    pub handle: u32,
}

#[derive(Clone, Copy, Debug)]
pub enum Request {
    /// An object that is new by its name, as `cp` creates it.
    Create(usize, Place),
    Remove(Place),
    Rename(Place, Place),
    Read(Place),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With what was read.
    Done(Option<usize>),
    /// With an errno.
    Refused(i32),
}

#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub request: Request,
    pub answer: Answer,
    pub start: Duration,
    pub end: Duration,
}

/// The object in each place.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
struct State([[Option<usize>; MOST as usize + 1]; 2]);

impl State {
    fn at(&self, place: Place) -> Option<usize> {
        self.0[place.slot as usize - 1][place.handle as usize]
    }

    fn with(&self, place: Place, object: Option<usize>) -> Self {
        let mut state = self.clone();
        state.0[place.slot as usize - 1][place.handle as usize] = object;
        state
    }

    fn holds(&self, slot: u32, object: usize) -> bool {
        self.0[slot as usize - 1].contains(&Some(object))
    }

    /// What a request that was answered so may have made of this state; nothing when it cannot be answered so.
    fn after(&self, request: Request, answer: Answer) -> Vec<Self> {
        let same = |holds: bool| {
            if holds {
                vec![self.clone()]
            } else {
                Vec::new()
            }
        };
        match (request, answer) {
            (Request::Read(place), Answer::Done(object)) => same(self.at(place) == object),
            (Request::Read(place) | Request::Remove(place), Answer::Refused(libc::ENOENT)) => {
                same(self.at(place).is_none())
            }
            (Request::Rename(from, _), Answer::Refused(libc::ENOENT)) => {
                same(self.at(from).is_none())
            }
            (
                Request::Create(_, place) | Request::Rename(_, place),
                Answer::Refused(libc::EEXIST),
            ) => same(self.at(place).is_some()),
            (Request::Remove(place), Answer::Done(_)) => match self.at(place) {
                Some(_) => vec![self.with(place, None)],
                None => Vec::new(),
            },
            (Request::Create(object, wish), Answer::Done(_)) => {
                if self.holds(wish.slot, object) {
                    return same(true);
                }
                // Its name was free when it was created, and need not be when it is stored.
                let place = |handle| Place { handle, ..wish };
                let free = (wish.handle..=MOST).find(|it| self.at(place(*it)).is_none());
                free.map(|it| self.with(place(it), Some(object)))
                    .into_iter()
                    .collect()
            }
            (Request::Rename(from, to), Answer::Done(_)) => {
                // The kernel does nothing when it remembers both names as one object's: another host has moved it just so.
                let mut after = same(self.at(to).is_some());
                if let Some(object) = self.at(from) {
                    let gone = self.with(from, None);
                    if from.slot != to.slot && self.holds(to.slot, object) {
                        after.push(gone);
                    } else if self.at(to).is_none() {
                        after.push(gone.with(to, Some(object)));
                    }
                }
                after
            }
            (_, Answer::Refused(_)) => Vec::new(),
        }
    }
}

/// An error says how far the best order came.
pub fn find(events: &[Event]) -> Result<(), String> {
    if let Some(event) = events.iter().find(|it| {
        !matches!(
            it.answer,
            Answer::Done(_) | Answer::Refused(libc::ENOENT | libc::EEXIST)
        )
    }) {
        return Err(format!(
            "an answer that none of these requests has: {event:?}"
        ));
    }
    let mut events = events.to_vec();
    events.sort_by_key(|event| event.end);
    let mut known = HashSet::new();
    let mut open = vec![(vec![false; events.len()], State::default())];
    let mut best = (0, Vec::new());
    while let Some((mut done, state)) = open.pop() {
        pass_over(&events, &mut done, &state);
        let count = done.iter().filter(|it| **it).count();
        if count == events.len() {
            return Ok(());
        }
        if count >= best.0 {
            best = (count, done.clone());
        }
        if !known.insert((done.clone(), state.clone())) {
            continue;
        }
        for number in possible(&events, &done) {
            let event = &events[number];
            for next in state.after(event.request, event.answer) {
                let mut done = done.clone();
                done[number] = true;
                open.push((done, next));
            }
        }
    }
    let left: Vec<String> = events
        .iter()
        .zip(&best.1)
        .filter(|(_, done)| !**done)
        .take(12)
        .map(|(event, _)| format!("{event:?}"))
        .collect();
    Err(format!(
        "{} of {} requests have an order; these have none after them:\n{}",
        best.0,
        events.len(),
        left.join("\n")
    ))
}

/// The requests that may come next: those that began before any other that is left had ended.
fn possible<'a>(events: &'a [Event], done: &'a [bool]) -> impl Iterator<Item = usize> + use<'a> {
    let left = move || (0..events.len()).filter(|number| !done[*number]);
    // They are sorted by their ends.
    let first_end = left().next().map_or(Duration::ZERO, |it| events[it].end);
    left().filter(move |it| events[*it].start <= first_end)
}

/// What changes nothing and is true now may come now: that takes no other order away.
fn pass_over(events: &[Event], done: &mut [bool], state: &State) {
    loop {
        let next = possible(events, done).find(|number| {
            let event = &events[*number];
            let changes_nothing = matches!(event.request, Request::Read(_))
                || matches!(event.answer, Answer::Refused(_));
            changes_nothing && !state.after(event.request, event.answer).is_empty()
        });
        match next {
            Some(number) => done[number] = true,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Place = Place { slot: 1, handle: 1 };

    fn event(request: Request, answer: Answer, start: u64, end: u64) -> Event {
        Event {
            request,
            answer,
            start: Duration::from_millis(start),
            end: Duration::from_millis(end),
        }
    }

    #[test]
    fn an_order_is_found_where_there_is_one() {
        let done = Answer::Done(None);
        let create = event(Request::Create(0, A), done, 0, 10);
        let read = |answer, start, end| event(Request::Read(A), answer, start, end);
        find(&[create, read(Answer::Done(Some(0)), 5, 6)]).unwrap();
        find(&[create, read(Answer::Refused(libc::ENOENT), 5, 20)]).unwrap();
        // Seen, and then no more.
        let seen = read(Answer::Done(Some(0)), 1, 2);
        let not_seen = read(Answer::Refused(libc::ENOENT), 3, 20);
        find(&[create, seen, not_seen]).unwrap_err();
        // Acknowledged and lost.
        find(&[create, read(Answer::Refused(libc::ENOENT), 11, 20)]).unwrap_err();
        // Back after it was removed.
        let removed = event(Request::Remove(A), done, 11, 12);
        find(&[create, removed, read(Answer::Done(Some(0)), 13, 14)]).unwrap_err();
        find(&[create, removed, read(Answer::Done(Some(0)), 11, 14)]).unwrap();
    }
}
