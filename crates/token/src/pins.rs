//! Tokens and their PINs: `C_InitToken`, `C_InitPIN`, `C_SetPIN`.

use slotfs_hsm::{
    DEFAULT_RETENTION_SECS, FIRST_DOMAIN_LABEL, NewPartition, Policies, Rekey, check_label,
    check_password, new_serial,
};
use slotfs_object::SlotId;
use slotfs_object::partition::{Role, SlotKind};
use slotfs_object::secret::SecretBytes;
use slotfs_seal::credential::Secret as Credential;
use slotfs_seal::domain::DomainKey;
use slotfs_wire::rv::*;
use slotfs_wire::{Reply, Secret, Who};

use crate::Application;
use crate::error::{Result, Rv};
use crate::login::password;
use crate::provider::{DAMAGED, Slot};
use crate::session::Session;

impl Application {
    /// Makes a partition with a random domain key and po alone, or empties one: its domains and policies stay, since its
    /// backups must stay readable, and co has to be given a PIN again.
    pub(crate) fn init_token(
        &self,
        slot: u64,
        pin: Option<Secret>,
        label: &[u8; 32],
    ) -> Result<Reply> {
        let (slot, there) = self.provider.slot(&self.peer, slot)?;
        let pin = pin.ok_or(Rv(CKR_ARGUMENTS_BAD))?;
        let label = std::str::from_utf8(label).map_err(|_| Rv(CKR_ARGUMENTS_BAD))?;
        let label = label.trim_end_matches([' ', '\0']);
        check_label(slot, label).map_err(|_| Rv(CKR_ARGUMENTS_BAD))?;
        if self.state().sessions.values().any(|it| it.slot == slot) {
            return Err(Rv(CKR_SESSION_EXISTS));
        }
        let hsm = self.provider.hsm();
        match there {
            Slot::Damaged => return Err(DAMAGED),
            Slot::Partition(row) if row.kind == SlotKind::Quorum => {
                return Err(Rv(CKR_FUNCTION_NOT_SUPPORTED));
            }
            Slot::Partition(_) => {
                hsm.partition(slot).init_again(label, &password(pin))?;
            }
            Slot::Uninitialized => {
                let secret = new_password(slot, pin)?;
                let capacity = hsm.default_capacity();
                let new = new_partition(slot, label, secret, capacity)?;
                hsm.init_partition_of_po(new)?;
            }
        }
        Ok(Reply::Done)
    }

    pub(crate) fn init_pin(&self, session: &Session, pin: Option<Secret>) -> Result<Reply> {
        let slot = session.slot;
        let login = self.login_of(slot).filter(|it| it.role() == Role::Po);
        let login = login.ok_or(Rv(CKR_USER_NOT_LOGGED_IN))?;
        let pin = new_password(slot, pin.ok_or(Rv(CKR_ARGUMENTS_BAD))?)?;
        let partition = login.partition();
        let has_co = |it: &slotfs_hsm::RoleState| it.role == Role::Co && it.initialized;
        match partition.roles()?.iter().any(has_co) {
            false => partition.init_role(Role::Co, &pin)?,
            true => {
                partition.reset_secret_as_po(Role::Co, &pin, Rekey::quiet(false))?;
            }
        }
        Ok(Reply::Done)
    }

    pub(crate) fn set_pin(
        &self,
        session: &Session,
        old: Option<Secret>,
        new: Option<Secret>,
    ) -> Result<Reply> {
        let slot = session.slot;
        if !session.read_write {
            return Err(Rv(CKR_SESSION_READ_ONLY));
        }
        let (Some(old), Some(new)) = (old, new) else {
            return Err(Rv(CKR_ARGUMENTS_BAD));
        };
        let role = self.role(slot).unwrap_or(match self.who {
            Who::Co => Role::Co,
            Who::Cu => Role::Cu,
        });
        let new = new_password(slot, new)?;
        // Over the login, where there is one: it then stays.
        let login = self.login_of(slot);
        let hsm = login
            .as_ref()
            .map_or(self.provider.hsm(), |login| login.hsm());
        let partition = hsm.partition(slot);
        partition.change_secret(role, &password(old), &new, Rekey::quiet(false))?;
        Ok(Reply::Done)
    }
}

/// A new PIN, if its length is one that slots take.
fn new_password(slot: SlotId, pin: Secret) -> Result<Credential> {
    let password = SecretBytes::new(pin.into_bytes());
    check_password(slot, &password).map_err(|_| Rv(CKR_PIN_LEN_RANGE))?;
    Ok(Credential::Password(password))
}

fn new_partition(
    slot: SlotId,
    label: &str,
    secret: Credential,
    capacity_objects: u64,
) -> Result<NewPartition> {
    let failed = |_| Rv(CKR_DEVICE_ERROR);
    let key = slotfs_seal::domain::new_key_file().map_err(failed)?;
    let domain = DomainKey::from_pem(key.bytes()).map_err(|_| Rv(CKR_DEVICE_ERROR))?;
    Ok(NewPartition {
        slot,
        serial: new_serial()?,
        v1: false,
        label: label.to_owned(),
        domain,
        domain_label: FIRST_DOMAIN_LABEL.to_owned(),
        secret,
        retention_secs: DEFAULT_RETENTION_SECS,
        uid: None,
        gid: None,
        capacity_objects,
        policies: Policies::default(),
        replaces: None,
    })
}
