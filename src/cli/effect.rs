//! Which commands leave something behind.

use super::{Noun, domain, object, partition, role, store};

impl Noun {
    /// Whether the command's output tells what it did, and not only what there is: output that cannot be written to
    /// standard output is then told on standard error. A new domain string is not: it is a secret, and of no use yet.
    pub(super) fn leaves_something(&self) -> bool {
        !matches!(
            self,
            Self::Slot { .. }
                | Self::Partition {
                    verb: partition::Verb::Showinfo { .. }
                        | partition::Verb::Domainlist { .. }
                        | partition::Verb::Showpolicies { .. }
                        | partition::Verb::Smklist { .. }
                        | partition::Verb::Contents { .. }
                }
                | Self::Role {
                    verb: role::Verb::List { .. }
                }
                | Self::Object {
                    verb: object::Verb::Show { .. } | object::Verb::Trash(_)
                }
                | Self::Store {
                    verb: store::Verb::Check { .. }
                }
                | Self::Domain {
                    verb: domain::Verb::Newstring
                }
        )
    }
}
