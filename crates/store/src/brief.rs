//! Questions to a cluster for which nobody is kept waiting: those of a thread that also has signals to handle, or of a page that
//! tells how things are.

use std::cell::Cell;

thread_local! {
    static BRIEF: Cell<bool> = const { Cell::new(false) };
}

/// Does `act`, in which every question of this thread to a cluster has a second at the most, whatever `engine-timeout` is. A
/// file answers as always.
pub fn briefly<T>(act: impl FnOnce() -> T) -> T {
    /// Also after a panic.
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            BRIEF.set(self.0);
        }
    }
    let _before = Before(BRIEF.replace(true));
    act()
}

/// Whether this thread asks briefly.
#[cfg(feature = "etcd")]
pub(crate) fn is_brief() -> bool {
    BRIEF.get()
}

#[cfg(all(test, feature = "etcd"))]
mod tests {
    use super::*;

    #[test]
    fn it_ends_with_what_is_done() {
        assert!(!is_brief());
        briefly(|| {
            assert!(is_brief());
            briefly(|| assert!(is_brief()));
            assert!(is_brief());
            assert!(!std::thread::spawn(is_brief).join().unwrap());
        });
        assert!(!is_brief());
        assert!(std::panic::catch_unwind(|| briefly(|| panic!("on purpose"))).is_err());
        assert!(!is_brief());
    }
}
