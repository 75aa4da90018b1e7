//! How many connections there may be at once, so that no user takes them all.

use std::collections::HashMap;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Uid;

/// The most connections of one server, if the process may open as many files.
const MOST: u64 = 4_096;
/// Descriptors that are no connection's: the store's files, the log, the socket, those of a mount.
const OTHER_DESCRIPTORS: u64 = 128;
/// Descriptors of one connection, if it is an application of its own: its socket, its process, its door.
const DESCRIPTORS_OF_ONE: u64 = 3;

/// The places for connections.
#[derive(Clone)]
pub(crate) struct Seats {
    most: usize,
    taken: Arc<Mutex<Taken>>,
    given_back: Arc<Condvar>,
}

struct Taken {
    all: usize,
    /// Of users who are neither root nor the server's own.
    foreign: usize,
    of: HashMap<u32, usize>,
    /// When the last one ended.
    last: Instant,
    /// What ends them, by number.
    streams: HashMap<u64, Arc<UnixStream>>,
    next: u64,
    /// None is taken any more.
    closed: bool,
}

/// The place of one connection.
pub(crate) struct Seat {
    seats: Seats,
    uid: u32,
    number: u64,
}

/// Whether that user is not root, nor the server's own.
pub(crate) fn is_foreign(uid: u32) -> bool {
    uid != 0 && uid != Uid::effective().as_raw()
}

impl Seats {
    /// As many as the limit of open files allows.
    pub(crate) fn new() -> Self {
        let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(soft, _)| soft);
        let most = files.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_OF_ONE;
        Self::of(most.clamp(16, MOST) as usize)
    }

    fn of(most: usize) -> Self {
        let taken = Taken {
            all: 0,
            foreign: 0,
            of: HashMap::new(),
            last: Instant::now(),
            streams: HashMap::new(),
            next: 0,
            closed: false,
        };
        Self {
            most,
            taken: Arc::new(Mutex::new(taken)),
            given_back: Arc::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most that one user may have: an eighth, or all for root and the server's own user.
    pub(crate) fn most_of(&self, uid: u32) -> usize {
        match is_foreign(uid) {
            true => self.most / 8,
            false => self.most,
        }
    }

    /// Takes a place; `None` when there is none for this user. All other users together get a half, so that root and the
    /// server's own user are never kept out by them.
    pub(crate) fn take(&self, uid: u32, stream: &Arc<UnixStream>) -> Option<Seat> {
        let mut taken = self.taken();
        let own = taken.of.get(&uid).copied().unwrap_or(0);
        let foreign = is_foreign(uid);
        if taken.closed
            || taken.all >= self.most
            || own >= self.most_of(uid)
            || (foreign && taken.foreign >= self.most / 2)
        {
            return None;
        }
        taken.all += 1;
        taken.foreign += usize::from(foreign);
        taken.of.insert(uid, own + 1);
        let number = taken.next;
        taken.next += 1;
        taken.streams.insert(number, Arc::clone(stream));
        let seats = self.clone();
        Some(Seat { seats, uid, number })
    }

    /// Ends every connection, and lets no other in.
    pub(crate) fn close(&self) {
        let mut taken = self.taken();
        taken.closed = true;
        for stream in taken.streams.values() {
            // Its thread sees the end.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits until the threads of all connections have left, as long as `patience`. Whether they have.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let taken = self.taken();
        let waited = self
            .given_back
            .wait_timeout_while(taken, patience, |it| it.all > 0);
        let (taken, _) = waited.unwrap_or_else(PoisonError::into_inner);
        taken.all == 0
    }

    /// How many connections there are.
    pub(crate) fn count(&self) -> u64 {
        self.taken().all as u64
    }

    /// Since when there is no connection; `None` while there is one.
    pub(crate) fn empty_since(&self) -> Option<Instant> {
        let taken = self.taken();
        (taken.all == 0).then_some(taken.last)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1;
        taken.foreign -= usize::from(is_foreign(self.uid));
        match taken.of.get(&self.uid).map_or(0, |own| own - 1) {
            0 => taken.of.remove(&self.uid),
            left => taken.of.insert(self.uid, left),
        };
        taken.streams.remove(&self.number);
        taken.last = Instant::now();
        drop(taken);
        self.seats.given_back.notify_all();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn other_users_leave_room_for_the_servers_own() {
        let seats = Seats::of(80);
        let stream = stream();
        let mut held = Vec::new();
        let mut count = |uid| {
            let before = held.len();
            held.extend(std::iter::from_fn(|| seats.take(uid, &stream)));
            held.len() - before
        };
        let first = Uid::effective().as_raw() + 1;
        assert_eq!(count(first), 10);
        let others: usize = (1..=8).map(|more| count(first + more)).sum();
        assert_eq!(others, 30);
        assert_eq!(count(0), 40);
        assert!(seats.empty_since().is_none());
        held.clear();
        assert!(seats.empty_since().is_some());
        assert!(seats.take(first, &stream).is_some());
    }

    #[test]
    fn the_end_waits_for_those_who_sit() {
        let seats = Seats::of(8);
        let (here, there) = UnixStream::pair().unwrap();
        let here = Arc::new(here);
        let seat = seats.take(0, &here);
        let sitting = std::thread::spawn(move || {
            // Until it is shut.
            let end = std::io::Read::read(&mut &*here, &mut [0]);
            drop(seat);
            end
        });
        seats.close();
        assert!(seats.wait(Duration::from_secs(60)));
        assert_eq!(sitting.join().unwrap().unwrap(), 0);
        assert!(seats.take(0, &stream()).is_none());
        drop(there);
    }

    fn stream() -> Arc<UnixStream> {
        Arc::new(UnixStream::pair().unwrap().0)
    }
}
