//! What to do about the failures of a command that goes on after them.

/// More kinds of failures than occur together in practice; it keeps a hint short.
const MOST: usize = 4;

/// A hint for each kind of failure.
#[derive(Default)]
pub(super) struct Hints(Vec<String>);

impl Hints {
    /// Adds one, if it says something new.
    pub(super) fn add(&mut self, hint: Option<String>) {
        if let Some(hint) = hint
            && self.0.len() < MOST
            && !self.0.contains(&hint)
        {
            self.0.push(hint);
        }
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0.clone()
    }
}
