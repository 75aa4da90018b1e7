//! What a command works on: the store, the active slot, who is logged in. One command opens and forgets them,
//! the shell keeps them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::Globals;
use crate::credential::Secret;
use crate::environment;
use crate::error::{Error, Result};
use crate::hsm::{Access, Hsm, SlotError, StoreFault};
use crate::object::SlotId;
use crate::object::partition::Role;

/// One command's surroundings.
pub struct Console<'a> {
    globals: Globals,
    kept: Option<&'a Kept>,
}

/// What the shell keeps from one command to the next.
#[derive(Default)]
pub struct Kept {
    hsm: Mutex<Option<Arc<Hsm>>>,
    active: Mutex<Option<SlotId>>,
}

impl Kept {
    /// The store, once a command opened it.
    pub fn hsm(&self) -> Option<Arc<Hsm>> {
        self.hsm
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The active slot, where one was set.
    pub fn active(&self) -> Option<SlotId> {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `slot` the active one.
    pub fn set_active(&self, slot: SlotId) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Some(slot);
    }

    fn keep(&self, hsm: Arc<Hsm>) -> Arc<Hsm> {
        *self.hsm.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&hsm));
        hsm
    }
}

impl<'a> Console<'a> {
    /// A command with its options, in a shell when there is something `kept`.
    pub(crate) fn new(globals: Globals, kept: Option<&'a Kept>) -> Self {
        Self { globals, kept }
    }

    /// The options of every command.
    pub(super) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// Whether facts are printed as JSON.
    pub fn json(&self) -> bool {
        self.globals.json
    }

    /// What the shell keeps, in the shell.
    pub fn kept(&self) -> Option<&Kept> {
        self.kept
    }

    /// `--store`, `$SLOTFS_STORE`, else `$XDG_DATA_HOME/slotfs/store.db`.
    ///
    /// # Errors
    /// [`Error::Usage`] when none of these says.
    pub fn store(&self) -> Result<PathBuf> {
        if let Some(path) = &self.globals.store {
            return Ok(path.clone());
        }
        let data = environment::xdg("XDG_DATA_HOME", ".local/share");
        data.map(|data| data.join("slotfs/store.db"))
            .ok_or_else(|| {
                let why = match environment::is_unusable("HOME") {
                    true => "HOME is no absolute path, and no store is named",
                    false => "no store is named",
                };
                Error::Usage(format!(
                    "{why}: give --store PATH, or set SLOTFS_STORE or HOME"
                ))
            })
    }

    /// The store, which must be there.
    ///
    /// # Errors
    /// As [`Hsm::open`].
    pub fn open(&self) -> Result<Arc<Hsm>> {
        self.opened(|| Ok(Hsm::open(&self.store()?, Access::ReadWrite)?))
    }

    /// The store for a command that writes nothing of its own.
    ///
    /// # Errors
    /// As [`Hsm::open`].
    pub fn open_to_look(&self) -> Result<Arc<Hsm>> {
        self.opened(|| {
            let path = self.store()?;
            Ok(match Hsm::open(&path, Access::ReadWrite) {
                // On a read-only filesystem, or somebody else's file.
                Err(error) if error.is_read_only_store() => Hsm::open(&path, Access::ReadOnly)?,
                opened => opened?,
            })
        })
    }

    /// The store for a check: also one that is refused because of what writing to it would set off.
    ///
    /// # Errors
    /// As [`Hsm::open`].
    pub fn open_to_check(&self) -> Result<Arc<Hsm>> {
        self.opened(|| {
            let path = self.store()?;
            Ok(match Hsm::open(&path, Access::ReadWrite) {
                Err(error) if error.is_read_only_store() => Hsm::open(&path, Access::ReadOnly)?,
                Err(refused)
                    if matches!(refused.store_fault(), Some(StoreFault::ForeignSchema(_))) =>
                {
                    Hsm::open(&path, Access::ReadOnly).map_err(|_| refused)?
                }
                opened => opened?,
            })
        })
    }

    /// The store, made when it is not there.
    ///
    /// # Errors
    /// As [`Hsm::open_or_create`].
    pub fn open_or_create(&self) -> Result<Arc<Hsm>> {
        self.opened(|| Ok(Hsm::open_or_create(&self.store()?)?))
    }

    /// What the shell has open, up to date with what other processes did; else what `open` opens.
    fn opened(&self, open: impl FnOnce() -> Result<Arc<Hsm>>) -> Result<Arc<Hsm>> {
        let Some(kept) = self.kept else {
            return open();
        };
        match kept.hsm() {
            Some(hsm) => {
                hsm.refresh()?;
                Ok(hsm)
            }
            None => open().map(|hsm| kept.keep(hsm)),
        }
    }

    /// The slot to work on: the command's own option, `--active-slot`, the shell's active slot, else the lowest.
    ///
    /// # Errors
    /// [`Error::Usage`] when the store has none.
    pub fn slot(&self, hsm: &Hsm, given: Option<SlotId>) -> Result<SlotId> {
        let active = self.kept.and_then(Kept::active);
        match given.or(self.globals.active_slot).or(active) {
            Some(slot) => Ok(slot),
            // A damaged one too: nothing is done to another slot in its place.
            None => hsm.slot_numbers()?.first().copied().ok_or_else(|| {
                Error::Usage("the store has no partition; 'slotfs partition init' makes one".into())
            }),
        }
    }

    /// The slot of a partition that is to be made: never one that nobody named.
    ///
    /// # Errors
    /// [`Error::Usage`] when nobody did.
    pub fn new_slot(&self, given: Option<SlotId>) -> Result<SlotId> {
        let active = self.kept.and_then(Kept::active);
        given
            .or(self.globals.active_slot)
            .or(active)
            .ok_or_else(|| Error::Usage("which slot? give -slot N".into()))
    }

    /// Sees to it that one of `roles` is logged in to `slot`.
    ///
    /// # Errors
    /// As [`Self::secret_for`] and [`Hsm::login`].
    pub fn login(&self, hsm: &Hsm, slot: SlotId, roles: &[Role]) -> Result<()> {
        match self.secret_for(hsm, slot, roles)? {
            Some((role, secret)) => Ok(hsm.partition(slot).login(role, &secret)?),
            None => Ok(()),
        }
    }

    /// Which of `roles` is to be logged in to `slot`, and its password or key shares: the first that these are on
    /// file for, else the first, which is asked for. `None` when one of them is logged in. The shell does not
    /// ask: there, whoever is logged in is.
    ///
    /// # Errors
    /// [`Error::RoleNeeded`] when another role is logged in, [`Error::NotLoggedIn`] in the shell, else as
    /// [`Self::password`].
    pub fn secret_for(
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
        if self.kept.is_some() {
            return Err(SlotError::NotLoggedIn.at(slot).into());
        }
        Ok(Some((first, self.secret(hsm, slot, first)?)))
    }
}
