//! The lists of a slot on a mount: which description of each object is there, and what is in the trash.

use std::collections::HashMap;

use super::super::survey::{Gone, Survey};
use crate::hsm::Description;
use crate::object::{Handle, Ouid};

/// What a list says of an object that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) handle: Option<Handle>,
    pub(super) revision: Option<u32>,
    pub(super) description: Option<Description>,
}

/// The rows of `.slotfs/revisions`: identity, handle, revision, description.
pub(super) fn revisions(text: &str) -> HashMap<Ouid, Described> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let ouid = words.next()?.parse().ok()?;
        let mut next = || words.next().unwrap_or_default();
        let described = Described {
            handle: next().parse().ok(),
            revision: next().parse().ok(),
            description: next().parse().ok(),
        };
        Some((ouid, described))
    };
    text.lines().filter_map(row).collect()
}

/// Adds the rows of `.slotfs/removed` to what a member removed: identity, revision, description, time.
///
/// # Errors
/// What is wrong with the list.
pub(super) fn removed(text: &str, survey: &mut Survey) -> Result<(), &'static str> {
    let mut nameless = false;
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        let mut next = || words.next().unwrap_or_default();
        let (ouid, revision, description, removed) = (next(), next(), next(), next());
        // What cannot be read of a damaged row.
        let known = |word: &str| (word != "-").then(|| word.to_owned());
        survey.trash_damaged += u64::from(known(revision).is_none());
        let Some(ouid) = known(ouid) else {
            nameless = true;
            continue;
        };
        let not_read = "its list of the trash cannot be read";
        let ouid: Ouid = ouid.parse().map_err(|()| not_read)?;
        let at_secs = match known(removed) {
            Some(at) => {
                let at: jiff::Timestamp = at.parse().map_err(|_| not_read)?;
                Some(u64::try_from(at.as_second()).unwrap_or_default())
            }
            None => None,
        };
        let gone = Gone {
            at_secs,
            revision: revision.parse().ok(),
            description: description.parse().ok(),
            row: None,
        };
        survey.add_removed(ouid, gone);
    }
    match nameless {
        true => Err("an object in its trash is damaged, and nothing tells which it was"),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUID: &str = "000102030405060708090a0b0c0d0e0f";
    const MARK: &str = "ffeeddccbbaa99887766554433221100";

    #[test]
    fn a_damaged_row_with_a_name_is_a_removal() {
        let text = format!(
            "ouid revision description removed until name\n{OUID} - - - - -\n{} 3 {MARK} 1970-01-01T00:00:07Z 1970-01-02T00:00:00Z 5\n",
            OUID.replace("0f", "10")
        );
        let mut survey = Survey::default();
        removed(&text, &mut survey).unwrap();
        assert_eq!((survey.removed.len(), survey.trash_damaged), (2, 1));
        let damaged = survey.removed[&OUID.parse().unwrap()];
        assert_eq!((damaged.at_secs, damaged.revision), (None, None));
        let other = survey.removed[&OUID.replace("0f", "10").parse().unwrap()];
        assert_eq!((other.at_secs, other.revision), (Some(7), Some(3)));
        assert_eq!(other.description, MARK.parse().ok());
        // One without a name may be any, and the others count all the same.
        let mut survey = Survey::default();
        assert!(
            removed(
                &format!("head\n- - - - - -\n{OUID} 0 {MARK} 1970-01-01T00:00:07Z x 5\n"),
                &mut survey
            )
            .is_err()
        );
        assert_eq!(survey.removed.len(), 1);
        assert!(removed("head\nnonsense\n", &mut survey).is_err());
    }

    #[test]
    fn a_list_of_revisions_has_what_it_has() {
        let text = format!("ouid handle revision description\n{OUID} 7 2 {MARK}\n- 8 - -\n");
        let found = revisions(&text);
        assert_eq!(found.len(), 1);
        let it = found[&OUID.parse().unwrap()];
        assert_eq!(
            (it.handle.map(Handle::get), it.revision),
            (Some(7), Some(2))
        );
        assert_eq!(it.description, MARK.parse().ok());
    }
}
