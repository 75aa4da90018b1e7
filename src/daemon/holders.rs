//! What still holds a mount after it was unmounted: bind mounts, and processes in other mount namespaces.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::table;
use crate::error::{Error, Result};
use crate::shown;

/// How long `umount` waits for the daemon to close the store.
const DAEMON_END: Duration = Duration::from_secs(20);
/// Who holds the mount for so long does not just happen to end.
const HELD: Duration = Duration::from_secs(2);
/// As many are named.
const NAMED: usize = 5;

/// The daemon closes the store after the kernel let the mount go.
///
/// # Errors
/// [`Error::Mount`] when it does not end: it says what holds the mount.
pub(crate) fn wait_for_end(point: &Path, device: &str, pid: u32) -> Result<()> {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let start = Instant::now();
    let mut held_since = None;
    let mut next_look = start + Duration::from_millis(200);
    while process.exists() && !is_zombie(&process) {
        thread::sleep(Duration::from_millis(5));
        if Instant::now() < next_look {
            continue;
        }
        let holders = Holders::of(device);
        if holders.named.is_empty() {
            held_since = None;
        } else {
            held_since.get_or_insert_with(Instant::now);
        }
        let is_held = held_since.is_some_and(|since| since.elapsed() >= HELD);
        if is_held || start.elapsed() >= DAEMON_END {
            return Err(holders.error(point, pid));
        }
        next_look = Instant::now() + Duration::from_millis(250);
    }
    Ok(())
}

/// A daemon whose parent has not reaped it has ended all the same.
fn is_zombie(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    })
}

struct Holders {
    named: Vec<String>,
    /// Some process's mounts may not be looked at.
    is_blind: bool,
}

impl Holders {
    fn of(device: &str) -> Self {
        let mut named: Vec<String> = table::read()
            .unwrap_or_default()
            .iter()
            .filter(|entry| entry.device == device)
            .map(|entry| format!("the mount at {}", shown::path(&entry.point)))
            .collect();
        let (others, is_blind) = other_namespaces(device);
        named.extend(others);
        Self { named, is_blind }
    }

    fn error(self, point: &Path, pid: u32) -> Error {
        let shown = shown::path(point);
        let mut what = format!("{shown} is unmounted here, but its daemon (process {pid}) runs on");
        if !self.named.is_empty() {
            let left_off = self.named.len().saturating_sub(NAMED);
            let named = self.named[..self.named.len() - left_off].join(", ");
            what = format!("{what}: it is still held by {named}");
            if left_off > 0 {
                what = format!("{what} and {left_off} more");
            }
        }
        let mut hint = String::from(
            "the daemon has logged every slot out; it ends when what holds the mount ends or unmounts it",
        );
        if self.is_blind {
            hint.push_str(
                "; not every process can be looked at: as root, 'slotfs umount' sees them all",
            );
        }
        Error::Mount {
            what,
            hint: Some(hint),
        }
    }
}

/// One process of each other namespace that has the filesystem mounted.
fn other_namespaces(device: &str) -> (Vec<String>, bool) {
    let own = std::fs::read_link("/proc/self/ns/mnt").ok();
    let mut found: BTreeMap<OsString, String> = BTreeMap::new();
    let mut is_blind = false;
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let process = process.path();
        let namespace = match std::fs::read_link(process.join("ns/mnt")) {
            Ok(link) if Some(&link) == own.as_ref() => continue,
            Ok(link) => link.into_os_string(),
            // Of a process that may not be asked for its namespace the mounts may still be readable.
            Err(_) => name,
        };
        if found.contains_key(&namespace) {
            continue;
        }
        match table::of(&process) {
            Ok(table) => {
                if let Some(entry) = table.iter().find(|entry| entry.device == device) {
                    let command = std::fs::read(process.join("comm")).unwrap_or_default();
                    let command = String::from_utf8_lossy(command.trim_ascii()).into_owned();
                    found.insert(
                        namespace,
                        format!(
                            "process {pid} ({}), which has it mounted at {}",
                            shown::path(Path::new(&command)),
                            shown::path(&entry.point)
                        ),
                    );
                }
            }
            Err(why) => is_blind |= why.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    (found.into_values().collect(), is_blind)
}
