//! Descriptors that a daemon inherited: a lock, a pipe that somebody reads to its end.

use std::os::fd::RawFd;
use std::sync::OnceLock;

/// The descriptors above 2 that were open when the program began.
#[derive(Debug, Default)]
pub struct Inherited(Vec<RawFd>);

static AT_START: OnceLock<Vec<RawFd>> = OnceLock::new();

impl Inherited {
    /// Call it before the program opens anything of its own.
    pub fn note() {
        AT_START.get_or_init(open_now);
    }

    /// What [`Inherited::note`] found. Only the process that serves the mount closes them, once.
    pub(crate) fn take() -> Self {
        Self(AT_START.get().cloned().unwrap_or_default())
    }

    /// Closes them. Password files on `/dev/fd/N` must have been read.
    pub(crate) fn close(&self) {
        for number in &self.0 {
            // Closed already is as good.
            let _ = nix::unistd::close(*number);
        }
    }
}

fn open_now() -> Vec<RawFd> {
    let numbers = std::fs::read_dir("/proc/self/fd").into_iter().flatten();
    let open: Vec<RawFd> = numbers
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    // The listing's own descriptor was among them and is closed by now.
    open.into_iter()
        .filter(|number| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok())
        .collect()
}
