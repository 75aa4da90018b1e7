//! What slots, tokens, mechanisms and sessions say of themselves.

use slotfs_hsm::SlotRow;
use slotfs_object::partition::{Role, SlotKind};
use slotfs_wire::numbers::*;
use slotfs_wire::rv::*;
use slotfs_wire::{Reply, SessionInfo, SlotInfo, TokenInfo};

use crate::error::{Result, Rv};
use crate::provider::{DAMAGED, Slot};
use crate::session::Session;
use crate::{Application, mechanism};

/// PIN lengths, bytes (`slotfs_hsm::check_password`).
const PIN_BYTES: (u64, u64) = (8, 255);

impl Application {
    pub(crate) fn slots(&self, with_token: bool) -> Result<Reply> {
        let slots = self.provider.slots(&self.peer)?.into_iter();
        let kept = slots.filter(|(_, slot)| !with_token || !matches!(slot, Slot::Damaged));
        Ok(Reply::Handles(
            kept.map(|(slot, _)| u64::from(slot.0)).collect(),
        ))
    }

    pub(crate) fn slot_info(&self, slot: u64) -> Result<Reply> {
        let (slot, there) = self.provider.slot(&self.peer, slot)?;
        let flags = match there {
            Slot::Partition(_) | Slot::Uninitialized => CKF_TOKEN_PRESENT,
            Slot::Damaged => 0,
        };
        Ok(Reply::Slot(SlotInfo {
            description: format!("slotfs slot {slot}"),
            flags,
        }))
    }

    pub(crate) fn token_info(&self, slot: u64) -> Result<Reply> {
        let (slot, there) = self.provider.slot(&self.peer, slot)?;
        let row = match there {
            Slot::Partition(row) => row,
            Slot::Uninitialized => {
                return Ok(Reply::Token(TokenInfo {
                    label: String::new(),
                    model: MODEL.to_owned(),
                    serial: String::new(),
                    flags: CKF_RNG | CKF_LOGIN_REQUIRED,
                    sessions: 0,
                    rw_sessions: 0,
                    pin_bytes: PIN_BYTES,
                }));
            }
            Slot::Damaged => return Err(DAMAGED),
        };
        let (sessions, rw_sessions) = {
            let state = self.state();
            let all = state.sessions.values();
            let theirs: Vec<bool> = all
                .filter(|it| it.slot == slot)
                .map(|it| it.read_write)
                .collect();
            let read_write = theirs.iter().filter(|it| **it).count();
            (theirs.len() as u64, read_write as u64)
        };
        let flags = self.token_flags(&row)?;
        Ok(Reply::Token(TokenInfo {
            label: row.label,
            model: MODEL.to_owned(),
            serial: row.serial.to_string(),
            flags,
            sessions,
            rw_sessions,
            pin_bytes: PIN_BYTES,
        }))
    }

    fn token_flags(&self, row: &SlotRow) -> Result<u64> {
        let hsm = self.provider.hsm();
        let mut flags = CKF_RNG | CKF_LOGIN_REQUIRED | CKF_TOKEN_INITIALIZED;
        if hsm.is_read_only() {
            flags |= CKF_WRITE_PROTECTED;
        }
        if row.kind == SlotKind::Quorum {
            flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
        }
        let user = match self.who {
            slotfs_wire::Who::Co => Role::Co,
            slotfs_wire::Who::Cu => Role::Cu,
        };
        let most = row.policies.failed_logins;
        for state in hsm.partition(row.slot).roles()? {
            let [low, last, locked] = match state.role {
                Role::Po => [
                    CKF_SO_PIN_COUNT_LOW,
                    CKF_SO_PIN_FINAL_TRY,
                    CKF_SO_PIN_LOCKED,
                ],
                role if role == user => {
                    if state.initialized {
                        flags |= CKF_USER_PIN_INITIALIZED;
                    }
                    [
                        CKF_USER_PIN_COUNT_LOW,
                        CKF_USER_PIN_FINAL_TRY,
                        CKF_USER_PIN_LOCKED,
                    ]
                }
                _ => continue,
            };
            if !state.initialized || row.kind == SlotKind::Quorum {
                continue;
            }
            if state.locked {
                flags |= locked;
            } else if state.failures > 0 {
                flags |= low;
                if state.failures + 1 == most {
                    flags |= last;
                }
            }
        }
        Ok(flags)
    }

    pub(crate) fn mechanisms(&self, slot: u64) -> Result<Reply> {
        self.provider.slot(&self.peer, slot)?;
        Ok(Reply::Handles(mechanism::list()))
    }

    pub(crate) fn mechanism_info(&self, slot: u64, number: u64) -> Result<Reply> {
        self.provider.slot(&self.peer, slot)?;
        let info = mechanism::info(number);
        info.map(Reply::Mechanism).ok_or(Rv(CKR_MECHANISM_INVALID))
    }

    pub(crate) fn session_info(&self, session: &Session) -> Result<Reply> {
        let state = match (self.role(session.slot), session.read_write) {
            (Some(Role::Po), _) => CKS_RW_SO_FUNCTIONS,
            (Some(Role::Co | Role::Cu), true) => CKS_RW_USER_FUNCTIONS,
            (Some(Role::Co | Role::Cu), false) => CKS_RO_USER_FUNCTIONS,
            (None, true) => CKS_RW_PUBLIC_SESSION,
            (None, false) => CKS_RO_PUBLIC_SESSION,
        };
        let read_write = match session.read_write {
            true => CKF_RW_SESSION,
            false => 0,
        };
        Ok(Reply::Session(SessionInfo {
            slot: u64::from(session.slot.0),
            state,
            flags: CKF_SERIAL_SESSION | read_write,
        }))
    }
}

const MODEL: &str = "slotfs";
