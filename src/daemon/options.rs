//! `-o`

use std::time::Duration;

use crate::error::{Error, Result};

/// What `-o` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// Users other than the mounting one may use it, as far as modes allow.
    pub(crate) allow_other: bool,
    /// Nothing may be written.
    pub(crate) read_only: bool,
    /// Owner of all that no slot owns.
    pub(crate) uid: Option<u32>,
    /// Its group.
    pub(crate) gid: Option<u32>,
    /// Bits taken from 0777 and 0666.
    pub(crate) umask: u16,
    /// How long some key shares wait for the others.
    pub(crate) share_timeout: Option<Duration>,
}

impl Default for MountOptions {
    /// 0700 and 0600.
    fn default() -> Self {
        Self {
            allow_other: false,
            read_only: false,
            uid: None,
            gid: None,
            umask: 0o077,
            share_timeout: None,
        }
    }
}

/// What the options are called.
const NAMES: [&str; 7] = [
    "allow_other",
    "ro",
    "rw",
    "uid",
    "gid",
    "umask",
    "share_timeout",
];

impl MountOptions {
    /// Parses lists with commas; a later option wins over an earlier one.
    ///
    /// # Errors
    /// [`Error::Usage`], naming the option that is not one.
    pub(crate) fn parse(lists: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for (number, option) in lists.iter().flat_map(|list| list.split(',')).enumerate() {
            options.set(option).ok_or_else(|| {
                // Never the word itself, which may be a password that was put in the wrong place.
                let name = option.split('=').next().unwrap_or_default();
                let which = match NAMES.contains(&name) {
                    true => format!("-o {name} does not take that value"),
                    false => format!("word {} of -o is not an option", number + 1),
                };
                Error::Usage(format!(
                    "{which}; there are allow_other, ro, rw, uid=N, gid=N, umask=OCTAL, share_timeout=SECONDS"
                ))
            })?;
        }
        Ok(options)
    }

    fn set(&mut self, option: &str) -> Option<()> {
        match option.split_once('=') {
            None => match option {
                "allow_other" => self.allow_other = true,
                "ro" => self.read_only = true,
                "rw" => self.read_only = false,
                "" => {}
                _ => return None,
            },
            Some(("share_timeout", value)) => {
                self.share_timeout = Some(Duration::from_secs(value.parse().ok()?));
            }
            Some(("uid", value)) => self.uid = Some(value.parse().ok()?),
            Some(("gid", value)) => self.gid = Some(value.parse().ok()?),
            Some(("umask", value)) => {
                self.umask = u16::from_str_radix(value, 8)
                    .ok()
                    .filter(|umask| *umask <= 0o777)?;
            }
            Some(_) => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<MountOptions> {
        MountOptions::parse(&[list.to_owned()])
    }

    #[test]
    fn options_are_known_or_refused() {
        let options = parse("allow_other,ro,uid=1,gid=2,umask=027,share_timeout=9").unwrap();
        assert_eq!(
            options,
            MountOptions {
                allow_other: true,
                read_only: true,
                uid: Some(1),
                gid: Some(2),
                umask: 0o027,
                share_timeout: Some(Duration::from_secs(9)),
            }
        );
        assert_eq!(parse("ro,rw").unwrap(), MountOptions::default());
        for bad in [
            "suid",
            "uid=x",
            "umask=8",
            "umask=1777",
            "share_timeout=x",
            "ro=1",
            "fsname=x",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        // A word in the wrong place may be a password.
        for bad in ["password=hunter2", "hunter2", "uid=hunter2", "ro,hunter2"] {
            let said = parse(bad).unwrap_err().to_string();
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
