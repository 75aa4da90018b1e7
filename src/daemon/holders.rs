//! Who keeps a filesystem alive after it was unmounted: other mounts of it, in this mount namespace and in others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::mount_table::{self, Mounted};
use crate::shown;

/// Other mounts of one filesystem.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// In this namespace: where.
    here: Vec<PathBuf>,
    /// In others: the lowest process of each that could be seen.
    elsewhere: BTreeMap<u32, String>,
    /// How many processes did not let this user see their namespace.
    hidden: usize,
}

/// One copy of a mount: the process whose table has it (0 for this process), and its mount ID.
type Copy = (u32, u64);

/// The copies of a filesystem that are there before it is unmounted.
///
/// Device numbers and mount IDs are given to others once they are free: only a copy that was there before, and is there
/// afterwards, holds it.
#[derive(Debug)]
pub struct Before {
    device: String,
    copies: Vec<Copy>,
    hidden: usize,
}

impl Before {
    /// Looks for copies of `mounted`, itself not counted.
    pub fn look(mounted: &Mounted) -> Self {
        let mut before = Self {
            device: mounted.device.clone(),
            copies: Vec::new(),
            hidden: 0,
        };
        for copy in copies_in(Path::new(mount_table::OWN), &before.device) {
            if copy.id != mounted.id {
                before.copies.push((0, copy.id));
            }
        }
        let own = std::fs::read_link("/proc/self/ns/mnt").ok();
        for process in processes() {
            let folder = PathBuf::from(format!("/proc/{process}"));
            let namespace = std::fs::read_link(folder.join("ns/mnt"));
            if let (Ok(its), Some(own)) = (&namespace, &own)
                && its == own
            {
                continue;
            }
            match mount_table::read(&folder.join("mountinfo")) {
                Ok(table) => {
                    for copy in table {
                        // One of this namespace that could not be told by its link.
                        let is_here = namespace.is_err() && copy.id == mounted.id;
                        if copy.device == before.device && copy.is_slotfs() && !is_here {
                            before.copies.push((process, copy.id));
                        }
                    }
                }
                Err(why) if why.kind() == std::io::ErrorKind::PermissionDenied => {
                    before.hidden += 1
                }
                // It has ended, or is a thread of the kernel.
                Err(_) => {}
            }
        }
        before
    }

    /// Those of before that are there still.
    pub fn still_there(&self) -> Holders {
        let mut holders = Holders {
            hidden: self.hidden,
            ..Holders::default()
        };
        for mounted in copies_in(Path::new(mount_table::OWN), &self.device) {
            if self.copies.contains(&(0, mounted.id)) {
                holders.here.push(mounted.at);
            }
        }
        let mut told = Vec::new();
        for (process, id) in &self.copies {
            if *process == 0 || told.contains(id) {
                continue;
            }
            let folder = PathBuf::from(format!("/proc/{process}"));
            if copies_in(&folder.join("mountinfo"), &self.device)
                .iter()
                .any(|copy| copy.id == *id)
            {
                told.push(*id);
                let name = std::fs::read(folder.join("comm")).unwrap_or_default();
                let name = String::from_utf8_lossy(&name).trim().to_owned();
                holders.elsewhere.insert(*process, name);
            }
        }
        holders
    }
}

fn copies_in(table: &Path, device: &str) -> Vec<Mounted> {
    let mut table = mount_table::read(table).unwrap_or_default();
    table.retain(|mounted| mounted.device == device && mounted.is_slotfs());
    table
}

fn processes() -> Vec<u32> {
    let mut processes: Vec<u32> = std::fs::read_dir("/proc")
        .map(|folder| {
            folder
                .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    processes.sort_unstable();
    processes
}

impl Holders {
    /// Whether there is none that this process can see.
    pub fn are_none(&self) -> bool {
        self.here.is_empty() && self.elsewhere.is_empty()
    }

    /// What holds the filesystem, for a message.
    pub fn text(&self) -> String {
        let mut parts: Vec<String> = self
            .here
            .iter()
            .map(|at| format!("its mount at {}", shown::path(at)))
            .collect();
        parts.extend(self.elsewhere.iter().map(|(process, name)| {
            format!(
                "the mount namespace of process {process} ({})",
                shown::word(name.as_ref())
            )
        }));
        parts.join(", ")
    }

    /// What cannot be seen, for a message.
    pub fn hidden_text(&self) -> Option<String> {
        (self.hidden > 0).then(|| {
            format!(
                "{} processes of other users could not be looked at: root sees them",
                self.hidden
            )
        })
    }
}
