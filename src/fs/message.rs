//! Messages written to control files: one write is one message, its result is the verdict.

use std::sync::{Arc, PoisonError};
use std::thread;

use super::Inner;
use super::control::ControlFile;
use super::handles::OpenFile;
use super::stats::Stats;
use crate::credential::Role;
use crate::error::{Error, Result};
use crate::object::SlotId;
use crate::secret::SecretBytes;

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
        let role = match file {
            ControlFile::Login => Role::Co,
            ControlFile::LoginCu => Role::Cu,
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
        let password = SecretBytes::from(data).without_newline();
        let inner = Arc::clone(self);
        // Argon2 never runs on an event loop.
        let started = thread::Builder::new().name("login".into()).spawn(move || {
            let outcome = inner.hsm.login(slot, role, &password);
            Stats::count(match outcome {
                Ok(()) => &inner.stats.logins,
                Err(_) => &inner.stats.logins_failed,
            });
            finish(&open, outcome, answer);
        });
        if let Err(why) = started {
            log::error!("slot {slot}: no thread to log in on: {why}");
        }
    }

    fn logout(&self, slot: SlotId) {
        // Ids first: afterwards they cannot be listed, and the kernel must forget what it knows of them.
        let ids = self.hsm.object_ids(slot).unwrap_or_default();
        self.hsm.logout(slot);
        self.staging.clear(slot);
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
        log::log!(error.level(), "{error}");
        error.errno()
    });
    if let OpenFile::Message(_, _, result) = open {
        *result.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }
    answer(outcome);
}
