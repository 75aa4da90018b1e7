//! Messages written to control files: one write is one message, and its result is the verdict.

use std::sync::Arc;
use std::thread;

use super::control::ControlFile;
use super::handles::OpenFile;
use super::stats::Stats;
use super::{Answer, Inner, lock};
use crate::error::{Error, Result};
use crate::hsm::{Presented, asker};
use crate::object::SlotId;
use crate::object::partition::Role;
use crate::secret::SecretBytes;

/// What a message makes happen, on a thread of its own.
type Act = fn(&Inner, SlotId, &SecretBytes) -> Result<()>;

impl Inner {
    /// Acts on a message and answers with its result.
    pub fn message(
        self: &Arc<Self>,
        open: Arc<OpenFile>,
        slot: SlotId,
        file: ControlFile,
        data: &[u8],
        answer: impl Answer,
    ) {
        let act: Act = match file {
            ControlFile::Login => |inner, slot, shown| inner.log_in(slot, Role::Co, shown),
            ControlFile::LoginCu => |inner, slot, shown| inner.log_in(slot, Role::Cu, shown),
            ControlFile::Smk => Inner::take_smk,
            ControlFile::Logout => {
                self.logout(slot);
                return finish(&open, Ok(()), answer);
            }
            _ => {
                let refused = Error::NotSupported { what: "write" };
                return finish(&open, Err(refused), answer);
            }
        };
        let message = SecretBytes::from(data);
        let inner = Arc::clone(self);
        let by = asker::current();
        // Neither Argon2 nor a change of the whole slot may hold up an event loop.
        let started = thread::Builder::new()
            .name("message".into())
            .spawn(move || {
                asker::on_behalf(by, || finish(&open, act(&inner, slot, &message), answer));
            });
        if let Err(why) = started {
            log::error!("slot {slot}: no thread could be started for a message: {why}");
        }
    }

    /// A key share that is not the last one is accepted and is no login yet.
    fn log_in(&self, slot: SlotId, role: Role, message: &SecretBytes) -> Result<()> {
        // The aliases of the last login ended with it.
        if self.hsm.partition(slot).session().is_err() {
            self.aliases.clear(slot);
            self.public_sizes.clear(slot);
        }
        let outcome = self.hsm.partition(slot).present(role, message);
        match outcome {
            Ok(Presented::LoggedIn) => Stats::count(&self.stats.logins),
            Ok(Presented::Share { .. }) => {}
            Err(_) => Stats::count(&self.stats.logins_failed),
        }
        if !matches!(outcome, Ok(Presented::Share { .. })) {
            self.metrics.login(slot, role, outcome.is_ok());
        }
        Ok(outcome.map(drop)?)
    }

    fn take_smk(&self, slot: SlotId, message: &SecretBytes) -> Result<()> {
        Ok(self
            .hsm
            .partition(slot)
            .import_smk(message.bytes(), false)
            .map(drop)?)
    }

    pub(super) fn logout(&self, slot: SlotId) {
        // Rows cannot be listed after the logout, and the kernel must forget what it knows of them.
        let rows = self.rows(slot);
        self.hsm.partition(slot).logout();
        self.staging.clear(slot);
        self.aliases.clear(slot);
        self.public_sizes.clear(slot);
        self.forget_objects(rows);
    }
}

/// Stores the result for FLUSH, then answers.
fn finish(open: &OpenFile, outcome: Result<()>, answer: impl Answer) {
    let outcome = outcome.map_err(|error| {
        log::log!(error.outcome().level, "{error}");
        error.errno()
    });
    if let OpenFile::Message(_, _, result) = open {
        *lock(result) = outcome;
    }
    answer(outcome);
}
