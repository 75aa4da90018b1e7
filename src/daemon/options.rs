//! The mount options that follow `-o`.

use std::time::Duration;

use crate::error::{Error, Result};

/// The parsed mount options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// Other users may use the mount, as far as the file modes allow.
    pub(crate) allow_other: bool,
    /// The mount is read-only.
    pub(crate) read_only: bool,
    /// The owner of files that no slot owns.
    pub(crate) uid: Option<u32>,
    /// The group of files that no slot owns.
    pub(crate) gid: Option<u32>,
    /// Permission bits removed from 0777 (folders) and 0666 (files).
    pub(crate) umask: u16,
    /// How long the daemon keeps key shares while others are missing.
    pub(crate) share_timeout: Option<Duration>,
    /// The daemon does not serve the token server's socket.
    pub(crate) no_socket: bool,
}

impl Default for MountOptions {
    /// Folders have mode 0700, files 0600.
    fn default() -> Self {
        Self {
            allow_other: false,
            read_only: false,
            uid: None,
            gid: None,
            umask: 0o077,
            share_timeout: None,
            no_socket: false,
        }
    }
}

const NAMES: [&str; 8] = [
    "allow_other",
    "ro",
    "rw",
    "uid",
    "gid",
    "umask",
    "share_timeout",
    "no_socket",
];

impl MountOptions {
    /// Parses comma-separated lists. A later option overrides an earlier one.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown option or a bad value.
    pub(crate) fn parse(lists: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for (number, option) in lists.iter().flat_map(|list| list.split(',')).enumerate() {
            options.set(option).ok_or_else(|| {
                // Do not print the word itself: it may be a password in the wrong place.
                let name = option.split('=').next().unwrap_or_default();
                let which = match NAMES.contains(&name) {
                    true => format!("-o {name} does not accept that value"),
                    false => format!("word {} after -o is not a mount option", number + 1),
                };
                Error::Usage(format!(
                    "{which}; the options are allow_other, ro, rw, uid=N, gid=N, umask=OCTAL, share_timeout=SECONDS, no_socket"
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
                "no_socket" => self.no_socket = true,
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
        let options =
            parse("allow_other,ro,uid=1,gid=2,umask=027,share_timeout=9,no_socket").unwrap();
        assert_eq!(
            options,
            MountOptions {
                allow_other: true,
                read_only: true,
                uid: Some(1),
                gid: Some(2),
                umask: 0o027,
                share_timeout: Some(Duration::from_secs(9)),
                no_socket: true,
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
