//! Which commands change something.

use super::{Noun, domain, hagroup, object, role, store};

impl Noun {
    /// Whether the command's output says what the command did. If standard output does not take that, standard error has
    /// it, so that it is not lost. A new domain string is not repeated there: it is a secret that nothing uses yet.
    pub(super) fn changes_something(&self) -> bool {
        !matches!(
            self,
            Self::Slot(_)
                | Self::Status(_)
                | Self::Config(_)
                | Self::Role(role::Verb::List(_))
                | Self::Object(object::Verb::Show { .. } | object::Verb::Trash(_))
                | Self::Store(store::Verb::Check { .. })
                | Self::Domain(domain::Verb::Newstring)
                | Self::Hagroup(hagroup::Verb::Listgroups(_))
        ) && !matches!(self, Self::Partition(verb) if verb.only_shows())
    }
}
