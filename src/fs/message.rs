//! Messages written to control files: one write is one message, its result is the verdict.

use std::sync::{Arc, PoisonError};
use std::thread;

use super::Inner;
use super::control::ControlFile;
use super::handles::OpenFile;
use super::stats::Stats;
use crate::error::{Error, Result};
use crate::hsm::Presented;
use crate::object::SlotId;
use crate::object::partition::Role;
use crate::secret::SecretBytes;

/// What a message has done, on a thread of its own.
type Act = fn(&Inner, SlotId, &SecretBytes) -> Result<()>;

impl Inner {
    /// Takes a message.
    pub fn message(
        self: &Arc<Self>,
        open: Arc<OpenFile>,
        slot: SlotId,
        file: ControlFile,
        data: &[u8],
        answer: Box<dyn FnOnce(Result<(), i32>) + Send>,
    ) {
        let act: Act = match file {
            ControlFile::Login => |inner, slot, shown| inner.log_in(slot, Role::Co, shown),
            ControlFile::LoginCu => |inner, slot, shown| inner.log_in(slot, Role::Cu, shown),
            ControlFile::Smk => Inner::take_smk,
            ControlFile::Logout => {
                self.logout(slot);
                return finish(&open, Ok(()), answer);
            }
            ControlFile::Folder
            | ControlFile::Clones
            | ControlFile::Stats
            | ControlFile::Status
            | ControlFile::Contents
            | ControlFile::Objects
            | ControlFile::Identities
            | ControlFile::Trash => {
                let refused = Error::NotSupported { what: "write" };
                return finish(&open, Err(refused), answer);
            }
        };
        let message = SecretBytes::from(data);
        let inner = Arc::clone(self);
        // Argon2 never runs on an event loop, nor a change of the whole slot.
        let started = thread::Builder::new()
            .name("message".into())
            .spawn(move || {
                finish(&open, act(&inner, slot, &message), answer);
            });
        if let Err(why) = started {
            log::error!("slot {slot}: no thread to take a message on: {why}");
        }
    }

    /// A key share that is not the last one is taken and no login yet.
    fn log_in(&self, slot: SlotId, role: Role, message: &SecretBytes) -> Result<()> {
        // However the last login ended: its aliases ended with it.
        if self.hsm.partition(slot).session().is_err() {
            self.aliases.clear(slot);
        }
        let outcome = self.hsm.partition(slot).present(role, message);
        match outcome {
            Ok(Presented::LoggedIn) => Stats::count(&self.stats.logins),
            Ok(Presented::Share { .. }) => {}
            Err(_) => Stats::count(&self.stats.logins_failed),
        }
        Ok(outcome.map(drop)?)
    }

    fn take_smk(&self, slot: SlotId, message: &SecretBytes) -> Result<()> {
        Ok(self
            .hsm
            .partition(slot)
            .import_smk(message.bytes())
            .map(drop)?)
    }

    pub(super) fn logout(&self, slot: SlotId) {
        // Ids first: afterwards they cannot be listed, and the kernel must forget what it knows of them.
        let ids = self.hsm.partition(slot).object_ids().unwrap_or_default();
        self.hsm.partition(slot).logout();
        self.staging.clear(slot);
        self.aliases.clear(slot);
        self.forget_objects(&ids);
    }
}

/// Remembers the result for FLUSH, then answers.
fn finish(
    open: &OpenFile,
    outcome: Result<(), Error>,
    answer: Box<dyn FnOnce(Result<(), i32>) + Send>,
) {
    let outcome = outcome.map_err(|error| {
        log::log!(error.outcome().level, "{error}");
        error.errno()
    });
    if let OpenFile::Message(_, _, result) = open {
        *result.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }
    answer(outcome);
}
