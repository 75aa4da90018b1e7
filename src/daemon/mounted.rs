//! The mounts of slotfs on this machine, and what their daemons say of themselves.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use rustix::fs::{Mode, OFlags, open, openat};

use super::mountpoint::{ANSWER_TIMEOUT, is_dead};
use super::table;

/// A mount in this namespace.
pub(crate) struct Mounted {
    pub(crate) point: PathBuf,
    pub(crate) daemon: Daemon,
}

/// What is known of the daemon of a mount.
pub(crate) enum Daemon {
    /// What it says of itself.
    Answers(Box<Said>),
    /// It was killed, and its mount is left.
    Dead,
    /// It did not answer in time.
    Silent,
    /// This user may not ask it.
    Forbidden,
    /// It is of a version that does not say which store it serves, or something else is mounted there by now.
    Unknown,
}

/// What a daemon says in `.slotfs/stats` and `.slotfs/metrics`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) pid: u32,
    pub(crate) version: String,
    /// Device and inode of its store.
    pub(crate) store: (u64, u64),
    /// Slot and role of each login.
    pub(crate) logged_in: Vec<(u32, String)>,
    /// The connections of applications, if it serves them.
    pub(crate) connections: Option<u64>,
}

/// The mounts of slotfs but those whose source names another store than `store`, which are left alone. All daemons are asked
/// at once, and those that do not answer keep nobody longer than the timeout.
///
/// # Errors
/// When the mount table cannot be read.
pub(crate) fn of(store: &Path) -> io::Result<Vec<Mounted>> {
    let entries = table::read()?.into_iter();
    let entries: Vec<table::Entry> = entries.filter(table::Entry::is_slotfs).collect();
    let (sender, answers) = mpsc::channel();
    for (index, entry) in entries.iter().enumerate() {
        let (sender, entry, store) = (sender.clone(), entry.clone(), store.to_owned());
        // A request to a stopped daemon never returns; without a thread the daemon counts as silent.
        let _ = thread::Builder::new()
            .name("request".into())
            .spawn(move || {
                let others = entry.store().is_some_and(|named| !is_same(named, &store));
                let daemon = (!others).then(|| ask(&entry));
                // It fails only after the timeout.
                let _ = sender.send((index, daemon));
            });
    }
    drop(sender);
    let mut daemons: Vec<Option<Daemon>> = entries.iter().map(|_| Some(Daemon::Silent)).collect();
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while let Ok((index, daemon)) =
        answers.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    {
        daemons[index] = daemon;
    }
    let mounts = entries.into_iter().zip(daemons);
    let mounts = mounts.filter_map(|(entry, daemon)| {
        let point = entry.point;
        daemon.map(|daemon| Mounted { point, daemon })
    });
    Ok(mounts.collect())
}

fn is_same(named: &Path, store: &Path) -> bool {
    let file = |path: &Path| slotfs_config::store::identify(path).map(|it| it.1);
    named == store || matches!((file(named), file(store)), (Ok(one), Ok(other)) if one == other)
}

fn ask(entry: &table::Entry) -> Daemon {
    let read = |name: &str| page(entry, name);
    match (read("stats"), read("metrics")) {
        (Ok(stats), Ok(metrics)) => match said(&stats, &metrics) {
            Some(said) => Daemon::Answers(Box::new(said)),
            None => Daemon::Unknown,
        },
        (Err(why), _) | (_, Err(why)) if is_dead(&why) => Daemon::Dead,
        (Err(why), _) | (_, Err(why)) if why.kind() == io::ErrorKind::PermissionDenied => {
            Daemon::Forbidden
        }
        _ => Daemon::Unknown,
    }
}

/// The text of a file in the mount's `.slotfs`. Another user may have made that mount, and its daemon may be any program: no
/// link is followed, nothing but a regular file of this very mount is read, and not more than a daemon would say.
pub(super) fn page(entry: &table::Entry, name: &str) -> io::Result<String> {
    const MOST_BYTES: u64 = 4 << 20;
    // Not opened for reading: a daemon may ask its store before it answers that.
    let folder = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::PATH | OFlags::CLOEXEC;
    let root = open(&entry.point, folder, Mode::empty())?;
    let hidden = openat(&root, ".slotfs", folder, Mode::empty())?;
    let plain = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::RDONLY | OFlags::CLOEXEC;
    let file = File::from(openat(&hidden, name, plain, Mode::empty())?);
    let there = file.metadata()?;
    let device = there.dev();
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    if !there.is_file() || device != entry.device {
        return Err(io::Error::other("it is no file of a slotfs mount"));
    }
    let mut text = String::new();
    file.take(MOST_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

fn said(stats: &str, metrics: &str) -> Option<Said> {
    let pid = stats.lines().find_map(|line| line.strip_prefix("pid "))?;
    let mut said = Said {
        pid: pid.parse().ok()?,
        ..Said::default()
    };
    let mut connections = None;
    for sample in metrics.lines().filter_map(Sample::parse) {
        let label = |name: &str| sample.label(name);
        match (sample.name, sample.value) {
            ("slotfs_build_info", _) => label("version")?.clone_into(&mut said.version),
            ("slotfs_store_info", _) => {
                said.store = (
                    label("device")?.parse().ok()?,
                    label("inode")?.parse().ok()?,
                );
            }
            ("slotfs_slot_logged_in", "1") => {
                let slot = label("slot")?.parse().ok()?;
                said.logged_in.push((slot, label("role")?.to_owned()));
            }
            ("slotfs_server_connections", count) => connections = count.parse().ok(),
            ("slotfs_server_running", "1") => said.connections = Some(0),
            _ => {}
        }
    }
    said.connections = said.connections.and(connections);
    (said.store != (0, 0)).then_some(said)
}

/// A line of `.slotfs/metrics`. The values of the labels that are read here have no escapes.
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: &'a str,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (start, value) = line.rsplit_once(' ')?;
        let (name, labels) = start.split_once('{').unwrap_or((start, ""));
        (name != "#").then_some(Self {
            name,
            labels,
            value,
        })
    }

    /// The value of a label that comes before every label that somebody may choose.
    fn label(&self, name: &str) -> Option<&'a str> {
        let mut rest = self.labels;
        loop {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = after.split_once('"')?;
            if label == name {
                return Some(value);
            }
            rest = after.strip_prefix(',')?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_says_what_it_is() {
        let metrics = "# HELP slotfs_build_info x\n\
            slotfs_build_info{version=\"0.1.0\"} 1\n\
            slotfs_store_info{device=\"7\",inode=\"9\",path=\"/a\\\"b\"} 1\n\
            slotfs_server_running 1\n\
            slotfs_server_connections 3\n\
            slotfs_slot_logged_in{slot=\"0\",role=\"co\"} 1\n\
            slotfs_slot_logged_in{slot=\"1\",role=\"co\"} 0\n\
            slotfs_slot_logged_in{slot=\"1\",role=\"cu\"} 1\n";
        let expected = Said {
            pid: 42,
            version: "0.1.0".into(),
            store: (7, 9),
            logged_in: vec![(0, "co".into()), (1, "cu".into())],
            connections: Some(3),
        };
        assert_eq!(said("pid 42\nlookup 1\n", metrics), Some(expected));
        let idle = metrics.replace("running 1", "running 0");
        assert_eq!(said("pid 42\n", &idle).unwrap().connections, None);
        assert_eq!(said("pid 42\n", ""), None);
        assert_eq!(said("", metrics), None);
    }

    /// Any user who may mount can give a mount the type `fuse.slotfs`.
    #[test]
    fn a_page_is_a_plain_file_of_its_own_mount() {
        let folder = tempfile::tempdir().unwrap();
        let hidden = folder.path().join(".slotfs");
        std::fs::create_dir(&hidden).unwrap();
        std::fs::write(hidden.join("stats"), "pid 1\n").unwrap();
        std::os::unix::fs::symlink("/dev/zero", hidden.join("link")).unwrap();
        nix::unistd::mkfifo(&hidden.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let device = std::fs::metadata(folder.path()).unwrap().dev();
        let device = format!("{}:{}", libc::major(device), libc::minor(device));
        let entry = |device: &str| table::Entry::at_for_tests(folder.path(), device);
        assert_eq!(page(&entry(&device), "stats").unwrap(), "pid 1\n");
        for name in ["link", "fifo", "none"] {
            assert!(page(&entry(&device), name).is_err(), "{name}");
        }
        assert!(page(&entry("0:0"), "stats").is_err());
        std::fs::rename(&hidden, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &hidden).unwrap();
        assert!(page(&entry(&device), "stats").is_err());
    }
}
