//! A thread of its own for what may never answer: a daemon that is stopped keeps whoever asks it for ever, and the system lets
//! nobody give up a request but by its end.

use std::cell::Cell;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

type Job<T> = Box<dyn FnOnce(&mut T) + Send>;

/// The thread, and what it works on.
pub(super) struct Worker<T> {
    jobs: Option<Sender<Job<T>>>,
    thread: Option<JoinHandle<()>>,
    /// How long it was waited for in vain. It is not asked again.
    silent: Cell<Option<Duration>>,
}

impl<T: Send + 'static> Worker<T> {
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn start(mut subject: T) -> io::Result<Self> {
        let (jobs, to_do) = mpsc::channel::<Job<T>>();
        let thread = thread::Builder::new()
            .name("member".into())
            .spawn(move || {
                while let Ok(job) = to_do.recv() {
                    job(&mut subject);
                }
            })?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            silent: Cell::new(None),
        })
    }

    /// What `act` gives, if it gives it in time.
    ///
    /// # Errors
    /// Those of `act`, and [`io::ErrorKind::TimedOut`], then and from then on.
    pub(super) fn ask<R: Send + 'static>(
        &self,
        within: Duration,
        act: impl FnOnce(&mut T) -> io::Result<R> + Send + 'static,
    ) -> io::Result<R> {
        if let Some(waited) = self.silent.get() {
            return Err(no_answer(waited));
        }
        let (tell, told) = mpsc::channel();
        let job: Job<T> = Box::new(move |subject| {
            // Nobody listens any more if it was too late.
            let _ = tell.send(act(subject));
        });
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        if !matches!(sent, Some(Ok(()))) {
            return Err(io::Error::other("its thread has ended"));
        }
        told.recv_timeout(within).unwrap_or_else(|why| match why {
            RecvTimeoutError::Timeout => {
                self.silent.set(Some(within));
                Err(no_answer(within))
            }
            RecvTimeoutError::Disconnected => Err(io::Error::other("its thread has ended")),
        })
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.jobs = None;
        // One that hangs is left behind: the process can end without it.
        if let (None, Some(thread)) = (self.silent.get(), self.thread.take()) {
            let _ = thread.join();
        }
    }
}

fn no_answer(waited: Duration) -> io::Error {
    let why = format!("its daemon did not answer within {} s", waited.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_answer_is_not_asked_again() {
        let worker = Worker::start(1).unwrap();
        let second = Duration::from_secs(10);
        let next = |it: &mut i32| {
            *it += 1;
            Ok(*it)
        };
        assert_eq!(worker.ask(second, next).unwrap(), 2);
        assert_eq!(worker.ask(second, next).unwrap(), 3);
        let (free, held) = mpsc::channel::<()>();
        let hang = move |_: &mut i32| {
            let _ = held.recv();
            Ok(())
        };
        let short = Duration::from_millis(20);
        let why = worker.ask(short, hang).unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::TimedOut);
        // The answer is the first one's, and nobody waits for the thread.
        let again = worker.ask(second, next).unwrap_err();
        assert_eq!(again.to_string(), why.to_string());
        drop(worker);
        drop(free);
    }
}
