//! Finds what still holds a filesystem after its mount was unmounted: bind mounts, and processes in other mount namespaces.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::{mount_error, table};
use crate::error::{Error, Result};
use crate::shown;

/// How long `umount` waits for the daemon to close the store and end.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(20);
/// How long something may hold the filesystem before `umount` reports it. A process that is just ending takes less.
const HOLDER_TIMEOUT: Duration = Duration::from_secs(2);
/// How many holders the message names.
const MAX_NAMED: usize = 5;

/// Waits for the daemon to end. It closes the store after the kernel has released the filesystem.
///
/// # Errors
/// [`Error::Mount`] if the daemon does not end. The message names what holds the filesystem.
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
        held_since = match holders.named.is_empty() {
            true => None,
            false => held_since.or_else(|| Some(Instant::now())),
        };
        let is_held = held_since.is_some_and(|since| since.elapsed() >= HOLDER_TIMEOUT);
        if is_held || start.elapsed() >= DAEMON_TIMEOUT {
            return Err(holders.error(point, pid));
        }
        next_look = Instant::now() + Duration::from_millis(250);
    }
    Ok(())
}

/// Whether the process has ended and only its parent has not reaped it yet.
fn is_zombie(process: &Path) -> bool {
    std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| {
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
    })
}

struct Holders {
    named: Vec<String>,
    /// This user may not read the mount table of some processes.
    is_partial: bool,
}

impl Holders {
    fn of(device: &str) -> Self {
        let mut named: Vec<String> = table::read()
            .unwrap_or_default()
            .iter()
            .filter(|entry| entry.device == device)
            .map(|entry| format!("the mount at {}", shown::path(&entry.point)))
            .collect();
        let (others, is_partial) = other_namespaces(device);
        named.extend(others);
        Self { named, is_partial }
    }

    fn error(self, point: &Path, pid: u32) -> Error {
        let mut what = format!(
            "{} is unmounted, but its daemon (process {pid}) still runs",
            shown::path(point)
        );
        if !self.named.is_empty() {
            let left_out = self.named.len().saturating_sub(MAX_NAMED);
            let named = self.named[..self.named.len() - left_out].join(", ");
            what.push_str(&format!(": the filesystem is still held by {named}"));
            if left_out > 0 {
                what.push_str(&format!(" and {left_out} more"));
            }
        }
        let mut hint = String::from(
            "the daemon has logged every slot out; it ends when nothing holds the filesystem any more",
        );
        if self.is_partial {
            hint.push_str(
                "; this user may not see every process: as root, 'slotfs umount' sees them all",
            );
        }
        mount_error(what, Some(hint))
    }
}

/// One process of each other namespace that has the filesystem mounted, and whether some processes could not be examined.
fn other_namespaces(device: &str) -> (Vec<String>, bool) {
    let own = std::fs::read_link("/proc/self/ns/mnt").ok();
    let mut found: BTreeMap<OsString, String> = BTreeMap::new();
    let mut is_partial = false;
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let process = process.path();
        let namespace = match std::fs::read_link(process.join("ns/mnt")) {
            Ok(link) if Some(&link) == own.as_ref() => continue,
            Ok(link) => link.into_os_string(),
            // The mount table may be readable even if the namespace is not; then each process counts as its own namespace.
            Err(_) => name,
        };
        if found.contains_key(&namespace) {
            continue;
        }
        let table = match table::of(&process) {
            Ok(table) => table,
            Err(why) => {
                is_partial |= why.kind() == io::ErrorKind::PermissionDenied;
                continue;
            }
        };
        if let Some(entry) = table.iter().find(|entry| entry.device == device) {
            let command = std::fs::read(process.join("comm")).unwrap_or_default();
            let command = String::from_utf8_lossy(command.trim_ascii()).into_owned();
            let holder = format!(
                "process {pid} ({}), which has it mounted at {}",
                shown::path(Path::new(&command)),
                shown::path(&entry.point)
            );
            found.insert(namespace, holder);
        }
    }
    (found.into_values().collect(), is_partial)
}
