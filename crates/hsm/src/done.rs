//! The answer to a call that ends on another thread.

use std::sync::mpsc::{self, Receiver};

use super::{Error, Result, store};

/// How the outcome of such a call is passed on.
pub trait Done<T>: FnOnce(Result<T>) + Send + 'static {}
impl<T, F: FnOnce(Result<T>) + Send + 'static> Done<T> for F {}

/// Waits for the outcome of one such call.
pub(super) struct Answer<T>(Receiver<Result<T>>);

/// Something to pass to such a call as its `done`, and the answer that then arrives.
pub(super) fn answer<T, E>() -> (impl FnOnce(Result<T, E>) + Send + 'static, Answer<T>)
where
    T: Send + 'static,
    E: Into<Error> + 'static,
{
    let (sender, receiver) = mpsc::sync_channel(1);
    let done = move |outcome: Result<T, E>| {
        // The receiver is in the answer that somebody waits for.
        let _ = sender.send(outcome.map_err(Into::into));
    };
    (done, Answer(receiver))
}

impl<T> Answer<T> {
    pub(super) fn wait(self) -> Result<T> {
        let stopped = |_| Err(Error::Damaged("the committer stopped".into()));
        self.0.recv().unwrap_or_else(stopped)
    }
}

/// Makes a blocking call of one that takes a `done`.
///
/// # Errors
/// The call's own, or that its answer never came.
pub fn wait<T: Send + 'static>(call: impl FnOnce(Box<dyn FnOnce(Result<T>) + Send>)) -> Result<T> {
    let (done, answer) = answer();
    call(Box::new(done));
    answer.wait()
}

/// A callback for the store that passes its outcome on to `done`.
pub(super) fn pass_on<T, U: From<T>>(done: impl Done<U>) -> impl FnOnce(store::Result<T>) + Send {
    |outcome| done(outcome.map(U::from).map_err(Error::from))
}

/// Continues with what was prepared, or answers why it was not.
pub(super) fn go_on<P, T, D: Done<T>>(prepared: Result<P>, done: D, then: impl FnOnce(P, D)) {
    match prepared {
        Ok(prepared) => then(prepared, done),
        Err(error) => done(Err(error)),
    }
}
