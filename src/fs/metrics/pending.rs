//! A request between its arrival and its answer.

use std::sync::Arc;
use std::time::Instant;

use fuser::{
    Errno, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite,
};

use super::{Metrics, Operation};

/// The reply of a request, and the clock that runs until it is given, on whatever thread that is.
pub struct Pending<R> {
    // Dropped first, so that whoever has an answer finds it counted. A reply that nobody gives is EIO.
    clock: Clock,
    reply: R,
}

/// Counts the request when it is dropped.
struct Clock {
    metrics: Arc<Metrics>,
    operation: Operation,
    began: Instant,
    /// 0 for success.
    errno: i32,
}

impl<R: Refusable> Pending<R> {
    /// A request that begins now.
    pub fn new(metrics: &Arc<Metrics>, operation: Operation, reply: R) -> Self {
        metrics.begun(operation);
        let clock = Clock {
            metrics: Arc::clone(metrics),
            operation,
            began: Instant::now(),
            errno: libc::EIO,
        };
        Self { clock, reply }
    }

    /// Answers with success.
    pub fn give(self, answer: impl FnOnce(R)) {
        let Self { reply, mut clock } = self;
        clock.errno = 0;
        drop(clock);
        answer(reply);
    }

    /// Answers with an errno.
    pub fn error(self, errno: Errno) {
        let Self { reply, mut clock } = self;
        clock.errno = errno.code();
        drop(clock);
        reply.refuse(errno);
    }

    /// The figures that the request is counted in.
    pub fn metrics(&self) -> &Metrics {
        &self.clock.metrics
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        let duration = self.began.elapsed();
        self.metrics.answered(self.operation, duration, self.errno);
    }
}

/// A reply that can be an errno: each of fuser's has a method of its own for that.
pub trait Refusable {
    /// Answers with an errno.
    fn refuse(self, errno: Errno);
}

macro_rules! refusable {
    ($($reply:ident),+) => {$(
        impl Refusable for $reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        }
    )+};
}

refusable!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite
);
