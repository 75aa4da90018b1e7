//! What a slot on a mount says of itself.

use std::io;

use super::super::facts::Facts;

/// The state of a slot in which co is logged in, in the words of the mount.
pub(in super::super) const LOGGED_IN: &str = "logged in as co";

/// What its `status` says.
pub(in super::super) struct Status {
    pub(in super::super) facts: Facts,
    /// As the mount words it.
    pub(in super::super) state: String,
}

impl Status {
    /// # Errors
    /// What is missing.
    pub(super) fn of_text(text: &str) -> io::Result<Self> {
        let pairs: Vec<(&str, &str)> = text.lines().filter_map(|it| it.split_once(": ")).collect();
        let all = |key: &'static str| {
            let of_key = pairs.iter().filter(move |it| it.0 == key);
            of_key.map(|it| it.1)
        };
        let one = |key: &'static str| {
            let missing = || io::Error::other(format!("its .slotfs/status has no '{key}'"));
            all(key).next().ok_or_else(missing)
        };
        let no_number = |_| io::Error::other("its .slotfs/status has a serial that is no number");
        // "red (key file, 0123456789abcdef)"
        let fingerprint = |domain: &str| {
            let last = domain.rsplit(' ').next().unwrap_or_default();
            last.trim_end_matches(')').to_owned()
        };
        Ok(Self {
            facts: Facts {
                serial: one("serial")?.parse().map_err(no_number)?,
                label: one("label")?.to_owned(),
                version: one("version")?.to_owned(),
                retention_secs: all("retention").next().and_then(|it| it.parse().ok()),
                domains: all("domain").map(fingerprint).collect(),
                smks: all("storage master key").map(str::to_owned).collect(),
            },
            state: one("state")?.to_owned(),
        })
    }
}
