//! The mount options that follow `-o`.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

use nix::mount::MsFlags;

use crate::error::{Error, Result};
use crate::object::SlotId;
use crate::object::partition::Role;

mod flags;
mod list;

pub(crate) use flags::for_fusermount as flags_for_fusermount;
pub(crate) use list::escape;

use flags::Generic;

/// A file with a password or a key share, from `passfile=` or `sharefile=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretFile {
    /// Whose it is; `None`: of each role that logs in and has no file of its own.
    pub(crate) of: Option<(SlotId, Role)>,
    pub(crate) path: PathBuf,
}

/// The parsed mount options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountOptions {
    /// Who else may use the mount, as far as the file modes allow.
    pub(crate) others: Others,
    /// The generic flags of mount(2).
    pub(crate) flags: MsFlags,
    /// Options that the kernel's FUSE takes as they are: `max_read=N` and those of SELinux.
    pub(crate) kernel: Vec<String>,
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
    /// fusermount3 waits for the end of the daemon, whatever ends it, and unmounts.
    pub(crate) auto_unmount: bool,
    /// What the mount table shows as the source in place of the store's path.
    pub(crate) source: Option<String>,
    /// The roles that log in before the mount is ready.
    pub(crate) logins: Vec<(SlotId, Role)>,
    pub(crate) password_files: Vec<SecretFile>,
    pub(crate) share_files: Vec<SecretFile>,
    /// Where the daemon logs.
    pub(crate) log: Option<String>,
    /// Options of the location of a store in a cluster.
    pub(crate) of_cluster: Vec<(&'static str, u32)>,
}

/// Users other than the one who mounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    /// None of them.
    Nobody,
    /// Root.
    Root,
    /// All.
    Everybody,
}

impl Default for MountOptions {
    /// Folders have mode 0700, files 0600; nothing on the mount can be a program or a device.
    fn default() -> Self {
        Self {
            others: Others::Nobody,
            flags: MsFlags::MS_NODEV
                | MsFlags::MS_NOSUID
                | MsFlags::MS_NOEXEC
                | MsFlags::MS_NOATIME,
            kernel: Vec::new(),
            uid: None,
            gid: None,
            umask: 0o077,
            share_timeout: None,
            no_socket: false,
            auto_unmount: false,
            source: None,
            logins: Vec::new(),
            password_files: Vec::new(),
            share_files: Vec::new(),
            log: None,
            of_cluster: Vec::new(),
        }
    }
}

/// The options of slotfs and of FUSE, and what they take.
const OWN: &[(&str, Option<&str>)] = &[
    ("allow_other", None),
    ("allow_root", None),
    ("auto_unmount", None),
    ("context", Some("a security context")),
    ("default_permissions", None),
    ("defcontext", Some("a security context")),
    ("engine-timeout", Some("a number of seconds from 1 to 300")),
    ("fresh", Some("a number of milliseconds up to 1000")),
    ("fscontext", Some("a security context")),
    ("fsname", Some("a name")),
    ("gid", Some("the number of a group")),
    ("log", Some("auto, stderr, journal, syslog or a path")),
    (
        "login",
        Some("SLOT or SLOT:ROLE, where the role is co or cu"),
    ),
    ("max_read", Some("a number of bytes")),
    ("no_socket", None),
    ("passfile", Some("PATH, SLOT=PATH or SLOT:ROLE=PATH")),
    ("rootcontext", Some("a security context")),
    ("share_timeout", Some("a number of seconds")),
    ("sharefile", Some("SLOT=PATH or SLOT:ROLE=PATH")),
    (
        "subtype",
        Some("only the value slotfs, by which 'slotfs umount' recognises its mounts"),
    ),
    ("uid", Some("the number of a user")),
    ("umask", Some("an octal number up to 777")),
];

/// Why an option is refused.
enum Refusal {
    /// It is not known.
    Unknown,
    /// Its value is none.
    Value,
    /// It cannot be had.
    Reason(&'static str),
}

impl MountOptions {
    /// Parses lists with commas. A later option overrides an earlier one; `login`, `passfile` and `sharefile` add to it.
    ///
    /// # Errors
    /// [`Error::Usage`] for an unknown option or a bad value.
    pub(crate) fn parse(lists: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for (place, option) in words(lists)?.into_iter().enumerate() {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option.as_str(), None),
            };
            let set = options.set(name, value);
            set.map_err(|why| Error::Usage(message(name, place, why)))?;
        }
        Ok(options)
    }

    /// The lists as one, without the options that are not known (mount(8), `-s`).
    ///
    /// # Errors
    /// [`Error::Usage`] for a list that does not end.
    pub(crate) fn known(lists: &[String]) -> Result<String> {
        let known = words(lists)?.into_iter().filter(|option| {
            let name = option.split('=').next().unwrap_or_default();
            is_own(name) || flags::of(name).is_some()
        });
        let words = known.map(|option| escape(OsStr::new(&option)).to_string_lossy().into_owned());
        Ok(words.collect::<Vec<_>>().join(","))
    }

    /// Whether the mount is read-only.
    pub(crate) fn is_read_only(&self) -> bool {
        self.flags.contains(MsFlags::MS_RDONLY)
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), Refusal> {
        if let Some(option) = flags::of(name) {
            return match option {
                Generic::Refused(why) => Err(Refusal::Reason(why)),
                _ if value.is_some() && !flags::may_have_value(name) => Err(Refusal::Value),
                _ => {
                    flags::apply(option, &mut self.flags);
                    Ok(())
                }
            };
        }
        match value {
            None => self.switch(name),
            Some(value) => self.set_value(name, value),
        }
    }

    fn switch(&mut self, name: &str) -> Result<(), Refusal> {
        match name {
            "allow_other" => self.others = Others::Everybody,
            "allow_root" => self.others = Others::Root,
            "auto_unmount" => self.auto_unmount = true,
            "no_socket" => self.no_socket = true,
            // The kernel always checks modes.
            "default_permissions" => {}
            _ if is_own(name) => return Err(Refusal::Value),
            _ => return Err(Refusal::Unknown),
        }
        Ok(())
    }

    fn set_value(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        let number = || value.parse().map_err(|_| Refusal::Value);
        let text = || match value {
            "" => Err(Refusal::Value),
            value => Ok(value.to_owned()),
        };
        match name {
            "uid" => self.uid = Some(number()?),
            "gid" => self.gid = Some(number()?),
            "share_timeout" => {
                self.share_timeout = Some(Duration::from_secs(number()?.into()));
            }
            "umask" => {
                let umask = u16::from_str_radix(value, 8).ok();
                let umask = umask.filter(|umask| *umask <= 0o777);
                self.umask = umask.ok_or(Refusal::Value)?;
            }
            "engine-timeout" | "fresh" => {
                let (name, allowed) = match name {
                    "fresh" => ("fresh", 0..=1000),
                    _ => ("engine-timeout", 1..=300),
                };
                let value = number()?;
                if !allowed.contains(&value) {
                    return Err(Refusal::Value);
                }
                self.of_cluster.push((name, value));
            }
            "fsname" => self.source = Some(text()?),
            "subtype" if value == "slotfs" => {}
            "log" => self.log = Some(text()?),
            "login" => {
                let login = crate::cli::parse_mount_login(value).map_err(|_| Refusal::Value)?;
                self.logins.push(login);
            }
            "passfile" => self.password_files.push(secret_file(value)?),
            "sharefile" => {
                let file = secret_file(value)?;
                // A share belongs to one role alone.
                file.of.ok_or(Refusal::Value)?;
                self.share_files.push(file);
            }
            "max_read" => self.kernel.push(format!("max_read={}", number()?)),
            // A context may hold commas, and the kernel reads it between quotes then.
            "context" | "fscontext" | "defcontext" | "rootcontext" => {
                let value = text()?;
                if value.contains('"') {
                    return Err(Refusal::Value);
                }
                self.kernel.push(format!("{name}=\"{value}\""));
            }
            _ if is_own(name) => return Err(Refusal::Value),
            _ => return Err(Refusal::Unknown),
        }
        Ok(())
    }
}

/// The options of all lists.
fn words(lists: &[String]) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for list in lists {
        let more = list::split(list).ok_or_else(|| {
            Error::Usage(
                "the list after -o has an unclosed quote or ends with a backslash; write a comma in a value as \\,"
                    .into(),
            )
        })?;
        words.extend(more);
    }
    Ok(words)
}

fn is_own(name: &str) -> bool {
    OWN.iter().any(|(own, _)| *own == name)
}

/// `PATH`, `SLOT=PATH` or `SLOT:ROLE=PATH`. A path may hold `=` itself.
fn secret_file(value: &str) -> Result<SecretFile, Refusal> {
    let (of, path) = match value.split_once('=') {
        Some((of, path)) if !of.contains('/') => {
            let of = crate::cli::parse_mount_login(of).map_err(|_| Refusal::Value)?;
            (Some(of), path)
        }
        _ => (None, value),
    };
    match path {
        "" => Err(Refusal::Value),
        path => Ok(SecretFile {
            of,
            path: path.into(),
        }),
    }
}

/// Says which option is refused and why. A value may be a password in the wrong place, and so may a word without one: then it
/// is shown only if it looks like the name of an option.
fn message(name: &str, place: usize, why: Refusal) -> String {
    const LONGEST_NAME: usize = 24;
    let is_name = name.len() <= LONGEST_NAME
        && !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || "_-".contains(c));
    let shown = match is_name {
        true => format!("-o {name}"),
        false => format!("word {} after -o", place + 1),
    };
    match why {
        Refusal::Reason(why) => format!("{shown} is not possible: {why}"),
        Refusal::Value => match OWN.iter().find(|(own, _)| *own == name) {
            Some((_, Some(takes))) => format!("-o {name} takes {takes}"),
            _ => format!("{shown} takes no value"),
        },
        Refusal::Unknown => {
            let own = OWN.iter().map(|(name, _)| *name);
            let near = own
                .chain(flags::names())
                .map(|it| (strsim::jaro_winkler(name, it), it))
                .filter(|(likeness, _)| *likeness > 0.85)
                .max_by(|one, other| one.0.total_cmp(&other.0));
            match near {
                Some((_, near)) => {
                    format!("{shown} is not a mount option of slotfs; did you mean '{near}'?")
                }
                None => format!(
                    "{shown} is not a mount option of slotfs; 'slotfs mount --help' lists them"
                ),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> Result<MountOptions> {
        MountOptions::parse(&[list.to_owned()])
    }

    fn refused(list: &str) -> String {
        parse(list).unwrap_err().to_string()
    }

    #[test]
    fn options_are_known_or_refused() {
        let options = parse(
            "allow_other,ro,uid=5,gid=6,umask=027,share_timeout=9,no_socket,fsname=a\\,b,max_read=65536",
        )
        .unwrap();
        assert_eq!(
            options,
            MountOptions {
                others: Others::Everybody,
                flags: MountOptions::default().flags | MsFlags::MS_RDONLY,
                kernel: vec!["max_read=65536".into()],
                uid: Some(5),
                gid: Some(6),
                umask: 0o027,
                share_timeout: Some(Duration::from_secs(9)),
                no_socket: true,
                source: Some("a,b".into()),
                ..MountOptions::default()
            }
        );
        assert_eq!(parse("ro,rw").unwrap(), MountOptions::default());
        // What fstab(5) and systemd.mount(5) say there.
        let fstab =
            "defaults,user=alice,nofail,_netdev,noauto,x-systemd.automount,x-a=b,comment=x,X-b";
        assert_eq!(parse(fstab).unwrap(), MountOptions::default());
        for (list, says) in [
            ("uid=x", "-o uid takes the number of a user"),
            ("uid", "-o uid takes the number of a user"),
            ("umask=8", "-o umask takes an octal number up to 777"),
            ("umask=1777", "-o umask takes an octal number up to 777"),
            ("ro=1", "-o ro takes no value"),
            ("allow_other=1", "-o allow_other takes no value"),
            (
                "remount,ro",
                "-o remount is not possible: slotfs cannot change a mount",
            ),
            ("nonempty", "-o nonempty is not possible"),
            (
                "allow_othr",
                "-o allow_othr is not a mount option of slotfs; did you mean 'allow_other'?",
            ),
            (
                "zzz",
                "-o zzz is not a mount option of slotfs; 'slotfs mount --help'",
            ),
            ("subtype=x", "-o subtype takes only the value slotfs"),
            (
                "fsname=a\\",
                "has an unclosed quote or ends with a backslash",
            ),
            (
                "fsname=\"a",
                "has an unclosed quote or ends with a backslash",
            ),
            ("login=0:po", "-o login takes SLOT or SLOT:ROLE"),
            ("sharefile=/x", "-o sharefile takes SLOT=PATH"),
        ] {
            assert!(refused(list).contains(says), "{list}: {}", refused(list));
        }
        // A word in the wrong place may be a password.
        for bad in ["password=hunter2", "hunter2", "uid=hunter2", "ro,hunter2"] {
            assert!(!refused(bad).contains("hunter2"), "{}", refused(bad));
        }
        let lists = [r"ro,zzz,zzz=1".to_owned(), r"fsname=a\,b,nofail".to_owned()];
        assert_eq!(
            MountOptions::known(&lists).unwrap(),
            r"ro,fsname=a\,b,nofail"
        );
    }

    #[test]
    fn flags_are_those_of_mount() {
        let spelled = |list| flags_for_fusermount(parse(list).unwrap().flags);
        let default = "rw,nosuid,nodev,noexec,noatime,async";
        assert_eq!(spelled("").as_deref(), Ok(default));
        let other = "ro,suid,dev,exec,atime,sync,dirsync";
        assert_eq!(spelled(other).as_deref(), Ok(other));
        assert_eq!(spelled("nodiratime"), Err("nodiratime"));
        assert_eq!(spelled("relatime"), Err("relatime"));
        assert!(
            !parse("relatime")
                .unwrap()
                .flags
                .contains(MsFlags::MS_NOATIME)
        );
    }

    #[test]
    fn files_of_secrets() {
        let options =
            parse("login=0,login=1:cu,passfile=/a=b,passfile=1:cu=/c,sharefile=0=d").unwrap();
        assert_eq!(
            options.logins,
            [(SlotId(0), Role::Co), (SlotId(1), Role::Cu)]
        );
        let file = |of, path: &str| SecretFile {
            of,
            path: path.into(),
        };
        let cu = Some((SlotId(1), Role::Cu));
        assert_eq!(options.password_files, [file(None, "/a=b"), file(cu, "/c")]);
        assert_eq!(
            options.share_files,
            [file(Some((SlotId(0), Role::Co)), "d")]
        );
    }
}
