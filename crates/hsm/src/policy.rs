//! Policies of a slot, by lunacm's numbers (docs/kinds.md, "Capabilities and policies").

use thiserror::Error as ThisError;

use super::SlotKind;

pub use slotfs_object::partition::Policies;

/// Logins that may fail in a row, at most and at least, before a role locks.
const FAILED_LOGINS: std::ops::RangeInclusive<u32> = 1..=10;
const FAILED_LOGINS_NAME: &str = "Max failed user logins allowed";

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// 0: private keys may be cloned.
    PrivateKeyCloning,
    /// 1: private keys may be wrapped; 0 and 1 exclude each other.
    PrivateKeyWrapping,
    /// 4: secret keys may be cloned.
    SecretKeyCloning,
    /// 5: secret keys may be wrapped.
    SecretKeyWrapping,
    /// 20: failed logins allowed.
    FailedLogins,
    /// 1000, one of slotfs's own: a crypto user may clone private and secret objects.
    CryptoUserCloning,
}

/// What a kind of slot could allow, whatever its policies say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// A switch.
    On,
    /// A number up to this.
    Most(u32),
}

impl Capability {
    /// As lunacm shows it.
    pub fn value(self) -> u32 {
        match self {
            Self::On => 1,
            Self::Most(most) => most,
        }
    }
}

/// Why a policy stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum PolicyFault {
    /// Two that exclude each other.
    #[error("policies 0 (private key cloning) and 1 (private key wrapping) exclude each other")]
    Dependency,
    /// The slot is not capable of it.
    #[error("the slot has no such capability, as 'partition showpolicies' shows")]
    Incapable,
    /// Not a switch's value.
    #[error("its values are 0 (off) and 1 (on)")]
    NotASwitch,
    /// Not a number of logins.
    #[error("its values are {} to {}", FAILED_LOGINS.start(), FAILED_LOGINS.end())]
    OutOfRange,
}

impl Policy {
    /// Every policy that a slot of `kind` has. Failed logins are counted where there are passwords to guess.
    pub fn all(kind: SlotKind) -> &'static [Self] {
        match kind {
            SlotKind::Password => &[
                Policy::PrivateKeyCloning,
                Policy::PrivateKeyWrapping,
                Policy::SecretKeyCloning,
                Policy::SecretKeyWrapping,
                Policy::FailedLogins,
                Policy::CryptoUserCloning,
            ],
            SlotKind::Quorum => &[
                Policy::PrivateKeyCloning,
                Policy::PrivateKeyWrapping,
                Policy::SecretKeyCloning,
                Policy::SecretKeyWrapping,
                Policy::CryptoUserCloning,
            ],
        }
    }

    /// lunacm's number of it, and its words for it and for the capability behind it.
    fn in_lunacm(self) -> (u32, &'static str, &'static str) {
        macro_rules! switch {
            ($number:literal, $what:literal) => {
                ($number, concat!("Allow ", $what), concat!("Enable ", $what))
            };
        }
        match self {
            Self::PrivateKeyCloning => switch!(0, "private key cloning"),
            Self::PrivateKeyWrapping => switch!(1, "private key wrapping"),
            Self::SecretKeyCloning => switch!(4, "secret key cloning"),
            Self::SecretKeyWrapping => switch!(5, "secret key wrapping"),
            Self::FailedLogins => (20, FAILED_LOGINS_NAME, FAILED_LOGINS_NAME),
            Self::CryptoUserCloning => switch!(1000, "crypto user key cloning"),
        }
    }

    /// lunacm's number of it.
    pub fn number(self) -> u32 {
        self.in_lunacm().0
    }

    /// The policy of that number.
    pub fn from_number(number: u32) -> Option<Self> {
        let mut all = Self::all(SlotKind::Password).iter().copied();
        all.find(|it| it.number() == number)
    }

    /// lunacm's words for it.
    pub fn name(self) -> &'static str {
        self.in_lunacm().1
    }

    /// lunacm's words for the capability behind it.
    pub fn capability_name(self) -> &'static str {
        self.in_lunacm().2
    }

    /// What every slot is capable of.
    pub fn capability(self) -> Capability {
        match self {
            Self::PrivateKeyCloning
            | Self::PrivateKeyWrapping
            | Self::SecretKeyCloning
            | Self::SecretKeyWrapping
            | Self::CryptoUserCloning => Capability::On,
            Self::FailedLogins => Capability::Most(*FAILED_LOGINS.end()),
        }
    }

    /// What `policies` say of it: 0 or 1 for a switch.
    pub fn value(self, policies: Policies) -> u32 {
        match self {
            Self::PrivateKeyCloning => policies.private_key_cloning.into(),
            Self::SecretKeyCloning => policies.secret_key_cloning.into(),
            Self::PrivateKeyWrapping => policies.private_key_wrapping.into(),
            Self::SecretKeyWrapping => policies.secret_key_wrapping.into(),
            Self::FailedLogins => policies.failed_logins,
            Self::CryptoUserCloning => policies.allow_crypto_user_cloning().into(),
        }
    }

    /// Whether turning it on destroys what is in the slot.
    pub fn is_destructive_on(self) -> bool {
        matches!(
            self,
            Self::PrivateKeyCloning
                | Self::PrivateKeyWrapping
                | Self::SecretKeyCloning
                | Self::SecretKeyWrapping
        )
    }

    /// `policies` with this one set, in a slot of `kind`; the error says why it is not.
    pub(super) fn set(
        self,
        mut policies: Policies,
        value: u32,
        kind: SlotKind,
    ) -> Result<Policies, PolicyFault> {
        if !Self::all(kind).contains(&self) {
            return Err(PolicyFault::Incapable);
        }
        let on = || match value {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(PolicyFault::NotASwitch),
        };
        match self {
            Self::PrivateKeyCloning if on()? && policies.private_key_wrapping => {
                return Err(PolicyFault::Dependency);
            }
            Self::PrivateKeyCloning => policies.private_key_cloning = on()?,
            Self::SecretKeyCloning => policies.secret_key_cloning = on()?,
            Self::CryptoUserCloning => policies.crypto_user_cloning = Some(on()?),
            Self::PrivateKeyWrapping if on()? && policies.private_key_cloning => {
                return Err(PolicyFault::Dependency);
            }
            Self::PrivateKeyWrapping => policies.private_key_wrapping = on()?,
            Self::SecretKeyWrapping => policies.secret_key_wrapping = on()?,
            Self::FailedLogins if FAILED_LOGINS.contains(&value) => policies.failed_logins = value,
            Self::FailedLogins => return Err(PolicyFault::OutOfRange),
        }
        Ok(policies)
    }

    /// Whether setting it destroys the slot's objects: they were promised never to leave, and could then.
    pub fn is_destructive(self, policies: Policies, value: u32) -> bool {
        self.is_destructive_on() && self.value(policies) == 0 && value == 1
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
        assert_eq!(policies.to_stored(), "0:0,4:1,20:3,1000:0");
        assert_eq!(Policies::from_stored("0:0,4:1,20:3,1000:0"), Some(policies));
        // As partitions have them that were made before policy 1000.
        let earlier = Policies::from_stored("0:0,4:1,20:3").unwrap();
        assert_eq!(earlier.to_stored(), "0:0,4:1,20:3");
        assert!(earlier.allow_crypto_user_cloning() && !policies.allow_crypto_user_cloning());
        let wrapping = Policies {
            private_key_wrapping: true,
            secret_key_wrapping: true,
            ..policies
        };
        assert_eq!(wrapping.to_stored(), "0:0,1:1,4:1,5:1,20:3,1000:0");
        assert_eq!(
            Policies::from_stored("0:0,1:1,4:1,5:1,20:3,1000:0"),
            Some(wrapping)
        );
        for bad in [
            "0:0,1:0,4:1,20:3,1000:0",
            "",
            "0:0",
            "0:2,4:1,20:3",
            "0:0,4:1,20:3,",
            "4:1,0:0,20:3",
            "0:0,4:1,20:3,1000:2",
            "0:0,4:1,1000:1,20:3",
        ] {
            assert_eq!(Policies::from_stored(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn keys_are_held_back_by_class() {
        let policies = Policies {
            private_key_cloning: false,
            ..Policies::default()
        };
        assert!(!policies.allow_cloning(slotfs_object::pkcs11::CKO_PRIVATE_KEY));
        assert!(policies.allow_cloning(slotfs_object::pkcs11::CKO_SECRET_KEY));
    }

    #[test]
    fn keys_are_cloned_or_wrapped() {
        let set = |policy: Policy, value, kind| policy.set(Policies::default(), value, kind);
        let (password, quorum) = (SlotKind::Password, SlotKind::Quorum);
        assert_eq!(
            set(Policy::PrivateKeyWrapping, 1, password),
            Err(PolicyFault::Dependency)
        );
        let wrapped = set(Policy::PrivateKeyCloning, 0, password)
            .and_then(|it| Policy::PrivateKeyWrapping.set(it, 1, password))
            .unwrap();
        assert_eq!(Policy::PrivateKeyWrapping.value(wrapped), 1);
        assert_eq!(
            Policy::PrivateKeyCloning.set(wrapped, 1, password),
            Err(PolicyFault::Dependency)
        );
        // Secret keys may leave both ways, as in lunacm.
        assert!(set(Policy::SecretKeyWrapping, 1, quorum).is_ok());
        for policy in [Policy::PrivateKeyWrapping, Policy::SecretKeyWrapping] {
            assert_eq!(set(policy, 0, password), Ok(Policies::default()));
            assert!(policy.is_destructive(Policies::default(), 1));
            assert!(!policy.is_destructive(Policies::default(), 0));
        }
        assert!(set(Policy::FailedLogins, 3, password).is_ok());
        assert_eq!(
            set(Policy::FailedLogins, 3, quorum),
            Err(PolicyFault::Incapable)
        );
        for policy in Policy::all(password) {
            assert!(policy.value(Policies::default()) <= policy.capability().value());
        }
    }
}
