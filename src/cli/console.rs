//! What a command works on: the store, the active slot and its login. A single command opens them for itself; the shell
//! keeps them from one command to the next.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use slotfs_config::Config;

use crate::cli::{Globals, SlotArg, output};
use crate::credential::Secret;
use crate::environment;
use crate::error::{Error, Result};
use crate::hsm::{self, Access, Hsm, SlotError, StoreFault};
use crate::logging::Where;
use crate::object::SlotId;
use crate::object::partition::Role;

/// One command's surroundings.
pub(crate) struct Console<'a> {
    globals: Globals,
    kept: Option<&'a Kept>,
    /// Read when it is needed first.
    config: OnceCell<Config>,
}

/// What the shell keeps from one command to the next.
#[derive(Default)]
pub(crate) struct Kept {
    hsm: Mutex<Option<Arc<Hsm>>>,
    active: Mutex<Option<SlotId>>,
}

impl Kept {
    /// The store, once a command opened it.
    pub(crate) fn hsm(&self) -> Option<Arc<Hsm>> {
        lock(&self.hsm).clone()
    }

    /// The active slot, where one was set.
    pub(crate) fn active(&self) -> Option<SlotId> {
        *lock(&self.active)
    }

    /// Makes `slot` the active one.
    pub(crate) fn set_active(&self, slot: SlotId) {
        *lock(&self.active) = Some(slot);
    }
}

fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether both paths lead to one file.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| slotfs_config::store::canonical(path).ok();
    one == other || real(one).is_some_and(|it| real(other) == Some(it))
}

/// Opens a store to write if that is possible, else to read.
fn open_to_read(path: &Path) -> hsm::Result<Arc<Hsm>> {
    match Hsm::open(path, Access::ReadWrite) {
        Err(error) if error.is_read_only_store() => Hsm::open(path, Access::ReadOnly),
        opened => opened,
    }
}

impl<'a> Console<'a> {
    /// A command with its options, in a shell when there is something `kept`.
    pub(crate) fn new(globals: Globals, kept: Option<&'a Kept>) -> Self {
        Self {
            globals,
            kept,
            config: OnceCell::new(),
        }
    }

    /// The same surroundings with other options.
    pub(super) fn with(&self, globals: Globals) -> Self {
        Self {
            globals,
            kept: self.kept,
            config: self.config.clone(),
        }
    }

    /// The options of every command.
    pub(super) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// Whether answers are printed as JSON.
    pub(crate) fn json(&self) -> bool {
        self.globals.json
    }

    /// What the shell keeps, in the shell.
    pub(crate) fn kept(&self) -> Option<&Kept> {
        self.kept
    }

    /// The configuration: the files and the environment.
    ///
    /// # Errors
    /// [`Error::Usage`] when a file cannot be read or trusted, or holds something else.
    pub(crate) fn config(&self) -> Result<&Config> {
        match self.config.get() {
            Some(config) => Ok(config),
            None => {
                let config = Config::load(true).map_err(Error::Usage)?;
                Ok(self.config.get_or_init(|| config))
            }
        }
    }

    /// The configuration, for the store at that path.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub(crate) fn config_of(&self, store: &Path) -> Result<Config> {
        let mut config = self.config()?.clone();
        config.use_store(store.to_owned());
        Ok(config)
    }

    /// Where a daemon is to log: the `given` place, else that of the configuration.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub(crate) fn log_place(&self, given: Option<&Where>) -> Result<Where> {
        match given {
            Some(place) => Ok(place.clone()),
            None => {
                let text = &self.config()?.log;
                Where::parse(OsStr::new(text)).map_err(|why| Error::Usage(format!("log: {why}")))
            }
        }
    }

    /// `--store`, `$SLOTFS_STORE`, the store of the configuration, else `$XDG_DATA_HOME/slotfs/store.db`.
    ///
    /// # Errors
    /// [`Error::Usage`] when none of these is given, or the configuration cannot be read.
    pub(crate) fn store(&self) -> Result<PathBuf> {
        if let Some(path) = &self.globals.store {
            return no_misspelt_location(path.clone());
        }
        let store = self.config()?.store_path(true).ok_or_else(|| {
            let why = match environment::is_unusable("HOME") {
                true => "HOME is not an absolute path, and no store is named",
                false => "no store is named",
            };
            Error::Usage(format!(
                "{why}: give --store PATH, or set SLOTFS_STORE or HOME"
            ))
        })?;
        no_misspelt_location(store)
    }

    /// Prints text for people at once, nothing with `--json`.
    pub(crate) fn say(&self, text: &str) {
        if !self.json() {
            output::print(text);
        }
    }

    /// The store and the slot that a command works on, with one of `roles` logged in to it. No roles: nobody needs to be.
    ///
    /// # Errors
    /// As [`Hsm::open`], [`Self::slot`] and [`Self::login`].
    pub(crate) fn partition(&self, slot: SlotArg, roles: &[Role]) -> Result<(Arc<Hsm>, SlotId)> {
        self.enter(self.open()?, slot, roles)
    }

    /// The same for a command that writes nothing of its own.
    ///
    /// # Errors
    /// As [`Self::partition`].
    pub(crate) fn partition_to_read(
        &self,
        slot: SlotArg,
        roles: &[Role],
    ) -> Result<(Arc<Hsm>, SlotId)> {
        self.enter(self.open_to_read()?, slot, roles)
    }

    fn enter(&self, hsm: Arc<Hsm>, slot: SlotArg, roles: &[Role]) -> Result<(Arc<Hsm>, SlotId)> {
        let slot = self.slot(&hsm, slot.slot)?;
        if !roles.is_empty() {
            self.login(&hsm, slot, roles)?;
        }
        Ok((hsm, slot))
    }

    /// The store, which must be there.
    ///
    /// # Errors
    /// As [`Hsm::open`].
    pub(crate) fn open(&self) -> Result<Arc<Hsm>> {
        self.opened(|path| Hsm::open(path, Access::ReadWrite))
    }

    /// The store for a command that writes nothing of its own: it may lie on a read-only filesystem, or be somebody
    /// else's file.
    ///
    /// # Errors
    /// As [`Hsm::open`].
    pub(crate) fn open_to_read(&self) -> Result<Arc<Hsm>> {
        self.opened(open_to_read)
    }

    /// A store beside the one that commands work on, to be read.
    ///
    /// # Errors
    /// As [`Hsm::open`].
    pub(crate) fn open_another(&self, store: &Path) -> Result<Arc<Hsm>> {
        Ok(open_to_read(store)?)
    }

    /// The store for a check, which also reads one with an altered schema: nothing is written to that.
    ///
    /// # Errors
    /// As [`Hsm::open`].
    pub(crate) fn open_to_check(&self) -> Result<Arc<Hsm>> {
        self.opened(|path| match open_to_read(path) {
            Err(refused) if matches!(refused.store_fault(), Some(StoreFault::ForeignSchema(_))) => {
                Hsm::open(path, Access::ReadOnly).map_err(|_| refused)
            }
            opened => opened,
        })
    }

    /// The store, made when it is not there.
    ///
    /// # Errors
    /// As [`Hsm::open_or_create`].
    pub(crate) fn open_or_create(&self) -> Result<Arc<Hsm>> {
        self.opened(Hsm::open_or_create)
    }

    /// The same, but `None` when it is not there yet: to look at it makes nothing.
    ///
    /// # Errors
    /// As [`Hsm::open_or_create`].
    pub(crate) fn open_if_there(&self) -> Result<Option<Arc<Hsm>>> {
        let store = self.store()?;
        if slotfs_config::store::is_in_cluster(&store) {
            return match self.open() {
                Err(Error::Hsm(why)) if matches!(why.store_fault(), Some(StoreFault::Missing)) => {
                    Ok(None)
                }
                opened => opened.map(Some),
            };
        }
        // An empty file becomes a store.
        match std::fs::metadata(&store).is_ok_and(|file| file.len() > 0) {
            true => self.open_or_create().map(Some),
            false => Ok(None),
        }
    }

    /// The store at `path`, which need not be the one that commands work on: a member of an HA group may be in any.
    ///
    /// # Errors
    /// As [`Hsm::open`].
    pub(crate) fn open_at(&self, path: &Path) -> Result<Arc<Hsm>> {
        if let Some(hsm) = self.kept.and_then(Kept::hsm)
            && is_same(hsm.path(), path)
        {
            hsm.refresh()?;
            return Ok(hsm);
        }
        let hsm = Hsm::open(path, Access::ReadWrite)?;
        hsm.remember_in(environment::state_folder());
        Ok(hsm)
    }

    /// What the shell has open, up to date with what other processes did; else what `open` opens.
    fn opened(&self, open: impl FnOnce(&Path) -> hsm::Result<Arc<Hsm>>) -> Result<Arc<Hsm>> {
        match self.kept.and_then(Kept::hsm) {
            Some(hsm) => {
                hsm.refresh()?;
                Ok(hsm)
            }
            None => {
                let hsm = open(&self.store()?)?;
                hsm.remember_in(environment::state_folder());
                if let Some(kept) = self.kept {
                    *lock(&kept.hsm) = Some(Arc::clone(&hsm));
                }
                Ok(hsm)
            }
        }
    }

    /// The slot to work on: the command's own option, `--active-slot`, the shell's active slot, that of the
    /// configuration, else the lowest.
    ///
    /// # Errors
    /// [`Error::Usage`] when the store has none.
    pub(crate) fn slot(&self, hsm: &Hsm, given: Option<SlotId>) -> Result<SlotId> {
        match self.named_slot(given)? {
            Some(slot) => Ok(slot),
            // Damaged ones count, so that a command does not work on another slot in its place.
            None => hsm.slot_numbers()?.first().copied().ok_or_else(|| {
                Error::Usage("the store has no partition; 'slotfs partition init' makes one".into())
            }),
        }
    }

    /// The slot of a new partition, which the user must name.
    ///
    /// # Errors
    /// [`Error::Usage`] when no slot is named.
    pub(crate) fn new_slot(&self, given: Option<SlotId>) -> Result<SlotId> {
        self.named_slot(given)?
            .ok_or_else(|| Error::Usage("which slot? give -slot N".into()))
    }

    fn named_slot(&self, given: Option<SlotId>) -> Result<Option<SlotId>> {
        let active = || self.kept.and_then(Kept::active);
        match given.or(self.globals.active_slot).or_else(active) {
            Some(slot) => Ok(Some(slot)),
            None => Ok(self.config()?.active_slot.map(SlotId)),
        }
    }

    /// Makes sure that one of `roles` is logged in to `slot`.
    ///
    /// # Errors
    /// As [`Self::secret_for`] and [`Hsm::login`].
    pub(crate) fn login(&self, hsm: &Hsm, slot: SlotId, roles: &[Role]) -> Result<()> {
        match self.secret_for(hsm, slot, roles)? {
            Some((role, secret)) => Ok(hsm.partition(slot).login(role, &secret)?),
            None => Ok(()),
        }
    }

    /// The role to log in to `slot` and its secret, `None` when one of `roles` is logged in. It is the first role
    /// whose secret is on file, else the first, which is asked for. The shell does not ask, as it has 'role login'.
    ///
    /// # Errors
    /// [`Error::RoleNeeded`] when another role is logged in, [`Error::NotLoggedIn`] in the shell, else as
    /// [`Self::secret`].
    pub(crate) fn secret_for(
        &self,
        hsm: &Hsm,
        slot: SlotId,
        roles: &[Role],
    ) -> Result<Option<(Role, Secret)>> {
        hsm.partition(slot).row()?;
        let first = roles.first().copied().unwrap_or(Role::Co);
        if let Ok(session) = hsm.partition(slot).session() {
            return match session.role() {
                role if roles.contains(&role) => Ok(None),
                role => Err(SlotError::RoleNeeded {
                    role,
                    needed: first,
                }
                .at(slot)
                .into()),
            };
        }
        for &role in roles {
            if let Some(secret) = self.secret_on_file(hsm, slot, role)? {
                return Ok(Some((role, secret)));
            }
        }
        match self.kept {
            Some(_) => Err(SlotError::NotLoggedIn.at(slot).into()),
            None => Ok(Some((first, self.secret(hsm, slot, first)?))),
        }
    }
}

/// A store as it was given. What was meant as a location in a cluster must not become a file of this host.
///
/// # Errors
/// [`Error::Usage`]
pub(super) fn no_misspelt_location(store: PathBuf) -> Result<PathBuf> {
    let text = store.to_string_lossy();
    let scheme = text.split_once(':').map(|it| it.0);
    let is_scheme = |scheme: &str| {
        scheme.eq_ignore_ascii_case("etcd") || text[scheme.len()..].starts_with("://")
    };
    let is_meant = scheme.is_some_and(|it| !it.contains('/') && is_scheme(it));
    if is_meant && !slotfs_config::store::is_in_cluster(&store) {
        return Err(Error::Usage(format!(
            "{} is no location of a store: in a cluster it is etcd://HOST:PORT,.../NAME; for a file of that name, put './' before it",
            crate::shown::path(&store)
        )));
    }
    hsm::check_location(&store).map_err(|why| Error::Usage(why.to_string()))?;
    Ok(store)
}
