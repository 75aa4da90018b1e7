//! What `C_Initialize` makes and `C_Finalize` takes away.
//!
//! A call must be able to tell that it is too late without touching what may be gone, and a forked child must never wait for
//! a lock that a thread of its parent held. So the place of the state is an atomic pointer, and the little block behind it is
//! never freed; what is in it is.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::time::Duration;

use cryptoki_sys::{CK_RV, CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED};
use slotfs_config::Config;
use slotfs_wire::Who;

use crate::client::Pool;
use crate::sys;

/// One initialisation of the module, in one process.
pub(crate) struct State {
    pid: i32,
    /// Calls that are inside.
    users: AtomicUsize,
    closed: AtomicBool,
    pub(crate) settings: Settings,
    pub(crate) pool: Pool,
}

/// What the module was told, once.
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// The store that is meant.
    pub(crate) store: Option<PathBuf>,
    pub(crate) who: Who,
    /// Whether the environment is the user's own.
    pub(crate) trusts_environment: bool,
}

static STATE: AtomicPtr<State> = AtomicPtr::new(std::ptr::null_mut());

/// A call that is inside: the state stays as long as it lives.
pub(crate) struct Inside(&'static State);

impl std::ops::Deref for Inside {
    type Target = State;
    fn deref(&self) -> &State {
        self.0
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::AcqRel);
    }
}

fn current() -> Option<&'static State> {
    let state = STATE.load(Ordering::Acquire);
    // SAFETY: a state that was put there is never freed.
    unsafe { state.as_ref() }
}

/// Enters the module.
///
/// # Errors
/// `CKR_CRYPTOKI_NOT_INITIALIZED`, also in a child that has not initialised the module itself.
pub(crate) fn enter() -> Result<Inside, CK_RV> {
    let state = current().filter(|state| state.pid == sys::pid());
    let state = state.ok_or(CKR_CRYPTOKI_NOT_INITIALIZED)?;
    state.users.fetch_add(1, Ordering::AcqRel);
    let inside = Inside(state);
    match state.closed.load(Ordering::Acquire) {
        true => Err(CKR_CRYPTOKI_NOT_INITIALIZED),
        false => Ok(inside),
    }
}

/// Whether the module is initialised in this process.
pub(crate) fn is_initialized() -> bool {
    current().is_some_and(|state| state.pid == sys::pid() && !state.closed.load(Ordering::Acquire))
}

/// Puts a new state in place.
///
/// # Errors
/// `CKR_CRYPTOKI_ALREADY_INITIALIZED`
pub(crate) fn initialize(settings: Settings) -> Result<(), CK_RV> {
    let before = STATE.load(Ordering::Acquire);
    // SAFETY: a state that was put there is never freed.
    let old = unsafe { before.as_ref() };
    let pid = sys::pid();
    let mut door = None;
    if let Some(old) = old {
        if old.pid == pid && !old.closed.load(Ordering::Acquire) {
            return Err(CKR_CRYPTOKI_ALREADY_INITIALIZED);
        }
        // A child of fork: its parent's connections are not for it, its door is.
        if old.pid != pid {
            door = old.pool.take_inherited();
        }
    }
    let state = Box::new(State {
        pid,
        users: AtomicUsize::new(0),
        closed: AtomicBool::new(false),
        settings,
        pool: Pool::new(door),
    });
    let state = Box::into_raw(state);
    let placed = STATE.compare_exchange(before, state, Ordering::AcqRel, Ordering::Acquire);
    if placed.is_err() {
        // SAFETY: nobody else has seen it.
        drop(unsafe { Box::from_raw(state) });
        return Err(CKR_CRYPTOKI_ALREADY_INITIALIZED);
    }
    Ok(())
}

/// Takes the state away: calls that wait are woken, and it goes on when they have left.
pub(crate) fn finalize(inside: Inside) -> Result<(), CK_RV> {
    let state = inside.0;
    if state.closed.swap(true, Ordering::AcqRel) {
        return Err(CKR_CRYPTOKI_NOT_INITIALIZED);
    }
    state.pool.say_goodbye();
    state.pool.shut_all();
    // Only this call is left then.
    while state.users.load(Ordering::Acquire) > 1 {
        state.pool.shut_all();
        std::thread::sleep(Duration::from_millis(1));
    }
    state.pool.clear();
    Ok(())
}

impl State {
    /// Waits for what never comes, until the module is finalised (`C_WaitForSlotEvent`).
    pub(crate) fn wait_for_end(&self) {
        while !self.closed.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
