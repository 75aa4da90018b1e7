//! Descriptors that the process was started with. A daemon that kept them would hold a lock (flock(1)) or a pipe of its
//! caller for as long as it lives.

use std::os::fd::RawFd;
use std::path::Path;

/// What was open above standard error when it was looked.
pub struct Inherited(Vec<RawFd>);

impl Inherited {
    /// Those of now: before the process has opened anything by itself.
    pub fn now() -> Self {
        let folder = Path::new("/proc/self/fd");
        let mut descriptors: Vec<RawFd> = std::fs::read_dir(folder)
            .map(|entries| {
                entries
                    .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
                    .filter(|descriptor| *descriptor > 2)
                    .collect()
            })
            .unwrap_or_default();
        // The one that listed the folder is closed by now, and its number will be another file's.
        descriptors.retain(|descriptor| folder.join(descriptor.to_string()).is_symlink());
        Self(descriptors)
    }

    /// Closes them, once password files on `/dev/fd/N` have been read.
    pub fn close(self) {
        for descriptor in self.0 {
            // One that does not close is no longer open either (close(2)).
            let _ = nix::unistd::close(descriptor);
        }
    }
}
