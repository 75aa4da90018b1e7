//! Policies of a slot, by lunacm's numbers (DESIGN.md 7).

use crate::object::pkcs11::{CKO_PRIVATE_KEY, CKO_SECRET_KEY};

/// Logins that may fail in a row, at most and at least, before a role locks.
const FAILED_LOGINS: std::ops::RangeInclusive<u32> = 1..=10;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// 0: private keys may be cloned.
    PrivateKeyCloning,
    /// 4: secret keys may be cloned.
    SecretKeyCloning,
    /// 20: failed logins allowed.
    FailedLogins,
}

impl Policy {
    /// Every policy that a slot has.
    pub const ALL: [Self; 3] = [
        Self::PrivateKeyCloning,
        Self::SecretKeyCloning,
        Self::FailedLogins,
    ];

    /// lunacm's number of it.
    pub fn number(self) -> u32 {
        match self {
            Self::PrivateKeyCloning => 0,
            Self::SecretKeyCloning => 4,
            Self::FailedLogins => 20,
        }
    }

    /// The policy of that number.
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.number() == number)
    }

    /// lunacm's words for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PrivateKeyCloning => "Allow private key cloning",
            Self::SecretKeyCloning => "Allow secret key cloning",
            Self::FailedLogins => "Max failed user logins allowed",
        }
    }

    /// What `policies` say of it: 0 or 1 for a switch.
    pub fn value(self, policies: Policies) -> u32 {
        match self {
            Self::PrivateKeyCloning => policies.private_key_cloning.into(),
            Self::SecretKeyCloning => policies.secret_key_cloning.into(),
            Self::FailedLogins => policies.failed_logins,
        }
    }

    /// Whether it is on or off.
    pub fn is_switch(self) -> bool {
        !matches!(self, Self::FailedLogins)
    }

    /// `policies` with this one set; the error says which values it takes.
    pub(super) fn set(self, mut policies: Policies, value: u32) -> Result<Policies, String> {
        let on = || match value {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err("its values are 0 (off) and 1 (on)".to_owned()),
        };
        match self {
            Self::PrivateKeyCloning => policies.private_key_cloning = on()?,
            Self::SecretKeyCloning => policies.secret_key_cloning = on()?,
            Self::FailedLogins if FAILED_LOGINS.contains(&value) => policies.failed_logins = value,
            Self::FailedLogins => {
                return Err(format!(
                    "its values are {} to {}",
                    FAILED_LOGINS.start(),
                    FAILED_LOGINS.end()
                ));
            }
        }
        Ok(policies)
    }

    /// Whether setting it destroys the slot's objects: they were promised never to leave, and could then.
    pub fn is_destructive(self, policies: Policies, value: u32) -> bool {
        self.is_switch() && self.value(policies) == 0 && value == 1
    }
}

/// What a slot allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policies {
    /// 0: private keys may be cloned.
    pub private_key_cloning: bool,
    /// 4: secret keys may be cloned.
    pub secret_key_cloning: bool,
    /// 20: wrong passwords before a role locks.
    pub failed_logins: u32,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            private_key_cloning: true,
            secret_key_cloning: true,
            failed_logins: 10,
        }
    }
}

impl Policies {
    /// Whether an object of `class` may leave or enter the slot.
    pub fn allow_cloning(&self, class: u32) -> bool {
        match class {
            CKO_PRIVATE_KEY => self.private_key_cloning,
            CKO_SECRET_KEY => self.secret_key_cloning,
            _ => true,
        }
    }

    /// Whether there is a class that may not.
    pub fn restrict_cloning(&self) -> bool {
        !(self.private_key_cloning && self.secret_key_cloning)
    }

    /// As they are at rest: `number:value`, ascending, with commas.
    pub fn to_stored(self) -> String {
        format!(
            "0:{},4:{},20:{}",
            u8::from(self.private_key_cloning),
            u8::from(self.secret_key_cloning),
            self.failed_logins
        )
    }

    /// From [`Self::to_stored`]'s form; `None` for anything else.
    pub fn from_stored(text: &str) -> Option<Self> {
        let mut policies = Self::default();
        for part in text.split(',') {
            match part.split_once(':')? {
                ("0", value) => policies.private_key_cloning = switch(value)?,
                ("4", value) => policies.secret_key_cloning = switch(value)?,
                ("20", value) => policies.failed_logins = value.parse().ok()?,
                _ => return None,
            }
        }
        (policies.to_stored() == text).then_some(policies)
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_form_reads_back_and_no_other_does() {
        let policies = Policies {
            private_key_cloning: false,
            failed_logins: 3,
            ..Policies::default()
        };
        assert_eq!(policies.to_stored(), "0:0,4:1,20:3");
        assert_eq!(Policies::from_stored("0:0,4:1,20:3"), Some(policies));
        for bad in ["", "0:0", "0:2,4:1,20:3", "0:0,4:1,20:3,", "4:1,0:0,20:3"] {
            assert_eq!(Policies::from_stored(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn keys_are_held_back_by_class() {
        let policies = Policies {
            private_key_cloning: false,
            ..Policies::default()
        };
        assert!(!policies.allow_cloning(CKO_PRIVATE_KEY));
        assert!(policies.allow_cloning(CKO_SECRET_KEY));
    }
}
