//! The page of `.slotfs/metrics`. It shows a reader no slot that the reader may not enter, and of a locked slot no more than
//! `.slotfs/status` does.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::exposition::{Kind, Page};
use super::{BUCKETS, Metrics, Operation};
use crate::error::{Error, Result};
use crate::hsm::{self, Hsm, StoreFault, briefly};
use crate::object::SlotId;
use crate::serve;
use crate::shown;

/// Errnos that are shown before the first failure, so that a rate sees it.
const USUAL_ERRNOS: [i32; 13] = [
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
    libc::ETIMEDOUT,
];

/// What a reader asked for.
pub struct Asked<'a> {
    /// The store, and who is logged in.
    pub hsm: &'a Arc<Hsm>,
    /// Whether the reader may enter a slot.
    pub may_enter: &'a dyn Fn(SlotId) -> bool,
}

/// Whether the store's cluster does not answer, or is not the one that it was.
fn is_unreachable(why: &hsm::Error) -> bool {
    matches!(
        why.store_fault(),
        Some(StoreFault::Unreachable(_) | StoreFault::WentBack(_))
    )
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
        // No request of an idle mount has told it what other processes did.
        let slots = asked.hsm.refresh_briefly().map_err(Error::from);
        match slots.and_then(|()| briefly(|| self.slots(asked, &mut page))) {
            // The rest is what tells about that.
            Err(Error::Hsm(why)) if is_unreachable(&why) => {}
            slots => slots?,
        }
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
        "The store that is mounted: device and inode of its file, and its path; always 1. In a cluster, two numbers that its name gives.",
    );
    if let Ok((_, id)) = slotfs_config::store::identify(hsm.path()) {
        let (device, inode) = (id.device.to_string(), id.inode.to_string());
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
    let of_file = match slotfs_config::store::is_in_cluster(hsm.path()) {
        true => Vec::new(),
        false => vec![(main, "main"), (files("-wal"), "wal")],
    };
    for (file, label) in of_file {
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
