//! What `C_Initialize` makes and `C_Finalize` takes away.
//!
//! A call must be able to tell that it comes too late without a look at memory that may be freed, and a forked child must
//! never wait for a lock that a thread of its parent held. So each process has one block behind an atomic pointer. The block
//! stays for ever; what it holds comes and goes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use cryptoki_sys::{CK_RV, CKR_CRYPTOKI_ALREADY_INITIALIZED, CKR_CRYPTOKI_NOT_INITIALIZED};
use slotfs_config::Config;
use slotfs_wire::{StoreId, Who};

use crate::deferred::Deferred;
use crate::pool::Pool;
use crate::sys;

/// The block of one process.
pub(crate) struct State {
    pid: i32,
    phase: AtomicU8,
    /// Calls that are inside.
    users: AtomicUsize,
    /// Null while the module is not initialised.
    settings: AtomicPtr<Settings>,
    pub(crate) pool: Pool,
    pub(crate) deferred: Deferred,
    waiting: Mutex<()>,
    ended: Condvar,
    /// What the parent was told, in a child that was forked while the module was initialised.
    inherited: Option<Settings>,
    /// The parent's block, so that leak checkers find it.
    _parent: Option<&'static State>,
}

const CLOSED: u8 = 0;
const OPENING: u8 = 1;
const OPEN: u8 = 2;
const CLOSING: u8 = 3;

/// What the module was told, once.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// The store that is meant.
    pub(crate) store: Option<PathBuf>,
    pub(crate) who: Who,
    /// Whether the environment is the user's own.
    pub(crate) trusts_environment: bool,
    /// The store as the parent of this process knew it. A child that gave up its rights may not be able to look.
    pub(crate) inherited_store: Option<(PathBuf, StoreId)>,
}

static STATE: AtomicPtr<State> = AtomicPtr::new(std::ptr::null_mut());

/// A call that is inside: what the block holds stays as long as this lives.
pub(crate) struct Inside(&'static State);

impl std::ops::Deref for Inside {
    type Target = State;
    fn deref(&self) -> &State {
        self.0
    }
}

impl Inside {
    pub(crate) fn settings(&self) -> &Settings {
        let settings = self.0.settings.load(SeqCst);
        // SAFETY: they are set while the module is open, and freed after every call has left.
        unsafe { &*settings }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, SeqCst);
    }
}

fn current() -> Option<&'static State> {
    // SAFETY: a block that was put there is never freed.
    unsafe { STATE.load(SeqCst).as_ref() }
}

/// Enters the module.
///
/// # Errors
/// `CKR_CRYPTOKI_NOT_INITIALIZED`, also in a child that has not initialised the module itself.
pub(crate) fn enter() -> Result<Inside, CK_RV> {
    let state = current().filter(|state| state.pid == sys::pid());
    let state = state.ok_or(CKR_CRYPTOKI_NOT_INITIALIZED)?;
    state.users.fetch_add(1, SeqCst);
    let inside = Inside(state);
    match state.phase.load(SeqCst) {
        OPEN => Ok(inside),
        _ => Err(CKR_CRYPTOKI_NOT_INITIALIZED),
    }
}

/// Whether the module is initialised in this process.
pub(crate) fn is_initialized() -> bool {
    let is_open = |state: &State| matches!(state.phase.load(SeqCst), OPENING | OPEN);
    current().is_some_and(|state| state.pid == sys::pid() && is_open(state))
}

/// The settings of the parent, in a child that was forked while the module was initialised.
pub(crate) fn inherited_settings() -> Option<Settings> {
    let parent = current()?;
    if parent.pid == sys::pid() {
        return parent.inherited.clone();
    }
    // SAFETY: the parent set them before it opened the module, and had taken them away before it freed them.
    let settings = unsafe { parent.settings.load(SeqCst).as_ref() }?;
    let mut settings = settings.clone();
    settings.inherited_store = parent.pool.known_store().or(settings.inherited_store);
    Some(settings)
}

/// Opens the module.
///
/// # Errors
/// `CKR_CRYPTOKI_ALREADY_INITIALIZED`
pub(crate) fn initialize(settings: Settings) -> Result<(), CK_RV> {
    let state = own_block();
    loop {
        match state
            .phase
            .compare_exchange(CLOSED, OPENING, SeqCst, SeqCst)
        {
            Ok(_) => break,
            // Another thread finalises it right now.
            Err(CLOSING) => std::thread::sleep(Duration::from_millis(1)),
            Err(_) => return Err(CKR_CRYPTOKI_ALREADY_INITIALIZED),
        }
    }
    let settings = Box::into_raw(Box::new(settings));
    state.settings.store(settings, SeqCst);
    state.phase.store(OPEN, SeqCst);
    Ok(())
}

/// The block of this process, made if it has none yet.
fn own_block() -> &'static State {
    loop {
        let before = current();
        let pid = sys::pid();
        if let Some(state) = before.filter(|state| state.pid == pid) {
            return state;
        }
        let block = Box::new(State {
            pid,
            inherited: inherited_settings(),
            phase: AtomicU8::new(CLOSED),
            users: AtomicUsize::new(0),
            settings: AtomicPtr::default(),
            deferred: Deferred::default(),
            // The connections of a parent are not for its child; its door is.
            pool: Pool::new(before.and_then(|parent| parent.pool.take_inherited())),
            waiting: Mutex::new(()),
            ended: Condvar::new(),
            _parent: before,
        });
        let block = Box::into_raw(block);
        let before = before.map_or(std::ptr::null_mut(), |it| std::ptr::from_ref(it).cast_mut());
        if STATE
            .compare_exchange(before, block, SeqCst, SeqCst)
            .is_err()
        {
            // SAFETY: nobody else has seen it.
            drop(unsafe { Box::from_raw(block) });
        }
    }
}

/// Closes the module: wakes the calls that wait, and frees what there is after they have left.
///
/// # Errors
/// `CKR_CRYPTOKI_NOT_INITIALIZED` when another thread does so at the same time.
pub(crate) fn finalize(inside: &Inside) -> Result<(), CK_RV> {
    let state = inside.0;
    state
        .phase
        .compare_exchange(OPEN, CLOSING, SeqCst, SeqCst)
        .map_err(|_| CKR_CRYPTOKI_NOT_INITIALIZED)?;
    drop(state.waiting.lock());
    state.ended.notify_all();
    state.pool.say_goodbye();
    state.pool.shut_all();
    // The one that is left is this call.
    while state.users.load(SeqCst) > 1 {
        std::thread::sleep(Duration::from_millis(1));
    }
    state.pool.clear();
    state.deferred.clear();
    let settings = state.settings.swap(std::ptr::null_mut(), SeqCst);
    // SAFETY: it came from a box, and only calls that are inside read it.
    drop(unsafe { Box::from_raw(settings) });
    state.phase.store(CLOSED, SeqCst);
    Ok(())
}

impl State {
    /// Waits until the module is finalised (`C_WaitForSlotEvent`).
    pub(crate) fn wait_for_end(&self) {
        let mut guard = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is_closed() {
            guard = self
                .ended
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase.load(SeqCst) != OPEN
    }
}
