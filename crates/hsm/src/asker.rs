//! On whose behalf a thread works. It is for the log alone, which limits what one user can make it write: no rule asks it.

use std::cell::Cell;

thread_local! {
    static UID: Cell<Option<u32>> = const { Cell::new(None) };
}

/// The number for users that are not told apart. No user has it: it is (uid_t) -1.
pub const NOBODY_KNOWN: u32 = u32::MAX;

/// Sets the user whose request this thread answers from now on.
pub fn set(uid: u32) {
    UID.set(Some(uid));
}

/// The user whose request this thread answers. `None`: the process works for itself.
pub fn current() -> Option<u32> {
    UID.get()
}

/// Does `work` on behalf of that user. For work that ends on another thread than the request came to, such as a commit that
/// holds the writes of several users.
pub fn on_behalf<T>(of: Option<u32>, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<u32>);
    impl Drop for Restore {
        fn drop(&mut self) {
            UID.set(self.0);
        }
    }
    let _restore = Restore(UID.replace(of));
    work()
}

/// Does `work` on behalf of no user. For alarms: the limit on a user's refusals must not suppress them.
pub fn for_itself<T>(work: impl FnOnce() -> T) -> T {
    on_behalf(None, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_for_another_user_does_not_last() {
        assert_eq!(current(), None);
        set(1);
        assert_eq!(on_behalf(Some(2), current), Some(2));
        assert_eq!(on_behalf(None, current), None);
        assert_eq!(current(), Some(1));
    }
}
