//! Policies of a slot, by lunacm's numbers (DESIGN.md 7).

use crate::object::pkcs11::{CKO_PRIVATE_KEY, CKO_SECRET_KEY};

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
