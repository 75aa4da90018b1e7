//! What must fit between two members, and whether it does.

use std::fmt::Display;

/// What a member says of itself while co is logged in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) serial: u64,
    pub(super) label: String,
    /// V0 or V1.
    pub(super) version: String,
    /// How long its trash keeps what was removed. `None` where an older daemon does not tell.
    pub(super) retention_secs: Option<u64>,
    /// Fingerprints of its domains.
    pub(super) domains: Vec<String>,
    /// Fingerprints of its storage master keys, the active one first.
    pub(super) smks: Vec<String>,
}

/// Why two slots cannot be members of one group, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) what: String,
    pub(super) hint: &'static str,
}

/// Whether two members can take each other's objects.
///
/// # Errors
/// Why not.
pub(super) fn fit(
    (one, facts): (&dyn Display, &Facts),
    (other, others): (&dyn Display, &Facts),
) -> Result<(), Misfit> {
    if facts.version != others.version {
        let (version, other_version) = (&facts.version, &others.version);
        return Err(Misfit {
            what: format!("{one} is {version} and {other} is {other_version}"),
            hint: "members are all V0 or all V1; 'slotfs partition upgrade' makes a V0 partition V1, for good",
        });
    }
    let shares = |one: &[String], other: &[String]| one.iter().any(|it| other.contains(it));
    if facts.smks.is_empty() {
        return match shares(&facts.domains, &others.domains) {
            true => Ok(()),
            false => Err(Misfit {
                what: format!("{one} and {other} have no cloning domain in common"),
                hint: "'slotfs partition domainadd' by po gives a slot another domain; 'slotfs partition domainlist' shows those that it has",
            }),
        };
    }
    let active = |facts: &Facts| facts.smks.first().cloned().unwrap_or_default();
    match others.smks.contains(&active(facts)) && facts.smks.contains(&active(others)) {
        true => Ok(()),
        false => Err(Misfit {
            what: format!(
                "{one} and {other} do not both hold the storage master keys that they seal under"
            ),
            hint: "'slotfs partition smkclone' in both directions shares the keys; or write one slot's .slotfs/smk to the other's",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(version: &str, domains: &[&str], smks: &[&str]) -> Facts {
        let texts = |all: &[&str]| all.iter().map(|it| (*it).to_owned()).collect();
        Facts {
            version: version.into(),
            domains: texts(domains),
            smks: texts(smks),
            ..Facts::default()
        }
    }

    fn fits(one: &Facts, other: &Facts) -> bool {
        fit((&"one", one), (&"other", other)).is_ok()
    }

    #[test]
    fn members_share_a_domain_or_their_storage_master_keys() {
        let red = facts("V0", &["red"], &[]);
        assert!(fits(&red, &facts("V0", &["blue", "red"], &[])));
        assert!(!fits(&red, &facts("V0", &["blue"], &[])));
        let a = facts("V1", &["red"], &["a"]);
        assert!(!fits(&red, &a));
        assert!(fits(&a, &facts("V1", &["blue"], &["a", "b"])));
        assert!(!fits(&a, &facts("V1", &["red"], &["b", "a"])));
        assert!(fits(
            &facts("V1", &[], &["a", "b"]),
            &facts("V1", &[], &["b", "a"])
        ));
    }
}
