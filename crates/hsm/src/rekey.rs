//! Credentials of a change, and another key for the slot: what a changed secret means (docs/format.md, "Role key pairs").

use std::sync::Arc;

use super::amend::Change;
use super::header::{NamedCredential, NamedPair, authentication_aad, binding_of, object_aad};
use super::init::{STRETCHED, random_id};
use super::{Error, Key, Result, Role, Secret, Session, SlotError, SlotRow};
use slotfs_object::sealed::{Credential, KdfParams, Pair, SealedRow};
use slotfs_seal::credential::pair::{self, Encapsulated};
use slotfs_seal::credential::{self, Binding, KdfError, Opened, PairSecret, Purpose, SlotKey};
use slotfs_store::{CredentialRow, Objects, Reseal};

/// How the objects of a slot go over to another slot key.
pub struct Rekey {
    /// Whether objects that do not open may be lost. If not, one such object stops the change.
    pub leave_damaged: bool,
    /// Called with the number of objects that are done, now and then.
    pub progress: Box<dyn FnMut(u64) + Send>,
}

impl Rekey {
    /// Without progress.
    pub fn quiet(leave_damaged: bool) -> Self {
        Self {
            leave_damaged,
            progress: Box::new(|_| {}),
        }
    }
}

impl Change {
    /// Gives a role a credential with a pair of its own: `secret` opens the slot key that the partition is to have.
    pub(super) fn give(&mut self, role: Role, secret: &Secret) -> Result<()> {
        let slot = self.row.slot;
        let kib = KdfParams::NEW.memory_kib;
        let binding = self.binding(role)?;
        let pair = PairSecret::random()?;
        let credential = credential::wrap(secret, &pair, binding).map_err(|error| match error {
            KdfError::Random(error) => error.into(),
            KdfError::Memory => SlotError::NoMemoryForPassword { kib }.at(slot),
            KdfError::Cost => SlotError::Malformed(STRETCHED).at(slot),
        })?;
        self.add(binding, credential, &pair, &[])?;
        self.given.push((role, pair));
        Ok(())
    }

    /// Makes the credential of `role` anew under the secret that opened it, with another authentication key: with its pair
    /// if it has one, else with a new one. Sessions with the authentication key from before still take the slot key in.
    pub(super) fn renew(&mut self, role: Role, opened: &Opened) -> Result<()> {
        let before = self.keys.pair.clone();
        let pair = match &before {
            Some(pair) => pair.with_authentication(Key::random()?),
            None => PairSecret::random()?,
        };
        let binding = self.binding(role)?;
        let wrapped = opened.wrap(&pair, binding);
        let credential = wrapped.map_err(|_| getrandom::Error::UNEXPECTED)?;
        self.forget(&[role]);
        let earlier: Vec<&Key> = before.iter().map(PairSecret::authentication).collect();
        self.add(binding, credential, &pair, &earlier)?;
        self.keys.pair = Some(pair);
        Ok(())
    }

    fn binding(&self, role: Role) -> Result<Binding> {
        let (serial, id) = (self.row.serial, random_id()?);
        Ok(Binding { serial, role, id })
    }

    /// Adds a credential, and the slot key encapsulated to its pair.
    fn add(
        &mut self,
        binding: Binding,
        credential: Credential,
        secret: &PairSecret,
        earlier: &[&Key],
    ) -> Result<()> {
        let Binding { role, id, .. } = binding;
        let mut authentication = vec![secret.authentication()];
        authentication.extend(earlier);
        let pair = self.encapsulate(binding, &secret.public_key(), &authentication)?;
        self.header.credentials.push(NamedCredential {
            id,
            // Set when the header is sealed.
            hash: None,
            pair: Some(NamedPair::of(&pair, false)),
        });
        self.parts.credentials.push(CredentialRow {
            id,
            role,
            credential,
            pair: Some(pair),
            failures: 0,
        });
        Ok(())
    }

    /// The slot key for the holder of a pair. The first of the authentication keys is the one that it has from now on.
    fn encapsulate(
        &self,
        binding: Binding,
        public_key: &[u8],
        authentication: &[&Key],
    ) -> Result<Pair> {
        let SlotRow {
            slot, generation, ..
        } = self.row;
        let Binding { serial, role, id } = binding;
        let slot_key = &self.keys.slot_key;
        let place = pair::Place {
            slot,
            binding,
            generation,
        };
        let made = pair::encapsulate(slot_key, public_key, authentication, place)?;
        let made = made.zip(authentication.first());
        let (
            Encapsulated {
                encapsulation,
                wrapped,
            },
            first,
        ) = made.ok_or_else(|| damaged(self, role, "its public key is not one"))?;
        let aad = authentication_aad(serial, role, id, public_key);
        Ok(Pair {
            generation,
            public_key: public_key.to_vec(),
            encapsulation,
            wrapped,
            authentication: slot_key.seal(Purpose::Authentication, &aad, first.bytes())?,
        })
    }

    /// Takes the credentials of `roles` away.
    pub(super) fn forget(&mut self, roles: &[Role]) {
        self.parts
            .credentials
            .retain(|it| !roles.contains(&it.role));
        let kept = &self.parts.credentials;
        self.header
            .credentials
            .retain(|named| kept.iter().any(|it| it.id == named.id));
    }

    /// The roles that a new slot key would not reach, since they have no pair. The header says so: if a missing row did,
    /// whoever can write the file could remove one, and a changed secret would keep the slot key.
    pub(super) fn without_pair(&self) -> Vec<Role> {
        let all = self.parts.credentials.iter();
        all.filter(|it| self.header.pair(it.id).is_none())
            .map(|it| it.role)
            .collect()
    }

    /// Gives the slot another key: everything is sealed again, and the key is encapsulated to every role. All roles that
    /// are left have pairs.
    pub(super) fn rekey(&mut self, session: &Arc<Session>, rekey: Rekey) -> Result<()> {
        let before = std::mem::replace(&mut self.keys.slot_key, SlotKey::random()?);
        let domains = session.domains().iter();
        let domains = domains.map(|it| self.seal_domain(&it.label, &it.key));
        self.parts.domains = domains.collect::<Result<_>>()?;
        let smks = session.smks().iter();
        let smks = smks.map(|it| self.seal_smk(&it.key));
        self.parts.smks = smks.collect::<Result<_>>()?;
        let credentials = self.parts.credentials.iter();
        let pairs = credentials.map(|it| self.for_new_key(it, &before));
        let pairs: Vec<Pair> = pairs.collect::<Result<_>>()?;
        for (it, pair) in self.parts.credentials.iter_mut().zip(pairs) {
            let mut all = self.header.credentials.iter_mut();
            if let Some(named) = all.find(|named| named.id == it.id) {
                named.pair = Some(NamedPair::of(&pair, true));
            }
            it.pair = Some(pair);
        }
        self.header.rekey_due = false;
        self.objects = Objects::Reseal {
            leave_damaged: rekey.leave_damaged,
            reseal: reseal(session, &self.keys.slot_key, rekey.progress),
        };
        Ok(())
    }

    /// The pair of a credential, with the new slot key. Only what the header names is believed: a public key that
    /// somebody else put there would get the slot key.
    fn for_new_key(&self, it: &CredentialRow, before: &SlotKey) -> Result<Pair> {
        let damaged = |what| damaged(self, it.role, what);
        let unfit = || damaged("its key pair is not the one that the header names");
        let named = self.header.pair(it.id).ok_or_else(unfit)?;
        let pair = it.pair.as_ref().filter(|pair| named.fits(pair));
        let pair = pair.ok_or_else(unfit)?;
        let serial = self.row.serial;
        let aad = authentication_aad(serial, it.role, it.id, &pair.public_key);
        let authentication = before
            .open(Purpose::Authentication, &aad, &pair.authentication)
            .and_then(|key| Key::from_slice(key.bytes()))
            .ok_or_else(|| damaged("its authentication key does not open"))?;
        let binding = binding_of(&self.row, it);
        self.encapsulate(binding, &pair.public_key, &[&authentication])
    }
}

fn damaged(change: &Change, role: Role, what: &str) -> Error {
    Error::slot_damaged(change.row.slot, format!("the credential of {role}: {what}"))
}

/// From one slot key to another; `None` for a row that does not open.
fn reseal(
    session: &Arc<Session>,
    slot_key: &SlotKey,
    mut progress: Box<dyn FnMut(u64) + Send>,
) -> Reseal {
    /// Objects between two reports.
    const REPORT: u64 = 256;
    let (session, slot_key) = (Arc::clone(session), slot_key.clone());
    let mut done = 0;
    Box::new(move |place, row: &SealedRow| {
        done += 1;
        if done % REPORT == 0 {
            progress(done);
        }
        match session.open_row(place, row) {
            Ok(payload) => {
                let aad = object_aad(session.row().serial, place);
                let sealed = slot_key.seal(Purpose::Object, &aad, payload.bytes())?;
                Ok(Some(sealed))
            }
            Err(error) => {
                log::error!("{error}");
                Ok(None)
            }
        }
    })
}
