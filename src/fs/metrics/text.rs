//! The page of `.slotfs/metrics`. It shows a reader no slot that the reader may not enter, and of a locked slot no more than
//! `.slotfs/status` does.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::exposition::{Kind, Page};
use super::{BUCKETS, Logins, Metrics, OfSlot, Operation};
use crate::error::Result;
use crate::fs::lock;
use crate::hsm::{Hsm, RoleState, SlotRow};
use crate::object::partition::Role;
use crate::object::{SlotId, show};
use crate::serve;
use crate::shown;

/// The states of a slot, one at a time.
const STATES: [&str; 3] = ["locked", "open", "damaged"];
/// The roles that log in on a mount.
const ROLES: [Role; 2] = [Role::Co, Role::Cu];
/// Errnos that are shown before the first failure, so that a rate sees it.
const USUAL_ERRNOS: [i32; 12] = [
    libc::EACCES,
    libc::EBUSY,
    libc::EEXIST,
    libc::EIO,
    libc::EKEYREJECTED,
    libc::ENOENT,
    libc::ENOKEY,
    libc::ENOMEM,
    libc::ENOSPC,
    libc::EPERM,
    libc::EROFS,
    libc::ESTALE,
];

/// What a reader asked for.
pub struct Asked<'a> {
    /// The store, and who is logged in.
    pub hsm: &'a Arc<Hsm>,
    /// Whether the reader may enter a slot.
    pub may_enter: &'a dyn Fn(SlotId) -> bool,
}

/// A slot as it is now.
struct Slot {
    number: String,
    state: &'static str,
    role: Option<Role>,
    /// Nothing of it can be read if `None`.
    row: Option<SlotRow>,
    /// Objects and bytes.
    usage: Option<(u64, u64)>,
    trash: Option<u64>,
    roles: Vec<RoleState>,
    counts: OfSlot,
}

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Metrics {
    /// The page.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn text(&self, asked: &Asked<'_>) -> Result<String> {
        let mut page = Page::default();
        self.process(&mut page);
        store(asked.hsm, &mut page);
        self.requests(&mut page);
        server(asked.hsm, &mut page);
        slots(&self.slots(asked)?, &mut page);
        Ok(page.text())
    }

    fn process(&self, page: &mut Page) {
        let name = "slotfs_build_info";
        page.metric(name, Kind::Gauge, "The version of slotfs; always 1.");
        page.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        page.single(
            "slotfs_start_time_seconds",
            Kind::Gauge,
            "When the mount was made, seconds since 1970.",
            self.started_at.as_secs_f64(),
        );
        page.single(
            "slotfs_uptime_seconds",
            Kind::Gauge,
            "How long the mount has been there.",
            self.started.elapsed().as_secs_f64(),
        );
    }

    fn requests(&self, page: &mut Page) {
        let name = "slotfs_requests_total";
        page.metric(name, Kind::Counter, "Requests of the kernel that arrived.");
        let all = || Operation::ALL.iter().zip(&self.requests);
        for (operation, requests) in all() {
            let labels = [("operation", operation.name())];
            page.sample(name, &labels, value(&requests.begun));
        }
        let name = "slotfs_request_duration_seconds";
        let help = "Time from the arrival of a request to its answer.";
        page.metric(name, Kind::Histogram, help);
        let (bucket, sum, count) = ["bucket", "sum", "count"]
            .map(|part| format!("{name}_{part}"))
            .into();
        for (operation, requests) in all() {
            let operation = ("operation", operation.name());
            let mut answered = 0;
            let bounds = BUCKETS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
            for (bound, counter) in bounds.zip(&requests.buckets) {
                answered += value(counter);
                page.sample(&bucket, &[operation, ("le", bound)], answered);
            }
            let secs = value(&requests.nanos) as f64 / 1e9;
            page.sample(&sum, &[operation], secs);
            page.sample(&count, &[operation], answered);
        }
        let name = "slotfs_request_failures_total";
        page.metric(
            name,
            Kind::Counter,
            "Requests that were answered with an errno.",
        );
        for (errno, counter) in (0..).zip(&self.failures) {
            let failures = value(counter);
            if failures > 0 || USUAL_ERRNOS.contains(&errno) {
                page.sample(name, &[("errno", &errno_name(errno))], failures);
            }
        }
        for (name, help, counter) in [
            (
                "slotfs_read_bytes_total",
                "Bytes that were read from files.",
                &self.read_bytes,
            ),
            (
                "slotfs_written_bytes_total",
                "Bytes that were written to files, copies between slots included.",
                &self.written_bytes,
            ),
        ] {
            page.single(name, Kind::Counter, help, value(counter));
        }
    }

    fn slots(&self, asked: &Asked<'_>) -> Result<Vec<Slot>> {
        let counts = lock(&self.slots).clone();
        let mut slots = Vec::new();
        for listed in asked.hsm.slots()? {
            // Without a number it has no folder, and belongs to nobody here.
            let Some(slot) = listed.slot.filter(|slot| (asked.may_enter)(*slot)) else {
                continue;
            };
            let partition = asked.hsm.partition(slot);
            let row = unless_damaged(listed.row)?;
            let usage = unless_damaged(partition.usage())?;
            let sound = unless_damaged(partition.inspect())?;
            let role = partition.session().ok().map(|session| session.role());
            slots.push(Slot {
                number: slot.to_string(),
                state: match (&row, usage, sound, role) {
                    (Some(_), Some(_), Some(()), Some(_)) => "open",
                    (Some(_), Some(_), Some(()), None) => "locked",
                    _ => "damaged",
                },
                role,
                row,
                usage,
                trash: unless_damaged(partition.trash_count())?,
                roles: unless_damaged(partition.roles())?.unwrap_or_default(),
                counts: counts.get(&slot).copied().unwrap_or_default(),
            });
        }
        Ok(slots)
    }
}

/// `None` of what cannot be read.
fn unless_damaged<T>(read: crate::hsm::Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        // Also of a slot that was deleted since it was listed.
        Err(error) if error.is_damage() || error.is_no_such_slot() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The errno's name, as in errno(3).
fn errno_name(errno: i32) -> String {
    match nix::errno::Errno::from_raw(errno) {
        nix::errno::Errno::UnknownErrno => "other".into(),
        known => format!("{known:?}"),
    }
}

fn store(hsm: &Hsm, page: &mut Page) {
    let files = |ending: &str| {
        let mut path = hsm.path().as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path).metadata().ok()
    };
    let main = files("");
    let name = "slotfs_store_info";
    page.metric(
        name,
        Kind::Gauge,
        "The store that is mounted: device and inode of its file, and its path; always 1.",
    );
    if let Some(file) = &main {
        let (device, inode) = (file.dev().to_string(), file.ino().to_string());
        let path = shown::path(hsm.path()).to_string();
        let labels = [("device", &*device), ("inode", &inode), ("path", &path)];
        page.sample(name, &labels, 1);
    }
    let name = "slotfs_store_size_bytes";
    page.metric(
        name,
        Kind::Gauge,
        "The size of the store's file and of its write-ahead log.",
    );
    for (file, label) in [(main, "main"), (files("-wal"), "wal")] {
        let bytes = file.map_or(0, |file| file.len());
        page.sample(name, &[("file", label)], bytes);
    }
    let commits = hsm.commit_stats();
    for (name, help, count) in [
        (
            "slotfs_commits_total",
            "Transactions that this process committed to the store.",
            commits.commits,
        ),
        (
            "slotfs_commit_writes_total",
            "Writes in those transactions.",
            commits.writes,
        ),
    ] {
        page.single(name, Kind::Counter, help, count);
    }
}

fn server(hsm: &Arc<Hsm>, page: &mut Page) {
    let running = serve::figures(hsm);
    page.single(
        "slotfs_server_running",
        Kind::Gauge,
        "Whether this mount serves applications through PKCS#11.",
        u8::from(running.is_some()),
    );
    let figures = running.unwrap_or_default();
    for (name, kind, help, count) in [
        (
            "slotfs_server_connections",
            Kind::Gauge,
            "Connections of applications to this mount.",
            figures.connections,
        ),
        (
            "slotfs_server_applications",
            Kind::Gauge,
            "Applications that are connected.",
            figures.applications,
        ),
        (
            "slotfs_server_sessions",
            Kind::Gauge,
            "PKCS#11 sessions that are open.",
            figures.sessions,
        ),
        (
            "slotfs_server_requests_total",
            Kind::Counter,
            "Requests of applications, since the server began.",
            figures.requests,
        ),
    ] {
        page.single(name, kind, help, count);
    }
}

/// One metric with a sample for each slot that has a value.
fn gauge(
    page: &mut Page,
    slots: &[Slot],
    (name, help): (&str, &str),
    value: impl Fn(&Slot) -> Option<u64>,
) {
    page.metric(name, Kind::Gauge, help);
    for slot in slots {
        if let Some(value) = value(slot) {
            page.sample(name, &[("slot", &slot.number)], value);
        }
    }
}

/// One metric with a sample for each slot and role.
fn by_role(
    page: &mut Page,
    slots: &[Slot],
    (name, kind, help): (&str, Kind, &str),
    values: impl Fn(&Slot) -> Vec<(Role, u64)>,
) {
    page.metric(name, kind, help);
    for slot in slots {
        for (role, value) in values(slot) {
            let labels = [("slot", &*slot.number), ("role", &role.to_string())];
            page.sample(name, &labels, value);
        }
    }
}

fn slots(slots: &[Slot], page: &mut Page) {
    info(slots, page);
    let name = "slotfs_slot_state";
    page.metric(name, Kind::Gauge, "1 for the state that the slot is in.");
    for slot in slots {
        for state in STATES {
            let labels = [("slot", &*slot.number), ("state", state)];
            page.sample(name, &labels, u8::from(slot.state == state));
        }
    }
    by_role(
        page,
        slots,
        (
            "slotfs_slot_logged_in",
            Kind::Gauge,
            "1 for the role that is logged in to the slot on this mount.",
        ),
        |slot| {
            ROLES
                .map(|role| (role, u64::from(slot.role == Some(role))))
                .into()
        },
    );
    let of_row = |value: fn(&SlotRow) -> u64| move |slot: &Slot| slot.row.as_ref().map(value);
    gauge(
        page,
        slots,
        ("slotfs_slot_objects", "Objects in the slot."),
        |slot| slot.usage.map(|(objects, _)| objects),
    );
    gauge(
        page,
        slots,
        (
            "slotfs_slot_capacity_objects",
            "Objects that the slot can hold.",
        ),
        of_row(|row| row.capacity_objects),
    );
    gauge(
        page,
        slots,
        (
            "slotfs_slot_size_bytes",
            "Bytes of the objects in the slot.",
        ),
        |slot| slot.usage.map(|(_, bytes)| bytes),
    );
    gauge(
        page,
        slots,
        (
            "slotfs_slot_capacity_bytes",
            "Bytes of objects that the slot can hold.",
        ),
        of_row(|row| row.capacity_bytes),
    );
    gauge(
        page,
        slots,
        (
            "slotfs_slot_trash_objects",
            "Objects in the trash of the slot.",
        ),
        |slot| slot.trash,
    );
    let name = "slotfs_slot_verdicts_total";
    page.metric(
        name,
        Kind::Counter,
        "Blobs that the slot was given on this mount, by its verdict.",
    );
    for slot in slots {
        for (verdict, count) in [
            ("good", slot.counts.verdicts_good),
            ("bad", slot.counts.verdicts_bad),
        ] {
            let labels = [("slot", &*slot.number), ("verdict", verdict)];
            page.sample(name, &labels, count);
        }
    }
    logins(slots, page);
}

fn info(slots: &[Slot], page: &mut Page) {
    let name = "slotfs_slot_info";
    page.metric(
        name,
        Kind::Gauge,
        "What the partition in the slot is; always 1. A damaged one that cannot be read is missing.",
    );
    for slot in slots {
        let Some(row) = &slot.row else { continue };
        let (serial, kind) = (row.serial.to_string(), row.kind.to_string());
        let (version, label) = (row.version.to_string(), show::escape_controls(&row.label));
        let labels = [
            ("slot", &*slot.number),
            ("label", &label),
            ("serial", &serial),
            ("kind", &kind),
            ("version", &version),
        ];
        page.sample(name, &labels, 1);
    }
}

fn logins(slots: &[Slot], page: &mut Page) {
    let counted = |value: fn(Logins) -> u64| {
        move |slot: &Slot| {
            let OfSlot { co, cu, .. } = slot.counts;
            vec![(Role::Co, value(co)), (Role::Cu, value(cu))]
        }
    };
    by_role(
        page,
        slots,
        (
            "slotfs_slot_logins_total",
            Kind::Counter,
            "Logins to the slot on this mount, those at its start included.",
        ),
        counted(|it| it.right),
    );
    by_role(
        page,
        slots,
        (
            "slotfs_slot_login_failures_total",
            Kind::Counter,
            "Logins to the slot on this mount that were refused.",
        ),
        counted(|it| it.wrong),
    );
    let there = |value: fn(&RoleState) -> u64| {
        move |slot: &Slot| {
            let roles = slot.roles.iter().filter(|it| it.initialized);
            roles.map(|it| (it.role, value(it))).collect()
        }
    };
    by_role(
        page,
        slots,
        (
            "slotfs_slot_failed_logins",
            Kind::Gauge,
            "Wrong passwords since the last right one, in all processes.",
        ),
        there(|it| u64::from(it.failures)),
    );
    by_role(
        page,
        slots,
        (
            "slotfs_slot_role_locked",
            Kind::Gauge,
            "1 when the role had too many wrong passwords.",
        ),
        there(|it| u64::from(it.locked)),
    );
}
