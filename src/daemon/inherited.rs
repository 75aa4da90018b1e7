//! Closes the descriptors that the daemon inherited. An inherited lock would stay held, and a process that reads an
//! inherited pipe would wait for its end.

use std::os::fd::RawFd;
use std::sync::OnceLock;

/// The descriptors above 2 that were open when the program began.
#[derive(Debug, Default)]
pub struct Inherited(Vec<RawFd>);

static AT_START: OnceLock<Vec<RawFd>> = OnceLock::new();

impl Inherited {
    /// Records the open descriptors. The program calls it before it opens any file.
    pub fn note() {
        AT_START.get_or_init(open_now);
    }

    /// The descriptors that [`Inherited::note`] recorded. Only the process that serves the mount closes them, once.
    pub(crate) fn take() -> Self {
        Self(AT_START.get().cloned().unwrap_or_default())
    }

    /// Closes them. The caller has read password files at `/dev/fd/N` before.
    pub(crate) fn close(&self) {
        self.close_all_but(None);
    }

    /// Closes them, except for one that the caller uses.
    pub(crate) fn close_all_but(&self, kept: Option<RawFd>) {
        for number in self.0.iter().filter(|number| Some(**number) != kept) {
            // It fails for a descriptor that is already closed.
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
    // The listing also named its own descriptor, which is closed now.
    open.into_iter()
        .filter(|number| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok())
        .collect()
}
