//! Figures of one mount, for `.slotfs/metrics` (docs/watching.md).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::lock;
use crate::object::SlotId;
use crate::object::partition::Role;

mod exposition;
mod pending;
mod slots;
mod text;

pub use pending::Pending;
pub use text::Asked;

macro_rules! operations {
    ($($operation:ident $name:literal),+ $(,)?) => {
        /// A request of the kernel that is counted and timed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Operation {
            $(#[doc = concat!("`", $name, "`")] $operation),+
        }

        impl Operation {
            /// Every operation, in the order of their numbers.
            const ALL: &[Self] = &[$(Self::$operation),+];

            fn name(self) -> &'static str {
                match self {
                    $(Self::$operation => $name),+
                }
            }
        }
    };
}

operations! {
    Lookup "lookup", Getattr "getattr", Setattr "setattr", Mkdir "mkdir", Unlink "unlink", Rmdir "rmdir",
    Rename "rename", Open "open", Read "read", Write "write", CopyFileRange "copy_file_range", Flush "flush",
    Fsync "fsync", Release "release", Opendir "opendir", Readdir "readdir", Statfs "statfs", Create "create",
}

/// The upper bounds of the buckets of request durations, nanoseconds, and as they are written, seconds. A cached request takes
/// about 10 us, a durable one as long as the disk, a login a second.
const BUCKETS: [(u64, &str); 10] = [
    (25_000, "0.000025"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (100_000_000, "0.1"),
    (1_000_000_000, "1"),
    (10_000_000_000, "10"),
];

/// Linux has no larger errno that a filesystem gives.
const ERRNOS: usize = 134;

/// The requests of one operation. A request adds to three counters and takes no lock. Each operation has cache lines of its
/// own, so that event loops that serve different ones do not wait for each other.
#[derive(Default)]
#[repr(align(64))]
struct Requests {
    begun: AtomicU64,
    /// Not cumulative; the last one is that of longer requests.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    nanos: AtomicU64,
}

/// What happened to one slot on this mount.
#[derive(Clone, Copy, Debug, Default)]
struct OfSlot {
    verdicts_good: u64,
    verdicts_bad: u64,
    co: Logins,
    cu: Logins,
}

#[derive(Clone, Copy, Debug, Default)]
struct Logins {
    right: u64,
    wrong: u64,
}

/// The figures of a mount, from its start.
pub struct Metrics {
    started: Instant,
    /// Since 1970.
    started_at: Duration,
    requests: [Requests; Operation::ALL.len()],
    /// By errno.
    failures: [AtomicU64; ERRNOS],
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    slots: Mutex<BTreeMap<SlotId, OfSlot>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            started_at: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            requests: std::array::from_fn(|_| Requests::default()),
            failures: std::array::from_fn(|_| AtomicU64::new(0)),
            read_bytes: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            slots: Mutex::default(),
        }
    }
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

impl Metrics {
    /// Counts bytes that a request read.
    pub fn read(&self, bytes: usize) {
        add(&self.read_bytes, bytes as u64);
    }

    /// Counts bytes that a request wrote.
    pub fn written(&self, bytes: u32) {
        add(&self.written_bytes, u64::from(bytes));
    }

    /// Counts a verdict of a slot.
    pub fn verdict(&self, slot: SlotId, good: bool) {
        let mut slots = lock(&self.slots);
        let of = slots.entry(slot).or_default();
        match good {
            true => of.verdicts_good += 1,
            false => of.verdicts_bad += 1,
        }
    }

    /// Counts a login to a slot, right or wrong.
    pub fn login(&self, slot: SlotId, role: Role, right: bool) {
        let mut slots = lock(&self.slots);
        let of = slots.entry(slot).or_default();
        let logins = match role {
            Role::Co => &mut of.co,
            Role::Cu => &mut of.cu,
            // Never logs in on a mount.
            Role::Po => return,
        };
        match right {
            true => logins.right += 1,
            false => logins.wrong += 1,
        }
    }

    fn begun(&self, operation: Operation) {
        add(&self.requests[operation as usize].begun, 1);
    }

    /// Counts a request that was answered with `errno`, 0 for success, after `duration`.
    fn answered(&self, operation: Operation, duration: Duration, errno: i32) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let requests = &self.requests[operation as usize];
        let bucket = BUCKETS.partition_point(|(most, _)| *most < nanos);
        add(&requests.buckets[bucket], 1);
        add(&requests.nanos, nanos);
        if errno != 0 {
            // Index 0 is that of errnos that are none.
            let errno = usize::try_from(errno).unwrap_or(0);
            let counter = self.failures.get(errno).unwrap_or(&self.failures[0]);
            add(counter, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_numbered_in_their_order() {
        for (number, operation) in Operation::ALL.iter().enumerate() {
            assert_eq!(*operation as usize, number);
        }
    }

    #[test]
    fn bounds_are_written_as_they_are() {
        for (nanos, seconds) in BUCKETS {
            let written: f64 = seconds.parse().unwrap();
            assert_eq!((written * 1e9).round() as u64, nanos, "{seconds}");
        }
        assert!(BUCKETS.is_sorted());
    }

    /// "`le`: less than or equal"
    #[test]
    fn a_duration_is_in_the_bucket_of_its_bound() {
        let metrics = Metrics::default();
        for (nanos, errno) in [(0, 0), (25_000, 0), (25_001, libc::EIO), (u64::MAX, 999)] {
            metrics.answered(Operation::Open, Duration::from_nanos(nanos), errno);
        }
        let counts = metrics.requests[Operation::Open as usize].buckets.iter();
        let counts: Vec<u64> = counts.map(|it| it.load(Ordering::Relaxed)).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(metrics.failures[5].load(Ordering::Relaxed), 1);
        assert_eq!(metrics.failures[0].load(Ordering::Relaxed), 1);
    }
}
