//! `partition set`: the settings of a partition that are not policies, domains or roles.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use serde_json::json;

use crate::cli::{Answer, Console, SlotArg, confirm};
use crate::error::{Error, Result};
use crate::hsm::Settings;
use crate::object::partition::Role;

/// `partition set`
#[derive(Args)]
pub(crate) struct Set {
    /// How long removed objects stay in the trash, such as 7d, 12h, 15m, 90s; 0 destroys them at once
    #[arg(long, value_name = "TIME")]
    retention: Option<Retention>,
    /// Owner of the slot's files on a mount; none is the user who mounts
    #[arg(long, value_name = "UID")]
    uid: Option<Id>,
    /// Group of the slot's files on a mount; none is the group of the user who mounts
    #[arg(long, value_name = "GID")]
    gid: Option<Id>,
    /// Do not ask before objects in the trash are destroyed
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    slot: SlotArg,
}

/// How long removed objects are kept: a number and s, m, h or d, or 0. At most 100 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retention(pub u64);

/// The longest: more than any key lives, and far below the largest time that can be computed with.
const LONGEST_SECS: u64 = 100 * 365 * 24 * 3600;
const UNITS: [(char, u64); 4] = [('d', 24 * 3600), ('h', 3600), ('m', 60), ('s', 1)];

impl FromStr for Retention {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let secs = || {
            if text == "0" {
                return Some(0);
            }
            let unit = text.chars().last()?;
            let (_, secs) = UNITS.into_iter().find(|(letter, _)| *letter == unit)?;
            let count = &text[..text.len() - 1];
            // No sign, no spaces.
            if !count.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            count.parse::<u64>().ok()?.checked_mul(secs)
        };
        match secs() {
            Some(secs) if secs <= LONGEST_SECS => Ok(Self(secs)),
            _ => Err("not a time such as 7d, 12h, 15m, 90s or 0, at most 36500d".to_owned()),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS
            .into_iter()
            .find(|(_, secs)| self.0 > 0 && self.0.is_multiple_of(*secs));
        match unit {
            Some((letter, secs)) => write!(f, "{}{letter}", self.0 / secs),
            None => f.write_str("0"),
        }
    }
}

#[derive(Clone, Copy)]
struct Id(Option<u32>);

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        // The largest number is -1 to the kernel, which means none.
        match text.parse() {
            Ok(id) if id < u32::MAX => Ok(Self(Some(id))),
            _ => Err("neither the number of a user or group nor none".to_owned()),
        }
    }
}

impl Set {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        if self.retention.is_none() && self.uid.is_none() && self.gid.is_none() {
            return Err(Error::Usage(
                "give what to set: -retention, -uid or -gid".to_owned(),
            ));
        }
        let (hsm, slot) = console.partition(self.slot, &[Role::Po])?;
        let trashed = hsm.partition(slot).trash_count()?;
        if let Some(Retention(secs)) = self.retention
            && secs < hsm.partition(slot).row()?.retention_secs
            && trashed > 0
            && !self.force
        {
            confirm(&format!(
                "slot {slot}: of {trashed} objects in the trash, those that have been there for longer than {} would be destroyed",
                Retention(secs)
            ))?;
        }
        let now = hsm.partition(slot).set(Settings {
            retention_secs: self.retention.map(|retention| retention.0),
            uid: self.uid.map(|id| id.0),
            gid: self.gid.map(|id| id.0),
        })?;
        // No daemon may run that would do it.
        hsm.empty_expired_trash()?;
        let id = |id: Option<u32>, of: &str| id.map_or_else(|| of.to_owned(), |id| id.to_string());
        Ok(Answer::new(json!({
            "slot": slot.0, "retention_secs": now.retention_secs, "uid": now.uid, "gid": now.gid,
        }))
        .line(format_args!(
            "Slot {slot} keeps removed objects for {}; owner {}, group {}.",
            Retention(now.retention_secs),
            id(now.uid, "the mounting user"),
            id(now.gid, "the mounting user's")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for (text, secs) in [
            ("0", 0),
            ("1s", 1),
            ("90s", 90),
            ("2m", 120),
            ("12h", 43_200),
            ("7d", 604_800),
        ] {
            let retention: Retention = text.parse().unwrap();
            assert_eq!((retention.0, retention.to_string()), (secs, text.into()));
        }
        for bad in [
            "",
            "7",
            "d",
            "-1d",
            "+1d",
            " 1d",
            "1w",
            "1.5d",
            "36501d",
            "99999999999999999999d",
            "1é",
        ] {
            assert!(bad.parse::<Retention>().is_err(), "{bad:?}");
        }
    }
}
